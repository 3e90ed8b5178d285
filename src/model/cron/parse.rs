//! From text to bit sets. The steps and their order are those of the Go library, so that the same texts are accepted;
//! where it refuses, Quartz's forms are tried.

use super::{CronError, CronExpr, Days, Fields, Rule};
use crate::model::TimeZone;

/// How much of a wrong text is shown, in characters.
const SHOWN_MAX: usize = 40;

/// What a field may hold.
#[derive(Clone, Copy)]
struct Bounds {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
    expected: &'static str,
}

const SECOND: Bounds =
    Bounds { name: "second", min: 0, max: 59, names: &[], expected: "0-59, `*`, ranges, lists or steps" };
const MINUTE: Bounds = Bounds { name: "minute", ..SECOND };
const HOUR: Bounds = Bounds { name: "hour", max: 23, expected: "0-23, `*`, ranges, lists or steps", ..SECOND };
const DAY: Bounds = Bounds {
    name: "day of month",
    min: 1,
    max: 31,
    names: &[],
    expected: "1-31, `*`, `?`, ranges, lists, steps, `L`, `L-3`, `15W` or `LW`",
};
const MONTH: Bounds = Bounds {
    name: "month",
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    expected: "1-12, JAN-DEC, `*`, ranges, lists or steps",
};
const WEEKDAY: Bounds = Bounds {
    name: "day of week",
    min: 0,
    max: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    expected: "0-7 (0 and 7 are Sunday), SUN-SAT, `*`, `?`, ranges, lists, steps, `5L` or `1#2`",
};

pub(super) fn expression(text: &str) -> Result<CronExpr, CronError> {
    if text.len() > CronExpr::LEN_MAX {
        return Err(CronError::TooLong { len: text.len(), max: CronExpr::LEN_MAX });
    }
    if text.is_empty() {
        return Err(CronError::Empty);
    }
    let (zone, text) = prefix(text)?;
    let rule = match text.strip_prefix('@') {
        Some(_) => descriptor(text)?,
        None => Rule::Fields(fields(text)?),
    };
    Ok(CronExpr { zone, rule })
}

/// Splits a zone prefix off. As in the Go library, an empty name is UTC.
fn prefix(text: &str) -> Result<(Option<TimeZone>, &str), CronError> {
    let Some(rest) = text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) else {
        return Ok((None, text));
    };
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let zone = if name.is_empty() { TimeZone::UTC } else { TimeZone::parse(name)? };
    Ok((Some(zone), rest.trim()))
}

fn descriptor(text: &str) -> Result<Rule, CronError> {
    let six = match text {
        "@yearly" | "@annually" => "0 0 0 1 1 *",
        "@monthly" => "0 0 0 1 * *",
        "@weekly" => "0 0 0 * * 0",
        "@daily" | "@midnight" => "0 0 0 * * *",
        "@hourly" => "0 0 * * * *",
        _ => {
            let Some(duration) = text.strip_prefix("@every ") else {
                return Err(CronError::Descriptor { text: shown(text) });
            };
            let wrong = |problem| CronError::Duration { text: shown(duration), problem };
            return Ok(Rule::Every { period_s: go_duration_secs(duration).map_err(wrong)? });
        }
    };
    fields(six).map(Rule::Fields)
}

/// A duration as Go writes it, in whole seconds: what is below a second is dropped, the least is one.
fn go_duration_secs(text: &str) -> Result<u32, &'static str> {
    let (is_negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(1);
    }
    if rest.is_empty() {
        return Err("it is empty");
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (part, after) = duration_part(rest)?;
        nanos = nanos.saturating_add(part);
        rest = after;
    }
    if nanos > i64::MAX as u128 {
        return Err("too long");
    }
    let secs = if is_negative { 0 } else { nanos / 1_000_000_000 };
    u32::try_from(secs.max(1)).map_err(|_| "too long")
}

/// More digits than any duration that fits needs.
const NUMBER_LEN_MAX: usize = 20;

/// One number with its unit, in nanoseconds, and what follows it.
fn duration_part(text: &str) -> Result<(u128, &str), &'static str> {
    let number_end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(number_end);
    let unit_end = rest.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let unit_nanos: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" => return Err("a unit is missing"),
        _ => return Err("the unit is not one of h, m, s, ms, us, ns"),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.len() > NUMBER_LEN_MAX || fraction.contains('.') || number.chars().all(|letter| letter == '.') {
        return Err("a number is missing or too long");
    }
    let digits = |text: &str| if text.is_empty() { Ok(0) } else { text.parse::<u128>() };
    let whole = digits(whole).map_err(|_| "a number is too long")?;
    let below = digits(fraction).map_err(|_| "a number is too long")?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or_default());
    Ok((whole * unit_nanos + below * unit_nanos / scale, rest))
}

fn fields(text: &str) -> Result<Fields, CronError> {
    let texts: Vec<&str> = text.split_whitespace().collect();
    let [second, minute, hour, day, month, weekday] = texts[..] else {
        return Err(match texts.len() {
            0 => CronError::Empty,
            5 => CronError::FiveFields { with_seconds: shown(&format!("0 {}", texts.join(" "))) },
            count => CronError::FieldCount { count },
        });
    };
    let mut days = Days::default();
    let fields = Fields {
        seconds: plain(second, SECOND)?.0,
        minutes: plain(minute, MINUTE)?.0,
        hours: low_half(plain(hour, HOUR)?.0),
        months: low_half(plain(month, MONTH)?.0) as u16,
        days: {
            days_of_month(day, &mut days)?;
            days_of_week(weekday, &mut days)?;
            days
        },
    };
    fields.check_that_it_fires()?;
    Ok(fields)
}

