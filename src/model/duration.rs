//! Durations as texts, much as Go writes them: `500ms`, `90s`, `1h30m`, `2d`.

use std::time::Duration;

use serde_json::value::RawValue;

use super::object::{Mistakes, shown, string};

/// Why a text is no duration. It continues a sentence that begins with the place of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is `{text}`, which is no duration ({problem}), expected one such as `90s`, `1h30m` or `500ms`")]
pub struct DurationError {
    text: String,
    problem: &'static str,
}

/// The longest text of a duration, in bytes. Longer ones are refused.
const LEN_MAX: usize = 64;
/// A hundred years. Longer ones are refused.
const MILLIS_MAX: u64 = 36_500 * 86_400_000;
/// The units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a duration: numbers, each with one of the units `d`, `h`, `m`, `s`, `ms`. Whole milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let wrong = |problem| DurationError { text: shown(text), problem };
    millis(text).map(Duration::from_millis).map_err(wrong)
}

/// Writes a duration so that [`parse_duration`] reads it; what is finer than a millisecond is dropped.
pub fn duration_text(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, length) in UNITS {
        if left >= length {
            text.push_str(&format!("{}{unit}", left / length));
            left %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

fn millis(text: &str) -> Result<u64, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > LEN_MAX {
        return Err("it is longer than 64 bytes");
    }
    let (mut rest, mut sum) = (text, 0_u64);
    while !rest.is_empty() {
        let (part, after) = part(rest)?;
        // Both are small: neither is above the limit.
        sum += part;
        rest = after;
        if sum > MILLIS_MAX {
            return Err("it is longer than 36500d");
        }
    }
    Ok(sum)
}

/// One number with its unit, in milliseconds, and what follows it.
fn part(text: &str) -> Result<(u64, &str), &'static str> {
    let is_number = |letter: char| letter.is_ascii_digit() || letter == '.';
    let (number, rest) = text.split_at(text.find(|letter| !is_number(letter)).unwrap_or(text.len()));
    let (unit, rest) = rest.split_at(rest.find(is_number).unwrap_or(rest.len()));
    if number.is_empty() {
        return Err(if unit.starts_with(['-', '+']) { "it has a sign" } else { "a number is missing" });
    }
    if unit.is_empty() {
        return Err("a unit is missing");
    }
    let Some(&(_, length)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err("the unit is not one of d, h, m, s, ms");
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |digits: &str| digits.parse::<u64>().ok();
    let is_whole = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_whole(whole) || !is_whole(fraction) {
        return Err("a number is not understood");
    }
    let too_long = "it is longer than 36500d";
    let whole = digits(whole).and_then(|whole| whole.checked_mul(length)).ok_or(too_long)?;
    Ok((whole.min(MILLIS_MAX + 1) + fraction_millis(fraction, length)?, rest))
}

/// What stands behind the point, in milliseconds.
fn fraction_millis(fraction: &str, length: u64) -> Result<u64, &'static str> {
    let too_fine = "it is finer than a millisecond";
    let digits = fraction.trim_end_matches('0');
    if digits.is_empty() {
        return Ok(0);
    }
    // The milliseconds of a day can be halved ten times: with more digits they are never whole.
    let places = u32::try_from(digits.len()).ok().filter(|&places| places <= 10).ok_or(too_fine)?;
    let scaled = digits.parse::<u64>().map_err(|_| too_fine)? * length;
    let scale = 10_u64.pow(places);
    if scaled.is_multiple_of(scale) { Ok(scaled / scale) } else { Err(too_fine) }
}

/// Which durations are allowed somewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    min: Duration,
    max: Duration,
    words: &'static str,
}

impl Span {
    /// From `min` to `max`, both included; `words` says so.
    pub(super) const fn new(min: Duration, max: Duration, words: &'static str) -> Self {
        Self { min, max, words }
    }

