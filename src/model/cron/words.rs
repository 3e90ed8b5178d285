//! What an expression says, in English.

use super::calendar::first_bit;
use super::{Days, Fields, Rule};

const MONTHS: [&str; 13] = [
    "",
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// So many times of a day are listed one by one.
const TIMES_MAX: u32 = 6;

pub(super) fn describe(rule: &Rule) -> String {
    match rule {
        Rule::Every { period_s } => format!("every {}", span(*period_s)),
        Rule::Fields(fields) => {
            let parts = [time(fields), days(&fields.days), months(fields.months)];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
        }
    }
}

fn span(seconds: u32) -> String {
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let shown: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    shown.join(" ")
}

fn time(fields: &Fields) -> String {
    let (seconds, minutes, hours) = (values(fields.seconds), values(fields.minutes), values(fields.hours.into()));
    if seconds.len() * minutes.len() * hours.len() <= TIMES_MAX as usize {
        let mut times = Vec::new();
        for hour in &hours {
            for minute in &minutes {
                times.extend(seconds.iter().map(|second| format!("{hour:02}:{minute:02}:{second:02}")));
            }
        }
        return format!("at {}", list(&times));
    }
    let second = unit(&seconds, 60, "second");
    let minute = unit(&minutes, 60, "minute");
    let hour = unit(&hours, 24, "hour");
    match (seconds.len(), minutes.len(), hours.len()) {
        (60, 60, 24) => "every second".to_owned(),
        (_, 60, 24) => {
            if seconds == [0] {
                "every minute".to_owned()
            } else {
                format!("{second} of every minute")
            }
        }
        (_, _, 24) if seconds == [0] && minutes == [0] => "every hour".to_owned(),
        (_, _, 24) if seconds == [0] => format!("{minute} of every hour"),
        (_, _, 24) => format!("{second} of {minute} of every hour"),
        _ if seconds == [0] && minutes == [0] => hour,
        _ if seconds == [0] => format!("{minute} of {hour}"),
        _ => format!("{second} of {minute} of {hour}"),
    }
}

/// The values of one field: all, each n-th, or listed.
fn unit(values: &[u32], all: u32, name: &str) -> String {
    let step = values.get(1).map_or(all, |second| second - values[0]);
    let is_even = values[0] == 0 && all.is_multiple_of(step) && values.len() as u32 == all / step;
    match values.len() as u32 {
        count if count == all => format!("every {name}"),
        1 => format!("{name} {}", values[0]),
        count if is_even && count > 2 => format!("every {step} {name}s"),
        _ => format!("{name}s {}", list(&ranges(values, &|value| value.to_string()))),
    }
}

fn days(days: &Days) -> String {
    let of_month = of_month(days);
    let of_week = of_week(days);
    match (days.any_of_month, days.any_of_week) {
        (true, true) => String::new(),
        (true, false) => on(&of_week),
        (false, true) => on(&of_month),
        (false, false) => on(&format!("{of_month} or {of_week}")),
    }
}

fn on(days: &str) -> String {
    if days.is_empty() { String::new() } else { format!("on {days}") }
}

fn of_month(days: &Days) -> String {
    let mut parts = Vec::new();
    let plain = values(days.of_month.into());
    if !plain.is_empty() {
        let name = if plain.len() == 1 { "day" } else { "days" };
        parts.push(format!("{name} {} of the month", list(&ranges(&plain, &|day| day.to_string()))));
    }
    parts.extend(values(days.before_last.into()).iter().map(|before| match before {
        0 => "the last day of the month".to_owned(),
        before => format!("the day {before} before the last of the month"),
    }));
    parts.extend(values(days.nearest_weekday.into()).iter().map(|day| format!("the weekday nearest to day {day}")));
    if days.last_weekday {
        parts.push("the last weekday of the month".to_owned());
    }
    list(&parts)
}

fn of_week(days: &Days) -> String {
    let name = |day: u32| WEEKDAYS[day as usize].to_owned();
    let mut parts = ranges(&values(days.of_week.into()), &name);
    parts
        .extend(values(days.last_of_week.into()).into_iter().map(|day| format!("the last {} of the month", name(day))));
    for (nth, set) in ["first", "second", "third", "fourth", "fifth"].iter().zip(days.nth_of_week) {
        parts.extend(values(set.into()).into_iter().map(|day| format!("the {nth} {} of the month", name(day))));
    }
    list(&parts)
}

fn months(set: u16) -> String {
    let months = values(set.into());
    if months.len() == 12 {
        return String::new();
    }
    format!("in {}", list(&ranges(&months, &|month| MONTHS[month as usize].to_owned())))
}

fn values(set: u64) -> Vec<u32> {
    std::iter::successors(first_bit(set, 0), |&last| first_bit(set, last + 1)).collect()
}

/// Neighbours become `a to b`.
fn ranges(values: &[u32], name: &dyn Fn(u32) -> String) -> Vec<String> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &value in values {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == value => *last = value,
            Some(_) | None => ranges.push((value, value)),
        }
    }
    let text = |(first, last): (u32, u32)| match last - first {
        0 => vec![name(first)],
        1 => vec![name(first), name(last)],
        _ => vec![format!("{} to {}", name(first), name(last))],
    };
    ranges.into_iter().flat_map(text).collect()
}

fn list(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