fn low_half(bits: u64) -> u32 {
    (bits & u64::from(u32::MAX)) as u32
}

/// A list of ranges: its bits, and whether a star is in it.
fn plain(text: &str, bounds: Bounds) -> Result<(u64, bool), CronError> {
    let (mut bits, mut has_star) = (0, false);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (part_bits, is_star) = range(part, bounds)?;
        bits |= part_bits;
        has_star |= is_star;
    }
    Ok((bits, has_star))
}

fn wrong(bounds: Bounds, problem: String) -> CronError {
    CronError::Field { field: bounds.name, problem, expected: bounds.expected }
}

/// `*`, `5`, `1-5`, `5/2`, `*/2`, `1-5/2`; a range whose end lies before its start goes around.
fn range(text: &str, bounds: Bounds) -> Result<(u64, bool), CronError> {
    let (values, step_text) = match text.split_once('/') {
        Some((values, step)) => (values, Some(step)),
        None => (text, None),
    };
    let (first, last) = match values.split_once('-') {
        Some((first, last)) => (first, Some(last)),
        None => (values, None),
    };
    let step = step_text.map_or(Ok(1), |step| number(step, text, bounds))?;
    if step == 0 {
        return Err(wrong(bounds, format!("`{}` has a step of 0", shown(text))));
    }
    // As in the Go library, what follows a star and a hyphen is not looked at.
    if matches!(first, "*" | "?") {
        return Ok((run(bounds.min, bounds.max - bounds.min, step, bounds), step == 1));
    }
    let start = value(first, text, bounds)?;
    let end = match last {
        Some(last) => value(last, text, bounds)?,
        None if step_text.is_some() => bounds.max,
        None => start,
    };
    // The weekday 7 is Sunday: as a start it stands before Monday, as an end after Saturday.
    let (start, end) = match (bounds.name == WEEKDAY.name, start, end) {
        (true, 7, 7) => (0, 0),
        (true, 7, end) => (0, end),
        (_, start, end) => (start, end),
    };
    let span = bounds.max - bounds.min + 1;
    let length = if end >= start { end - start } else { end + span - start };
    Ok((run(start, length, step, bounds), false))
}

/// Every `step`-th value from `start` on, up to `length` further; after the last value comes the first.
fn run(start: u32, length: u32, step: u32, bounds: Bounds) -> u64 {
    let span = bounds.max - bounds.min + 1;
    let offsets = (0..=length).step_by(usize::try_from(step).unwrap_or(usize::MAX));
    offsets.fold(0, |bits, offset| bits | 1 << ((start - bounds.min + offset) % span + bounds.min))
}

/// A value of a field: a number or a name.
fn value(text: &str, whole: &str, bounds: Bounds) -> Result<u32, CronError> {
    let lower = text.to_lowercase();
    if let Some(index) = bounds.names.iter().position(|name| *name == lower) {
        return Ok(bounds.min + u32::try_from(index).unwrap_or_default());
    }
    let number = number(text, whole, bounds)?;
    let max = if bounds.name == WEEKDAY.name { 7 } else { bounds.max };
    if number < bounds.min || number > max {
        return Err(wrong(bounds, format!("`{}` is out of range in `{}`", shown(text), shown(whole))));
    }
    Ok(number)
}

fn number(text: &str, whole: &str, bounds: Bounds) -> Result<u32, CronError> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let parsed = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    parsed.ok_or_else(|| wrong(bounds, format!("`{}` is not understood in `{}`", shown(text), shown(whole))))
}

fn days_of_month(text: &str, days: &mut Days) -> Result<(), CronError> {
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let upper = part.to_ascii_uppercase();
        if upper == "L" {
            days.before_last |= 1;
        } else if matches!(upper.as_str(), "LW" | "WL") {
            days.last_weekday = true;
        } else if let Some(before) = upper.strip_prefix("L-") {
            let before = number(before, part, DAY)?;
            if before > 30 {
                return Err(wrong(DAY, format!("`{}` reaches before the first", shown(part))));
            }
            days.before_last |= 1 << before;
        } else if let Some(day) = upper.strip_suffix('W') {
            days.nearest_weekday |= 1 << value(day, part, DAY)?;
        } else {
            let (bits, is_star) = range(part, DAY)?;
            days.of_month |= low_half(bits);
            days.any_of_month |= is_star;
        }
    }
    Ok(())
}

fn days_of_week(text: &str, days: &mut Days) -> Result<(), CronError> {
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let upper = part.to_ascii_uppercase();
        if let Some((day, nth)) = upper.split_once('#') {
            let nth = number(nth, part, WEEKDAY)?;
            if !(1..=5).contains(&nth) {
                return Err(wrong(WEEKDAY, format!("`{}` counts beyond the fifth", shown(part))));
            }
            days.nth_of_week[nth as usize - 1] |= 1 << (value(day, part, WEEKDAY)? % 7);
        } else if upper == "L" {
            days.of_week |= 1 << 6;
        } else if let Some(day) = upper.strip_suffix('L').filter(|day| !day.is_empty()) {
            days.last_of_week |= 1 << (value(day, part, WEEKDAY)? % 7);
        } else {
            let (bits, is_star) = range(part, WEEKDAY)?;
            days.of_week |= bits as u8;
            days.any_of_week |= is_star;
        }
    }
    Ok(())
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}
