//! A strict reader of OpenMetrics, as far as the service writes it: what is not exactly so makes the test fail.

use std::collections::BTreeSet;

/// A metric with all its samples.
#[derive(Clone, Debug, Default)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) unit: String,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

/// One line with a value.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
}

impl Sample {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }
}

/// A whole text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exposition(pub(crate) Vec<Family>);

impl Exposition {
    /// Reads a text, or panics with the line that is wrong.
    pub(crate) fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("the end is missing: {text}"));
        assert!(body.is_empty() || body.ends_with('\n'), "the last line has no end");
        let mut families: Vec<Family> = Vec::new();
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                describe(&mut families, rest);
            } else {
                let family = families.last_mut().unwrap_or_else(|| panic!("nothing describes: {line}"));
                let sample = sample(line);
                assert!(is_of(&sample.name, family), "`{line}` stands among those of {}", family.name);
                family.samples.push(sample);
            }
        }
        let read = Self(families);
        read.check();
        read
    }

    fn check(&self) {
        let mut seen = BTreeSet::new();
        for family in &self.0 {
            assert!(!family.samples.is_empty(), "{} has no samples", family.name);
            for sample in &family.samples {
                let names: BTreeSet<&str> = sample.labels.iter().map(|(name, _)| &**name).collect();
                assert_eq!(names.len(), sample.labels.len(), "a label stands twice: {sample:?}");
                let mut labels = sample.labels.clone();
                labels.sort();
                assert!(seen.insert((sample.name.clone(), labels)), "told twice: {sample:?}");
            }
            if family.kind == "histogram" {
                check_histogram(family);
            }
        }
    }

    /// The family with this name.
    pub(crate) fn family(&self, name: &str) -> &Family {
        self.0.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// The sum of the samples with this name that have these labels among others.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let all = self.0.iter().flat_map(|family| &family.samples).filter(|sample| sample.name == name);
        let matching: Vec<f64> = all
            .filter(|sample| labels.iter().all(|(label, value)| sample.label(label) == Some(value)))
            .map(|sample| sample.value)
            .collect();
        assert!(!matching.is_empty(), "there is no {name} with {labels:?}");
        matching.iter().sum()
    }

    /// How many lines with values there are.
    pub(crate) fn series(&self) -> usize {
        self.0.iter().map(|family| family.samples.len()).sum()
    }
}

fn describe(families: &mut Vec<Family>, rest: &str) {
    let mut words = rest.splitn(3, ' ');
    let [what, name, text] = [(); 3].map(|()| words.next().unwrap_or_else(|| panic!("not whole: # {rest}")));
    if families.last().is_none_or(|family| family.name != name) {
        assert!(families.iter().all(|family| family.name != name), "{name} is in two places");
        families.push(Family { name: name.to_owned(), ..Family::default() });
    }
    let family = families.last_mut().unwrap();
    assert!(family.samples.is_empty(), "{name} is described after its samples");
    let field = match what {
        "HELP" => &mut family.help,
        "TYPE" => &mut family.kind,
        "UNIT" => &mut family.unit,
        other => panic!("unknown: # {other}"),
    };
    assert!(field.is_empty(), "# {what} {name} stands twice");
    text.clone_into(field);
}

fn is_of(sample: &str, family: &Family) -> bool {
    let suffixes: &[&str] = match family.kind.as_str() {
        "counter" => &["_total"],
        "gauge" => &[""],
        "info" => &["_info"],
        "histogram" => &["_bucket", "_sum", "_count"],
        other => panic!("{} is of the kind `{other}`", family.name),
    };
    sample.strip_prefix(&*family.name).is_some_and(|suffix| suffixes.contains(&suffix))
}

fn sample(line: &str) -> Sample {
    let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}")));
    let (labels, value) = match rest.strip_prefix('{') {
        None => (Vec::new(), rest),
        Some(rest) => labels(rest, line),
    };
    let value = value.strip_prefix(' ').unwrap_or_else(|| panic!("no blank before the value: {line}"));
    Sample { name: name.to_owned(), labels, value: value.parse().unwrap_or_else(|_| panic!("no number: {line}")) }
}

/// What stands between the brackets, and what comes after them.
fn labels<'t>(mut rest: &'t str, line: &str) -> (Vec<(String, String)>, &'t str) {
    let mut labels = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        let (mut value, mut letters) = (String::new(), after.char_indices());
        let end = loop {
            match letters.next().unwrap_or_else(|| panic!("a value has no end: {line}")) {
                (at, '"') => break at,
                (_, '\\') => match letters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, letter @ ('\\' | '"'))) => value.push(letter),
                    other => panic!("unknown escape {other:?}: {line}"),
                },
                (_, letter) => value.push(letter),
            }
        };
        labels.push((name.to_owned(), value));
        rest = &after[end + 1..];
        match rest.strip_prefix('}') {
            Some(rest) => return (labels, rest),
            None => rest = rest.strip_prefix(',').unwrap_or_else(|| panic!("no comma: {line}")),
        }
    }
}

/// Buckets grow, and the last of them holds everything.
fn check_histogram(family: &Family) {
    let of = |suffix: &str| -> Vec<&Sample> {
        family.samples.iter().filter(|sample| sample.name == format!("{}{suffix}", family.name)).collect()
    };
    let others = |sample: &Sample| -> Vec<(String, String)> {
        sample.labels.iter().filter(|(name, _)| name != "le").cloned().collect()
    };
    for count in of("_count") {
        let buckets: Vec<&Sample> = of("_bucket").into_iter().filter(|bucket| others(bucket) == count.labels).collect();
        let bound = |bucket: &Sample| bucket.label("le").unwrap().parse::<f64>().unwrap();
        assert!(buckets.windows(2).all(|two| bound(two[0]) < bound(two[1]) && two[0].value <= two[1].value));
        let last = buckets.last().unwrap();
        assert_eq!((last.label("le"), last.value), (Some("+Inf"), count.value), "{}", family.name);
    }
}
