//! What is done to the members of a body.

use serde_json::Value;

use super::{Base, Body, Dice, one_of};

/// Stands where something is put in that no JSON value can hold.
const SLOT: &str = "\u{1}slot\u{1}";
const CHANGES_MAX: usize = 3;
/// Values that are unusual somewhere, as they are written.
const ODD: &[&str] = &[
    "null",
    "true",
    "0",
    "-1",
    "-0",
    "1.5",
    "1e999",
    "-1e999",
    "1e-999",
    "18446744073709551616",
    "9223372036854775808",
    "4294967296",
    "\"\"",
    "\" \"",
    "[]",
    "{}",
    "[[]]",
    "[null]",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\r\\nX: y\"",
    "NaN",
    "Infinity",
    "\"9999-12-31T23:59:59.999999999Z\"",
    "\"0000-00-00\"",
    "\"2026-03-29T02:30:00\"",
    "\"* * * * * *\"",
    "\"*/0 * * * * *\"",
    "\"0 0 0 31 2 *\"",
    "\"@every 1ns\"",
    "\"1s\"",
    "\"99999999999999999999h\"",
    "\"${secret:none}\"",
    "\"{{run_id}}{{\"",
    "\"http://[::1\"",
    "\"file:///etc/passwd\"",
    "\"http://169.254.169.254/\"",
    "\"http://a@b:c@d/\"",
    "\"backup\"",
    "\"***\"",
    "\"Antarctica/Troll\"",
    "\"(((((((a+)+)+)+)+)+)+$\"",
    "\"\u{202e}\u{0}\"",
    "\"\u{1f600}\"",
    "\"..\"",
    "1 2",
    "\"",
    "\\",
    ",",
];

/// Members are replaced, left out, doubled and made up; what is nested is nested deeply.
pub(super) fn done_to(base: &Base, dice: &mut Dice) -> Base {
    let Some(body) = &base.body else { return base.clone() };
    let bytes = match serde_json::from_slice::<Value>(&body.bytes) {
        Ok(value) => changed(value, dice),
        // Lines, or a form: one of the lines, or all of it as it is.
        Err(_) => lines(&body.bytes, dice),
    };
    Base { body: Some(Body { kind: kind(&body.kind, dice), bytes }), ..base.clone() }
}

fn kind(kind: &str, dice: &mut Dice) -> String {
    const KINDS: &[&str] =
        &["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-7", "*/*"];
    if dice.below(10) == 0 { one_of(KINDS, dice).to_owned() } else { kind.to_owned() }
}

fn lines(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in text.lines() {
        lines.push(match serde_json::from_str::<Value>(line) {
            Ok(value) if dice.below(2) == 0 => changed(value, dice),
            Ok(_) | Err(_) => line.as_bytes().to_vec(),
        });
    }
    if !lines.is_empty() {
        let line = lines[dice.below(lines.len())].clone();
        lines.extend(std::iter::repeat_n(line, dice.below(50)));
    }
    lines.join(one_of(&[&b"\n"[..], b"\r\n", b"\n\n", b"\r"], dice))
}

fn changed(mut value: Value, dice: &mut Dice) -> Vec<u8> {
    let mut odd = Vec::new();
    for _ in 0..=dice.below(CHANGES_MAX) {
        let mut pointers = vec![String::new()];
        gather(&value, "", &mut pointers);
        let pointer = &pointers[dice.below(pointers.len())];
        let Some(place) = value.pointer_mut(pointer) else { continue };
        match (dice.below(6), place) {
            (0, Value::Object(members)) if !members.is_empty() => {
                let name = members.keys().nth(dice.below(members.len())).cloned().unwrap_or_default();
                members.remove(&name);
            }
            (1, Value::Object(members)) => drop(members.insert("unknown".to_owned(), Value::from(SLOT))),
            (2, Value::Object(members)) => drop(members.insert(String::new(), Value::from(SLOT))),
            (_, place) => *place = Value::from(SLOT),
        }
        odd.push(written(dice));
    }
    let text = value.to_string();
    let mut parts = text.split("\"\\u0001slot\\u0001\"");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for (part, odd) in parts.zip(odd.iter().cycle()) {
        bytes.extend_from_slice(odd);
        bytes.extend_from_slice(part.as_bytes());
    }
    if dice.below(8) == 0 {
        doubled(&mut bytes, dice);
    }
    bytes
}

/// Every place in a value, as a pointer.
fn gather(value: &Value, at: &str, pointers: &mut Vec<String>) {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(values) => values.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (name, value) in members {
        let at = format!("{at}/{name}");
        pointers.push(at.clone());
        gather(value, &at, pointers);
    }
}

/// A value as it is written, perhaps a wrong one.
fn written(dice: &mut Dice) -> Vec<u8> {
    let (depth, length) = (1 + dice.below(300), 1 + dice.below(100_000));
    match dice.below(12) {
        0 => [b"[".repeat(depth), b"]".repeat(depth)].concat(),
        1 => [b"{\"a\":".repeat(depth), b"1".to_vec(), b"}".repeat(depth)].concat(),
        2 => b"[".repeat(length),
        3 => [b"\"", "x".repeat(length).as_bytes(), b"\""].concat(),
        4 => b"9".repeat(1 + dice.below(500)),
        5 => b"\"\xff\xfe\xc0\x80\"".to_vec(),
        _ => one_of(ODD, dice).as_bytes().to_vec(),
    }
}

/// The first member stands there twice.
fn doubled(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let Some(at) = bytes.iter().position(|byte| *byte == b'{') else { return };
    let member =
        one_of(&[&b"\"identity\":\"backup\","[..], b"\"entries\":{},", b"\"identity\":1,", b"\"\":0,\"\":0,"], dice);
    drop(bytes.splice(at + 1..at + 1, member.iter().copied()));
}
