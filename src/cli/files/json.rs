//! Reads JSON: values one after the other, each a task or a list of tasks, exactly as they are written.

use serde_json::value::RawValue;

use super::Value;

/// What a file holds.
pub(super) fn read(text: &str) -> Result<Vec<Value>, Vec<String>> {
    let (text, mut values, mut lines) = (text.trim_start_matches('\u{feff}'), Vec::new(), Lines::new(text));
    let mut document = 0;
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let raw = value.map_err(|error| vec![told(&error, 0)])?;
        document += 1;
        values.extend(items(raw, document, |raw| lines.line_of(raw)));
    }
    Ok(values)
}

/// What a file with one value in each line holds; a wrong line hides no other.
pub(super) fn read_lines(text: &str) -> Result<Vec<Value>, Vec<String>> {
    let (mut values, mut mistakes) = (Vec::new(), Vec::new());
    for (line, index) in text.trim_start_matches('\u{feff}').split('\n').zip(0..) {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str::<&RawValue>(line) {
            Ok(raw) => values.extend(items(raw, index + 1, |_| index + 1)),
            Err(error) => mistakes.push(told(&error, index)),
        }
    }
    if mistakes.is_empty() { Ok(values) } else { Err(mistakes) }
}

fn told(error: &serde_json::Error, lines_before: usize) -> String {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    format!("line {}: is no JSON ({text})", lines_before + error.line().max(1))
}

/// A value, or those of a list.
fn items<'a>(raw: &'a RawValue, document: usize, mut line_of: impl FnMut(&'a str) -> usize) -> Vec<Value> {
    let value = |raw: &'a RawValue, item, line| Value { document, item, line, json: raw.get().to_owned() };
    match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
        Ok(list) if raw.get().starts_with('[') => {
            list.into_iter().zip(1..).map(|(raw, item)| value(raw, Some(item), line_of(raw.get()))).collect()
        }
        Ok(_) | Err(_) => vec![value(raw, None, line_of(raw.get()))],
    }
}

/// Tells lines of parts of a text, which are asked for in their order.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    fn line_of(&mut self, part: &str) -> usize {
        let at = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize).min(self.text.len());
        let between = self.text.as_bytes().get(self.at..at).unwrap_or_default();
        self.line += between.iter().filter(|&&byte| byte == b'\n').count();
        self.at = at.max(self.at);
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(values: &[Value]) -> Vec<(usize, Option<usize>, usize, &str)> {
        values.iter().map(|value| (value.document, value.item, value.line, value.json.as_str())).collect()
    }

    #[test]
    fn values_and_lists_of_them_are_read_with_their_places() {
        let values = read("\n{\"a\": 1.50}\n[\n {\"b\":1},\n\n {\"b\":2}\n]{\"c\":{}}").unwrap();

        let expected = [
            (1, None, 2, "{\"a\": 1.50}"),
            (2, Some(1), 4, "{\"b\":1}"),
            (2, Some(2), 6, "{\"b\":2}"),
            (3, None, 7, "{\"c\":{}}"),
        ];
        assert_eq!(told(&values), expected);
        assert_eq!(read("  \n"), Ok(Vec::new()));
        assert_eq!(read("{\"a\":1}\n{\"a\"").unwrap_err(), ["line 2: is no JSON (EOF while parsing an object)"]);
    }

    #[test]
    fn each_line_is_read_and_every_wrong_one_is_told() {
        let values = read_lines("{\"a\":1}\r\n\n{\"b\":2}").unwrap();

        assert_eq!(told(&values), [(1, None, 1, "{\"a\":1}"), (3, None, 3, "{\"b\":2}")]);
        let mistakes = read_lines("{\n{}\n}").unwrap_err();
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(mistakes[0].starts_with("line 1: is no JSON") && mistakes[1].starts_with("line 3: is no JSON"));
    }
}
