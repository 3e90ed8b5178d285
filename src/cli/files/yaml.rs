//! Reads YAML 1.2 as JSON, exactly: numbers stay as they are written, no key is given twice, and what JSON cannot hold is
//! refused with its line. `yes`, `no`, `on` and `off` are texts, as YAML 1.2 says.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::Value;

/// How deep values may be nested. Deeper ones are refused.
pub(super) const DEPTH_MAX: usize = 128;
/// How much aliases may make of a file, in bytes. A file that becomes larger is refused: a few lines can stand for very much.
const EXPANDED_MAX: usize = 256 * 1024 * 1024;

/// What a file holds, or every mistake in it, each beginning with its line.
pub(super) fn read(text: &str) -> Result<Vec<Value>, Vec<String>> {
    let mut reading = Reading::default();
    for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let info = error.info();
                reading.mistakes.push(format!("line {}: is no YAML ({info})", error.marker().line()));
                break;
            }
        };
        if reading.take(event, span.start.line()).is_err() {
            break;
        }
    }
    if reading.mistakes.is_empty() { Ok(reading.values) } else { Err(reading.mistakes) }
}

/// Reading on makes no sense: the mistake is noted.
struct Stop;

/// A list or a mapping that is being read.
struct Frame {
    /// `None`: a list.
    keys: Option<HashSet<String>>,
    /// The key whose value comes; `None`: a key comes, or this is a list.
    key: Option<String>,
    /// How many values are read.
    count: usize,
    anchor: usize,
    /// Where its text begins.
    start: usize,
}

#[derive(Default)]
struct Reading {
    values: Vec<Value>,
    mistakes: Vec<String>,
    frames: Vec<Frame>,
    /// The JSON of the value that is being read.
    json: String,
    /// What anchors stand for, once it is read.
    anchors: HashMap<usize, String>,
    expanded: usize,
    document: usize,
    /// Where the value being read begins.
    line: usize,
    /// The document is a list of values.
    is_list: bool,
}

