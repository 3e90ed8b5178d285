//! What is done to the bytes of a request, whatever they mean.

use super::{Dice, one_of};

const ODD: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\r\n\r\n",
    b":",
    b" ",
    b"\t",
    b"%",
    b"%00",
    b"{\"",
    b"[[[",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: upgrade\r\n",
    b"Content-Encoding: gzip\r\n",
    b"\\ud800",
    b"99999999999999999999",
    b"1e999",
    b"HTTP/9.9",
];
const SLIPS_MAX: usize = 5;
const REPEATED_MAX: usize = 20_000;
const GARBAGE_MAX: usize = 2_000;

/// Bytes are changed, put in, left out, cut off and repeated.
pub(super) fn done_to(mut bytes: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    for _ in 0..=dice.below(SLIPS_MAX) {
        if bytes.is_empty() {
            break;
        }
        let at = dice.below(bytes.len());
        match dice.below(7) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = u8::try_from(dice.below(256)).unwrap_or_default(),
            2 => drop(bytes.splice(at..at, one_of(ODD, dice).iter().copied())),
            3 => drop(bytes.drain(at..(at + 1 + dice.below(20)).min(bytes.len()))),
            4 => bytes.truncate(at),
            5 => {
                let (byte, count) = (bytes[at], dice.below(REPEATED_MAX));
                drop(bytes.splice(at..at, std::iter::repeat_n(byte, count)));
            }
            _ => {
                let part = bytes[at..(at + 1 + dice.below(200)).min(bytes.len())].to_vec();
                let to = dice.below(bytes.len());
                drop(bytes.splice(to..to, part));
            }
        }
    }
    bytes
}

/// Anything at all.
pub(super) fn garbage(dice: &mut Dice) -> Vec<u8> {
    (0..dice.below(GARBAGE_MAX)).map(|_| u8::try_from(dice.below(256)).unwrap_or_default()).collect()
}