    /// Reads a duration at `path`.
    pub(super) fn read(self, raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<Duration> {
        let text = string(raw, path, mistakes)?;
        let duration = parse_duration(&text).map_err(|error| mistakes.add(path, error)).ok()?;
        if (self.min..=self.max).contains(&duration) {
            return Some(duration);
        }
        mistakes.add(path, format_args!("is `{}`, expected {}", shown(&text), self.words));
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_with_units_add_up() {
        let millis = |text: &str| parse_duration(text).unwrap().as_millis();

        assert_eq!(
            [millis("500ms"), millis("90s"), millis("1h30m"), millis("2d")],
            [500, 90_000, 5_400_000, 172_800_000]
        );
        assert_eq!([millis("0s"), millis("1.5s"), millis("0.25d"), millis("30m1h")], [0, 1_500, 21_600_000, 5_400_000]);
        assert_eq!(millis("36500d"), 3_153_600_000_000);
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_reason() {
        let problems = [
            ("", "it is empty"),
            ("90", "a unit is missing"),
            ("0", "a unit is missing"),
            ("1h30", "a unit is missing"),
            ("h", "a number is missing"),
            ("-1h", "it has a sign"),
            ("+1h", "it has a sign"),
            ("1 h", "the unit is not one of d, h, m, s, ms"),
            ("1H", "the unit is not one of d, h, m, s, ms"),
            ("5us", "the unit is not one of d, h, m, s, ms"),
            ("1..5s", "a number is not understood"),
            (".5s", "a number is not understood"),
            ("5.s", "a number is not understood"),
            ("0.5ms", "it is finer than a millisecond"),
            ("1.0000000000000001d", "it is finer than a millisecond"),
            ("36501d", "it is longer than 36500d"),
            ("99999999999999999999999d", "it is longer than 36500d"),
            ("36500d1ms", "it is longer than 36500d"),
        ];
        for (text, problem) in problems {
            assert_eq!(parse_duration(text).unwrap_err(), DurationError { text: text.to_owned(), problem }, "{text}");
        }
        assert_eq!(parse_duration(&"1s".repeat(33)).unwrap_err().problem, "it is longer than 64 bytes");
        assert_eq!(
            parse_duration("90").unwrap_err().to_string(),
            "is `90`, which is no duration (a unit is missing), expected one such as `90s`, `1h30m` or `500ms`"
        );
    }

    #[test]
    fn a_duration_out_of_bounds_is_refused_and_the_bounds_themselves_are_not() {
        let span = Span::new(Duration::from_millis(1), Duration::from_secs(60), "1ms to 1m");
        let read = |json: &str| {
            let (raw, mut mistakes) = (serde_json::from_str::<&RawValue>(json).unwrap(), Mistakes::default());
            span.read(raw, "timeout", &mut mistakes).ok_or_else(|| mistakes.text())
        };

        assert_eq!((read("\"1ms\""), read("\"60s\"")), (Ok(Duration::from_millis(1)), Ok(Duration::from_secs(60))));
        assert_eq!(read("\"0s\"").unwrap_err(), "timeout: is `0s`, expected 1ms to 1m");
        assert_eq!(read("\"60001ms\"").unwrap_err(), "timeout: is `60001ms`, expected 1ms to 1m");
        assert_eq!(read("90").unwrap_err(), "timeout: is `90`, expected a string");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(millis in 0..=MILLIS_MAX) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&duration_text(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[0-9.dhms+ -]{0,70}|\\PC{0,80}") {
            if let Ok(duration) = parse_duration(&text) {
                prop_assert!(duration <= Duration::from_millis(MILLIS_MAX));
            }
        }

        #[test]
        fn a_fraction_means_its_part_of_the_unit(whole in 0_u64..1_000, thousandths in 0_u64..1_000) {
            let text = format!("{whole}.{thousandths:03}s");
            prop_assert_eq!(parse_duration(&text), Ok(Duration::from_millis(whole * 1_000 + thousandths)));
        }
    }
}