impl Reading {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) => {
                self.document += 1;
                self.is_list = false;
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::Scalar(text, style, anchor, tag) if self.is_at_key() => {
                self.key(&text, style, anchor, tag.as_deref(), line)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let json = self.scalar(&text, style, tag.as_deref(), line);
                self.begin(line)?;
                self.json.push_str(&json);
                self.note_anchor(anchor, json);
                self.end(line)
            }
            Event::Alias(anchor) => {
                if self.is_at_key() {
                    return self.stop(line, "an alias cannot be a key");
                }
                let Some(json) = self.anchors.get(&anchor).cloned() else {
                    return self.stop(line, "the alias stands within what it refers to");
                };
                self.begin(line)?;
                self.expanded += json.len();
                self.json.push_str(&json);
                self.end(line)
            }
            Event::SequenceStart(anchor, tag) => self.open(None, anchor, tag.as_deref(), line),
            Event::MappingStart(anchor, tag) => self.open(Some(HashSet::new()), anchor, tag.as_deref(), line),
            Event::SequenceEnd | Event::MappingEnd => self.close(line),
        }
    }

    fn is_at_key(&self) -> bool {
        self.frames.last().is_some_and(|frame| frame.keys.is_some() && frame.key.is_none())
    }

    fn key(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        line: usize,
    ) -> Result<(), Stop> {
        if style == ScalarStyle::Plain && text == "<<" {
            return self.stop(line, "merging (`<<`) is not known to YAML 1.2, write the members out");
        }
        if tag.is_some_and(|tag| !is_core(tag, "str")) {
            self.note(line, "a key has a tag, expected none");
        }
        let json = string(text);
        self.note_anchor(anchor, json.clone());
        let Some(frame) = self.frames.last_mut() else { unreachable!("a key stands in a mapping") };
        if frame.count > 0 {
            self.json.push(',');
        }
        self.json.push_str(&json);
        self.json.push(':');
        let is_new = frame.keys.as_mut().is_some_and(|keys| keys.insert(text.to_owned()));
        frame.key = Some(text.to_owned());
        if !is_new {
            self.note(line, "is given twice");
        }
        Ok(())
    }

    /// Before a value: what separates it from the one before.
    fn begin(&mut self, line: usize) -> Result<(), Stop> {
        if self.frames.len() > DEPTH_MAX {
            return self.stop(line, &format!("is nested deeper than {DEPTH_MAX} levels"));
        }
        if self.json.len() + self.expanded > EXPANDED_MAX {
            return self.stop(line, &format!("the aliases make more than {EXPANDED_MAX} bytes of this file"));
        }
        let is_item = self.is_list && self.frames.len() == 1;
        if self.frames.is_empty() || is_item {
            self.line = line;
        } else if let Some(frame) = self.frames.last().filter(|frame| frame.keys.is_none() && frame.count > 0) {
            debug_assert!(frame.key.is_none());
            self.json.push(',');
        }
        Ok(())
    }

    /// After a value.
    fn end(&mut self, line: usize) -> Result<(), Stop> {
        let is_item = self.is_list && self.frames.len() == 1;
        if let Some(frame) = self.frames.last_mut() {
            frame.count += 1;
            frame.key = None;
        }
        if self.frames.is_empty() || is_item {
            let json = std::mem::take(&mut self.json);
            let item = self.frames.last().map(|frame| frame.count);
            // An empty document is none.
            if item.is_some() || json != "null" {
                self.values.push(Value { document: self.document, item, line: self.line, json });
            }
        }
        if self.mistakes.len() > MISTAKES_MAX { self.stop(line, "is too wrong to be read on") } else { Ok(()) }
    }

    fn open(
        &mut self,
        keys: Option<HashSet<String>>,
        anchor: usize,
        tag: Option<&Tag>,
        line: usize,
    ) -> Result<(), Stop> {
        if self.is_at_key() {
            return self.stop(line, "a key is a list or a mapping, expected a text");
        }
        let kind = if keys.is_some() { "map" } else { "seq" };
        if let Some(tag) = tag.filter(|tag| !is_core(tag, kind)) {
            self.note(line, &format!("has the tag `{tag}`, expected none"));
        }
        self.begin(line)?;
        let start = self.json.len();
        if self.frames.is_empty() && keys.is_none() {
            self.is_list = true;
        } else {
            self.json.push(if keys.is_some() { '{' } else { '[' });
        }
        self.frames.push(Frame { keys, key: None, count: 0, anchor, start });
        Ok(())
    }

    fn close(&mut self, line: usize) -> Result<(), Stop> {
        let Some(frame) = self.frames.pop() else { unreachable!("what ends was begun") };
        if self.is_list && self.frames.is_empty() {
            return Ok(());
        }
        self.json.push(if frame.keys.is_some() { '}' } else { ']' });
        if frame.anchor > 0 {
            let json = self.json[frame.start..].to_owned();
            self.note_anchor(frame.anchor, json);
        }
        self.end(line)
    }

    fn note_anchor(&mut self, anchor: usize, json: String) {
        if anchor > 0 {
            self.expanded += json.len();
            self.anchors.insert(anchor, json);
        }
    }

    /// A scalar by the core schema of YAML 1.2, as far as JSON can hold it.
    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, line: usize) -> String {
        let is_text = match tag {
            None => style != ScalarStyle::Plain,
            Some(tag) if is_core(tag, "str") => true,
            Some(tag) if style == ScalarStyle::Plain && CORE_TAGS.iter().any(|name| is_core(tag, name)) => false,
            Some(tag) => {
                self.note(line, &format!("has the tag `{tag}`, expected none"));
                true
            }
        };
        match text {
            _ if is_text => string(text),
            "" | "~" | "null" | "Null" | "NULL" => "null".to_owned(),
            "true" | "True" | "TRUE" => "true".to_owned(),
            "false" | "False" | "FALSE" => "false".to_owned(),
            _ if is_json_number(text) => text.to_owned(),
            _ if is_other_number(text) => {
                self.note(
                    line,
                    &format!("is `{text}`, a number that JSON writes otherwise: write it so, or in quotes"),
                );
                string(text)
            }
            _ => string(text),
        }
    }

    fn note(&mut self, line: usize, text: &str) {
        let parts = self.frames.iter().skip(usize::from(self.is_list)).map(|frame| match &frame.key {
            Some(key) => key.chars().take(64).flat_map(char::escape_debug).collect(),
            None if frame.keys.is_none() => format!("[{}]", frame.count),
            None => String::new(),
        });
        let path = parts.filter(|part| !part.is_empty()).collect::<Vec<String>>().join(".").replace(".[", "[");
        let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
        self.mistakes.push(format!("line {line}: {place}{text}"));
    }

    fn stop(&mut self, line: usize, text: &str) -> Result<(), Stop> {
        self.note(line, text);
        Err(Stop)
    }
}

/// After so many mistakes a file is not read on.
const MISTAKES_MAX: usize = 100;
const CORE_TAGS: [&str; 4] = ["null", "bool", "int", "float"];

fn is_core(tag: &Tag, name: &str) -> bool {
    // `!` says that it is a text, whatever it looks like.
    (tag.is_yaml_core_schema() && tag.suffix == name) || (name == "str" && tag.handle.is_empty() && tag.suffix == "!")
}

fn string(text: &str) -> String {
    serde_json::to_string(text).expect("a text can be written as JSON")
}

/// Whether a text is a number as JSON writes it.
pub(super) fn is_json_number(text: &str) -> bool {
    let first = text.strip_prefix('-').unwrap_or(text).bytes().next();
    first.is_some_and(|byte| byte.is_ascii_digit())
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
        && !text.ends_with(char::is_whitespace)
}

/// Whether the core schema of YAML 1.2 takes a text for a number.
pub(super) fn is_other_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return !digits.is_empty() && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    }
    let (number, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(a, b)| (a, Some(b)));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && is_digits(digits)
    });
    is_digits(whole) && is_digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && is_exponent
}

#[cfg(test)]
mod tests;
