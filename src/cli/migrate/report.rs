//! What both stores hold, counted and told.

use std::io::Write;

use serde::Serialize;

use super::compare::{Compared, Comparison};
use crate::store::tally::Tally;
use crate::store::unfinished::Place;

/// The report. With `--format json` it is written as it stands here.
#[derive(Serialize)]
pub(super) struct Report {
    from: String,
    to: String,
    ok: bool,
    /// Whether it went on with an earlier migration; absent where nothing was to be copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed: Option<bool>,
    /// How many items this run has copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    copied: Option<u64>,
    kinds: Vec<OfKind>,
    /// Records whose bodies or responses the target keeps in another form.
    adapted: u64,
    /// Records of the mirrored service, which stay where they are.
    foreign: u64,
}

#[derive(Serialize)]
struct OfKind {
    kind: &'static str,
    ok: bool,
    source: Counted,
    target: Counted,
}

#[derive(Serialize)]
struct Counted {
    count: u64,
    checksum: String,
}

impl From<Tally> for Counted {
    fn from(tally: Tally) -> Self {
        Self { count: tally.count, checksum: format!("{:016x}", tally.checksum) }
    }
}

impl OfKind {
    fn new(Compared { kind, source, target }: Compared) -> Self {
        Self { kind: kind.as_str(), ok: source == target, source: source.into(), target: target.into() }
    }
}

impl Report {
    pub(super) fn new(from: &Place, to: &Place, Comparison { kinds, adapted }: Comparison, foreign: u64) -> Self {
        let kinds: Vec<OfKind> = kinds.into_iter().map(OfKind::new).collect();
        let ok = kinds.iter().all(|of_kind| of_kind.ok);
        let (from, to) = (from.to_string(), to.to_string());
        Self { from, to, ok, resumed: None, copied: None, kinds, adapted, foreign }
    }

    /// The same after a copy.
    pub(super) fn copied(self, copied: u64, is_resumed: bool) -> Self {
        Self { copied: Some(copied), resumed: Some(is_resumed), ..self }
    }

    /// Each kind that differs with both numbers, in words.
    pub(super) fn differences(&self) -> Option<String> {
        let told = |it: &OfKind| format!("{} {}", it.kind, self.both(it));
        let differences: Vec<String> = self.kinds.iter().filter(|of_kind| !of_kind.ok).map(told).collect();
        (!differences.is_empty()).then(|| differences.join("; "))
    }

    fn both(&self, OfKind { source, target, .. }: &OfKind) -> String {
        let of = |counted: &Counted, place| format!("{} in {place} (checksum {})", counted.count, counted.checksum);
        format!("{}, {}", of(source, &self.from), of(target, &self.to))
    }

    pub(super) fn write_json(&self, output: &mut impl Write) -> std::io::Result<()> {
        serde_json::to_writer(&mut *output, self)?;
        writeln!(output)
    }

    pub(super) fn write_text(&self, output: &mut impl Write) -> std::io::Result<()> {
        for of_kind in &self.kinds {
            match of_kind {
                OfKind { kind, ok: true, source: Counted { count, checksum }, .. } => {
                    writeln!(output, "{kind:<9}  {count} in both, checksum {checksum}")?;
                }
                OfKind { kind, .. } => writeln!(output, "{kind:<9}  DIFFERENT: {}", self.both(of_kind))?,
            }
        }
        if self.adapted > 0 {
            let kept = "Elasticsearch cannot read the JSON of their bodies or responses, it keeps them as text";
            writeln!(output, "adapted    {} records: {kept}", self.adapted)?;
        }
        if self.foreign > 0 {
            writeln!(output, "foreign    {} records of the mirrored service stay in {}", self.foreign, self.from)?;
        }
        let copied = match (self.copied, self.resumed) {
            (Some(copied), Some(true)) => format!(", {copied} items copied, going on with an earlier migration"),
            (Some(copied), _) => format!(", {copied} items copied"),
            (None, _) => String::new(),
        };
        let verdict = if self.ok { "both hold the same" } else { "they do NOT hold the same" };
        writeln!(output, "{} to {}{copied}: {verdict}", self.from, self.to)
    }
}
