//! HTTP/2 that begins well, and frames that do not.

use super::{Base, Dice, PREFACE, bytes, frame, one_of};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const FRAMES_MAX: usize = 12;
const PAYLOAD_MAX: usize = 64;

/// A request over HTTP/2 with frames that nobody expects before, within and behind it.
pub(super) fn made(base: &Base, key: Option<&str>, dice: &mut Dice) -> Vec<u8> {
    let body = base.body.as_ref().map(|body| body.bytes.as_slice()).unwrap_or_default();
    let mut frames = vec![frame(SETTINGS, 0, 0, &[])];
    frames.push(frame(HEADERS, END_HEADERS | if body.is_empty() { END_STREAM } else { 0 }, 1, &head(base, key)));
    if !body.is_empty() {
        frames.push(frame(DATA, END_STREAM, 1, body));
    }
    for _ in 0..dice.below(FRAMES_MAX) {
        let at = dice.below(frames.len() + 1);
        frames.insert(at, odd(dice));
    }
    let sent = [PREFACE, &frames.concat()].concat();
    if dice.below(3) == 0 { bytes::done_to(sent, dice) } else { sent }
}

/// Without compression: names and values as they are.
fn head(base: &Base, key: Option<&str>) -> Vec<u8> {
    let mut head = Vec::new();
    let fields =
        [(":method", base.method.as_str()), (":scheme", "http"), (":path", &base.target), (":authority", "localhost")];
    for (name, value) in fields.into_iter().chain(key.map(|key| ("x-api-key", key))) {
        // Literal, never indexed, with a new name; lengths of 127 and more have bytes of their own.
        head.push(0x10);
        for text in [name, value] {
            length(text.len(), &mut head);
            head.extend_from_slice(text.as_bytes());
        }
    }
    head
}

fn length(length: usize, head: &mut Vec<u8>) {
    match u8::try_from(length) {
        Ok(short @ ..127) => head.push(short),
        Ok(_) | Err(_) => {
            head.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                head.push(u8::try_from(rest % 128).unwrap_or_default() | 128);
                rest /= 128;
            }
            head.push(u8::try_from(rest).unwrap_or_default());
        }
    }
}

fn odd(dice: &mut Dice) -> Vec<u8> {
    let payload: Vec<u8> =
        (0..dice.below(PAYLOAD_MAX)).map(|_| u8::try_from(dice.below(256)).unwrap_or_default()).collect();
    let kind = u8::try_from(dice.below(12)).unwrap_or_default();
    let flags = u8::try_from(dice.below(256)).unwrap_or_default();
    let stream = one_of(&[0, 1, 1, 2, 3, 5, 0x7fff_ffff, 0x8000_0001], dice);
    let mut frame = frame(kind, flags, stream, &payload);
    if dice.below(8) == 0 {
        // Another length than what follows.
        frame[dice.below(3)] = u8::try_from(dice.below(256)).unwrap_or_default();
    }
    frame
}
