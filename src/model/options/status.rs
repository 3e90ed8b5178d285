//! Statuses as options name them: `304`, `"5xx"`, `"500-503"`.

use serde_json::value::RawValue;

use crate::model::object::{Kind, Mistakes, array, kind, shown, string, unexpected};

/// How many statuses one list may name. More are refused.
const STATUSES_MAX: usize = 100;
const EXPECTED: &str = "a status from 100 to 999, a class such as \"5xx\" or a range such as \"500-503\"";

/// A range of statuses, with both ends.
pub(super) type Statuses = (u16, u16);

/// A list of statuses.
pub(super) fn read_list(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Box<[Statuses]>> {
    let items = array(raw, path, "statuses", 1..=STATUSES_MAX, mistakes)?;
    let mut read = |(index, raw): (usize, &&RawValue)| read_one(raw, &format!("{path}[{index}]"), EXPECTED, mistakes);
    // Each one is read, so that each mistake is told.
    let statuses: Vec<Option<Statuses>> = items.iter().enumerate().map(&mut read).collect();
    statuses.into_iter().collect()
}

/// A status, a class or a range. `expected` says what else may stand there.
pub(super) fn read_one(raw: &RawValue, path: &str, expected: &str, mistakes: &mut Mistakes) -> Option<Statuses> {
    if kind(raw) == Kind::String {
        let text = string(raw, path, mistakes)?;
        let statuses = parse(&text);
        if statuses.is_none() {
            mistakes.add(path, format_args!("is `{}`, expected {expected}", shown(&text)));
        }
        return statuses;
    }
    let status = raw.get().parse().ok().filter(is_status);
    if status.is_none() {
        mistakes.add(path, unexpected(expected, raw));
    }
    status.map(|status| (status, status))
}

/// `"404"`, `"4xx"` or `"500-503"`.
fn parse(text: &str) -> Option<Statuses> {
    let status = |text: &str| text.parse::<u16>().ok().filter(|_| text.len() == 3).filter(is_status);
    if let Some((first, last)) = text.split_once('-') {
        return Some((status(first)?, status(last)?)).filter(|(first, last)| first <= last);
    }
    match text.strip_suffix("xx") {
        Some(class) => {
            let first = status(&format!("{class}00"))?;
            Some((first, first + 99))
        }
        None => status(text).map(|status| (status, status)),
    }
}

fn is_status(status: &u16) -> bool {
    (100..=999).contains(status)
}

/// Whether one of the ranges holds a status.
pub(super) fn hold(ranges: &[Statuses], status: u16) -> bool {
    ranges.iter().any(|&(first, last)| (first..=last).contains(&status))
}

/// The ranges in words: `2xx, 304, 500-503`.
pub(super) fn words(ranges: &[Statuses]) -> String {
    let word = |&(first, last): &Statuses| match last - first {
        0 => first.to_string(),
        99 if first.is_multiple_of(100) => format!("{}xx", first / 100),
        _ => format!("{first}-{last}"),
    };
    ranges.iter().map(word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<Box<[Statuses]>, String> {
        let (raw, mut mistakes) = (serde_json::from_str::<&RawValue>(json).unwrap(), Mistakes::default());
        read_list(raw, "on", &mut mistakes).ok_or_else(|| mistakes.text())
    }

    #[test]
    fn numbers_classes_and_ranges_are_statuses() {
        let statuses = read(r#"["2xx",304,"500-503","404"]"#).unwrap();

        assert_eq!(*statuses, [(200, 299), (304, 304), (500, 503), (404, 404)]);
        assert_eq!(words(&statuses), "2xx, 304, 500-503, 404");
        assert!(hold(&statuses, 299) && hold(&statuses, 503) && !hold(&statuses, 300) && !hold(&statuses, 504));
    }

    #[test]
    fn all_else_is_refused_with_its_place() {
        let refusal = read(r#"[99,1000,"6x","x","","xx","+04","503-500","500-",2.5,null,true,[]]"#).unwrap_err();

        let expected = [
            "is `99`",
            "is `1000`",
            "is `6x`",
            "is `x`",
            "is ``",
            "is `xx`",
            "is `+04`",
            "is `503-500`",
            "is `500-`",
            "is `2.5`",
            "is `null`",
            "is `true`",
            "is an array",
        ];
        let expected = expected.iter().enumerate().map(|(index, is)| format!("on[{index}]: {is}, expected {EXPECTED}"));
        assert_eq!(refusal.lines().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        assert_eq!(read("[]").unwrap_err(), "on: has 0 values, expected 1 to 100");
        assert_eq!(read("\"5xx\"").unwrap_err(), "on: is a string, expected an array of statuses");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[0-9x+-]{0,8}|\\PC{0,12}") {
            if let Some((first, last)) = parse(&text) {
                prop_assert!((100..=999).contains(&first) && first <= last && last <= 999);
            }
        }

        #[test]
        fn the_words_of_ranges_are_read_again(ranges in prop::collection::vec((100_u16..=999, 0_u16..=120), 1..5)) {
            let ranges: Vec<Statuses> = ranges.into_iter().map(|(first, by)| (first, (first + by).min(999))).collect();
            let again: Vec<Statuses> = words(&ranges).split(", ").filter_map(parse).collect();
            prop_assert_eq!(again, ranges);
        }
    }
}
