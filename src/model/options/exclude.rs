//! Reads the days on which an entry names nothing.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use serde_json::value::RawValue;

use crate::model::Exclude;
use crate::model::object::{Mistakes, Object, array, shown, string, word};

const KEYS: [&str; 2] = ["dates", "weekdays"];
/// How many dates an entry may exclude. More are refused.
const DATES_MAX: usize = 1_000;
/// From bit 0 on.
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Exclude {
    pub(super) fn read(members: &Object<'_>, mistakes: &mut Mistakes) -> Self {
        members.refuse_unknown(&KEYS, mistakes);
        let dates = members.get("dates").map(|raw| dates(raw, &members.path_of("dates"), mistakes));
        let weekdays = members.get("weekdays").map(|raw| weekdays(raw, &members.path_of("weekdays"), mistakes));
        Self { dates: dates.unwrap_or_default(), weekdays: weekdays.unwrap_or_default() }
    }
}

fn dates(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> BTreeSet<NaiveDate> {
    let items = array(raw, path, "dates such as \"2026-12-25\"", 0..=DATES_MAX, mistakes).unwrap_or_default();
    let read = |(index, raw): (usize, &RawValue)| date(raw, &format!("{path}[{index}]"), mistakes);
    items.into_iter().enumerate().filter_map(read).collect()
}

fn date(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> Option<NaiveDate> {
    let text = string(raw, path, mistakes)?;
    // `parse_from_str` is lenient about digits and signs: what it read is written again and compared.
    let read = NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok();
    let date = read.filter(|date| text.len() == 10 && date.format("%Y-%m-%d").to_string() == text);
    if date.is_none() {
        mistakes.add(path, format_args!("is `{}`, expected a date such as 2026-12-25", shown(&text)));
    }
    date
}

fn weekdays(raw: &RawValue, path: &str, mistakes: &mut Mistakes) -> u8 {
    let items = array(raw, path, "weekdays such as \"sat\"", 0..=WEEKDAYS.len(), mistakes).unwrap_or_default();
    let bit = |text: &str| WEEKDAYS.iter().position(|name| name.eq_ignore_ascii_case(text)).map(|bit| 1 << bit);
    let read = |(index, raw): (usize, &RawValue)| word(raw, &format!("{path}[{index}]"), bit, &WEEKDAYS, mistakes);
    let weekdays = items.into_iter().enumerate().filter_map(read).fold(0, |set, bit: u8| set | bit);
    if weekdays == Exclude::ALL_WEEKDAYS {
        mistakes.add(path, "name every day of the week, expected at least one to be left");
    }
    weekdays
}
