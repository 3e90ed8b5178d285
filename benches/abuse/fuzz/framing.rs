//! What is done to a request line, to headers, lengths and chunks.

use super::{Base, Dice, one_of};

const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PATCH",
    "get",
    "PRI",
    "G\u{c4}T",
    "",
    "A-VERY-LONG-ONE",
];
const PARTS: &[&str] = &[
    "%00",
    "%2F",
    "%2f..%2f",
    "..",
    ".",
    "//",
    "/",
    "%",
    "%zz",
    "%ff",
    "%F0%9F%98%80",
    "?",
    "#",
    "&",
    "=",
    ":",
    ";",
    "*",
    "\\",
    "?limit=-1",
    "?limit=1e9",
    "?skip=99999999999999999999",
    "?limit=1&limit=2",
    "?before=x",
    "?fromDate=20220230&toDate=x",
    "?status=FAILED,,",
    "?maxResults=0&startAt=-1",
    "?query=%00%ff",
    "http://b/",
    "@",
    "backup%3A",
    "\u{e4}",
];
const HEADERS: &[&str] = &[
    "Host: b",
    "Host:",
    "Host: [::1]:99999",
    "Content-Length: 5",
    "Content-Length: -1",
    "Content-Length: 18446744073709551616",
    "Content-Length: 1, 1",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: \u{b}chunked",
    "Content-Encoding: gzip",
    "Content-Encoding: br",
    "Expect: 100-continue",
    "Expect: 200-ok",
    "Connection: close, upgrade",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMAAABkAAQAAP__",
    "Origin: http://evil.example",
    "Authorization: Bearer",
    "Authorization: Basic YTpi",
    "X-Api-Key:",
    "X-Api-Key: sk_\u{e4}",
    "Cookie: a=b",
    "Range: bytes=9-1",
    "If-Match: *",
    "X-Schedule-Peer: 1",
    " folded: x",
    "a : b",
    "a",
    ": b",
    "X-Forwarded-For: 127.0.0.1",
    "Accept: */*;q=nan",
    "Content-Type: application/json",
    "Trailer: x",
    "TE: trailers",
];
const VERSIONS: &[&str] = &["HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.1 ", "http/1.1", "", "HTTP/1.10"];
const SIZES: &[&str] =
    &["0", "-1", "ffffffffffffffff", "10000000000000000", "1g", "", "00000000000000000005", "5;a=b", "5 ", "+5"];

/// Another path or query.
pub(super) fn path_of(base: &Base, dice: &mut Dice) -> Base {
    let mut target = base.target.clone();
    for _ in 0..=dice.below(3) {
        let at = dice.below(target.len() + 1);
        let part = match dice.below(12) {
            0 => "a".repeat(dice.below(20_000)),
            1 => "/a".repeat(dice.below(2_000)),
            _ => one_of(PARTS, dice).to_owned(),
        };
        match target.is_char_boundary(at) {
            true => target.insert_str(at, &part),
            false => target.push_str(&part),
        }
    }
    Base { target, ..base.clone() }
}

/// Another method or version, other headers and lengths, chunks.
pub(super) fn done_to(base: &Base, key: Option<&str>, dice: &mut Dice) -> Vec<u8> {
    let method = if dice.below(2) == 0 { one_of(METHODS, dice) } else { &base.method };
    let version = if dice.below(4) == 0 { one_of(VERSIONS, dice) } else { "HTTP/1.1" };
    let mut lines = vec![format!("{method} {} {version}", base.target), "Host: localhost".to_owned()];
    lines.extend(key.map(|key| format!("X-Api-Key: {key}")));
    let body = base.body.as_ref().map(|body| body.bytes.as_slice()).unwrap_or_default();
    let is_chunked = dice.below(2) == 0;
    lines.push(match is_chunked {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {}", (body.len() + dice.below(3)).saturating_sub(dice.below(3))),
    });
    for _ in 0..dice.below(4) {
        let at = 1 + dice.below(lines.len());
        lines.insert(at, one_of(HEADERS, dice).to_owned());
    }
    if dice.below(10) == 0 {
        let header = format!("X-Pad: {}", "x".repeat(dice.below(3_000)));
        lines.extend(std::iter::repeat_n(header, dice.below(150)));
    }
    let head = lines.join("\r\n") + "\r\n\r\n";
    let sent = if is_chunked { chunks(body, dice) } else { body.to_vec() };
    let once = [head.as_bytes(), &sent].concat();
    // Several in a row, too.
    once.repeat(1 + dice.below(3) * dice.below(2))
}

fn chunks(body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut sent = Vec::new();
    for part in body.chunks(1 + dice.below(40)) {
        let size = if dice.below(20) == 0 { one_of(SIZES, dice).to_owned() } else { format!("{:x}", part.len()) };
        sent.extend_from_slice(size.as_bytes());
        sent.extend_from_slice(if dice.below(30) == 0 { b"\n" } else { b"\r\n" });
        sent.extend_from_slice(part);
        sent.extend_from_slice(b"\r\n");
    }
    sent.extend_from_slice(one_of(&[&b"0\r\n\r\n"[..], b"0\r\n\r\n", b"0\r\nx: y\r\n\r\n", b"0\r\n", b""], dice));
    sent
}
