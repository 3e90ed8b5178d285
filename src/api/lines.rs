//! Cuts a body into lines as it comes: whatever its length, no more of it is in memory than one line and one chunk.

use std::io::Write;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

use super::Settings;
use super::body::{BodyHead, Encoding};
use super::reply::ApiError;

/// How many bytes more than a body a line may hold: for what stands around a put, and for its revision. So what `/put` takes fits
/// into a line.
const FRAME_MAX: usize = 64;

/// One line of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counts from 1. Empty lines are counted, and passed over.
    pub(super) number: u64,
    /// What it says; `None`: it is longer than allowed.
    pub(super) text: Option<Bytes>,
}

/// A body that is read line by line.
pub(super) struct Lines<S> {
    body: Pin<Box<S>>,
    unpacking: Option<Unpacking>,
    /// What has come and is not given yet.
    waiting: BytesMut,
    /// So many bytes of it hold no end of a line.
    looked_at: usize,
    number: u64,
    /// The rest of a line that is too long is still coming.
    is_passing_over: bool,
    has_ended: bool,
    line_max: usize,
    silence_max: Duration,
    /// Until when something has to come. It stands here, not in the future that waits: that one is dropped and made anew.
    deadline: Option<Instant>,
}

impl<S, B> Lines<S>
where
    S: Stream<Item = Result<B, warp::Error>>,
    B: Buf,
{
    /// Nothing is read yet.
    pub(super) fn new(body: S, head: &BodyHead, settings: &Settings) -> Result<Self, ApiError> {
        let unpacking = match Encoding::of(head)? {
            Encoding::Plain => None,
            Encoding::Gzip => Some(Unpacking::default()),
        };
        Ok(Self {
            body: Box::pin(body),
            unpacking,
            waiting: BytesMut::new(),
            looked_at: 0,
            number: 0,
            is_passing_over: false,
            has_ended: false,
            line_max: settings.body_max + FRAME_MAX,
            silence_max: settings.body_timeout,
            deadline: None,
        })
    }

    /// Nothing is read for now, so the client's silence does not count.
    pub(super) fn rest(&mut self) {
        self.deadline = None;
    }

    /// The next line that is not empty; `None` at the end. May be dropped while it waits: nothing is lost. A last line without
    /// an end counts if the body came whole.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, ApiError> {
        loop {
            if let Some(line) = self.cut() {
                return Ok(Some(line));
            }
            if self.has_ended {
                return Ok(None);
            }
            self.fill().await?;
        }
    }

    /// The next line of what has come.
    fn cut(&mut self) -> Option<Line> {
        loop {
            let end =
                self.waiting[self.looked_at..].iter().position(|&byte| byte == b'\n').map(|at| self.looked_at + at);
            let text = match end {
                Some(end) => {
                    let text = self.waiting.split_to(end);
                    self.waiting.advance(1);
                    text
                }
                None if self.has_ended => self.waiting.split(),
                None if self.is_passing_over || self.waiting.len() > self.line_max + 1 => {
                    self.waiting.clear();
                    self.looked_at = 0;
                    return (!std::mem::replace(&mut self.is_passing_over, true)).then(|| self.number(None));
                }
                None => {
                    self.looked_at = self.waiting.len();
                    return None;
                }
            };
            self.looked_at = 0;
            if std::mem::take(&mut self.is_passing_over) {
                // The end of a line that has been told as too long.
            } else if !text.iter().all(u8::is_ascii_whitespace) {
                let text = text.freeze();
                let text = text.strip_suffix(b"\r").map_or(text.clone(), |kept| text.slice_ref(kept));
                return Some(self.number(Some(text).filter(|text| text.len() <= self.line_max)));
            } else if end.is_some() {
                self.number += 1;
            }
            end?;
        }
    }

    fn number(&mut self, text: Option<Bytes>) -> Line {
        self.number += 1;
        Line { number: self.number, text }
    }

    /// Takes in some more of the body.
    async fn fill(&mut self) -> Result<(), ApiError> {
        if let Some(unpacking) = self.unpacking.as_mut().filter(|unpacking| !unpacking.packed.is_empty()) {
            return unpacking.step(&mut self.waiting);
        }
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + self.silence_max);
        // What has come is taken even when it is late.
        let next = tokio::time::timeout_at(deadline, self.body.next());
        let silent = |_| {
            let seconds = self.silence_max.as_secs();
            ApiError::Unreadable(format!("nothing came for {seconds} s ([server] body_timeout_s)"))
        };
        let chunk = next.await.map_err(silent)?;
        self.deadline = None;
        match (chunk.transpose().map_err(|error| ApiError::Unreadable(error.to_string()))?, &mut self.unpacking) {
            (Some(mut chunk), Some(unpacking)) => unpacking.packed = chunk.copy_to_bytes(chunk.remaining()),
            (Some(mut chunk), None) => self.waiting.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining())),
            (None, unpacking) => {
                if let Some(unpacking) = unpacking {
                    unpacking.end(&mut self.waiting)?;
                }
                self.has_ended = true;
            }
        }
        Ok(())
    }
}

/// Unpacks in steps: a few packed bytes can stand for very many.
struct Unpacking {
    decoder: MultiGzDecoder<Vec<u8>>,
    packed: Bytes,
}

impl Default for Unpacking {
    fn default() -> Self {
        Self { decoder: MultiGzDecoder::new(Vec::new()), packed: Bytes::new() }
    }
}

impl Unpacking {
    /// One step of the decoder, which gives some tens of KiB at most.
    fn step(&mut self, unpacked: &mut BytesMut) -> Result<(), ApiError> {
        let taken = self.decoder.write(&self.packed).map_err(|error| no_gzip(&error))?;
        self.packed.advance(taken);
        self.give(unpacked);
        Ok(())
    }

    fn end(&mut self, unpacked: &mut BytesMut) -> Result<(), ApiError> {
        self.decoder.try_finish().map_err(|error| no_gzip(&error))?;
        self.give(unpacked);
        Ok(())
    }

    fn give(&mut self, unpacked: &mut BytesMut) {
        unpacked.extend_from_slice(self.decoder.get_ref());
        self.decoder.get_mut().clear();
    }
}

fn no_gzip(error: &std::io::Error) -> ApiError {
    ApiError::Unreadable(format!("it is no gzip ({error})"))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    /// Gives each line as its number and text, and how it ended.
    fn read(
        chunks: &[Vec<u8>],
        encoding: Option<&str>,
        line_max: usize,
    ) -> (Vec<(u64, Option<String>)>, Option<String>) {
        let head = BodyHead { length: None, encoding: encoding.map(str::to_owned), expects_word: false };
        let body =
            futures_util::stream::iter(chunks.iter().map(|chunk| Ok::<_, warp::Error>(Bytes::from(chunk.clone()))));
        let mut lines = Lines { line_max, ..Lines::new(body, &head, &Settings::default()).unwrap() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut read = Vec::new();
            loop {
                match lines.next().await {
                    Ok(Some(line)) => {
                        read.push((line.number, line.text.map(|text| String::from_utf8(text.to_vec()).unwrap())));
                    }
                    Ok(None) => return (read, None),
                    Err(error) => return (read, Some(error.to_string())),
                }
            }
        })
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn in_chunks(bytes: &[u8], size: usize) -> Vec<Vec<u8>> {
        bytes.chunks(size).map(<[u8]>::to_vec).collect()
    }

    fn text(number: u64, text: &str) -> (u64, Option<String>) {
        (number, Some(text.to_owned()))
    }

    #[test]
    fn lines_are_numbered_as_they_stand_and_empty_ones_passed_over() {
        let body = b"\na\r\n\n  \nbc\n\xc3\xa9";

        for size in 1..body.len() {
            let (lines, error) = read(&in_chunks(body, size), None, 10);
            assert_eq!(lines, [text(2, "a"), text(5, "bc"), text(6, "é")]);
            assert_eq!(error, None);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_the_next_one_is_read() {
        let body = format!("ab\n{}\ncd\n{}", "x".repeat(50), "y".repeat(11));

        for size in 1..body.len() {
            let (lines, _) = read(&in_chunks(body.as_bytes(), size), None, 10);
            assert_eq!(lines, [text(1, "ab"), (2, None), text(3, "cd"), (4, None)], "{size}");
        }
        let (fits, _) = read(&in_chunks(b"0123456789\r\n0123456789", 3), None, 10);
        assert_eq!(fits, [text(1, "0123456789"), text(2, "0123456789")]);
    }

    #[test]
    fn a_packed_body_is_unpacked_and_one_that_breaks_off_is_told() {
        let packed = gzip(b"a\nb\n");
        let several = [gzip(b"a\n"), gzip(b"b\n")].concat();

        for size in 1..packed.len() {
            assert_eq!(read(&in_chunks(&packed, size), Some("gzip"), 10), (vec![text(1, "a"), text(2, "b")], None));
            assert_eq!(read(&in_chunks(&several, size), Some("GZIP"), 10), (vec![text(1, "a"), text(2, "b")], None));
            let (_, error) = read(&in_chunks(&packed[..size], 4), Some("gzip"), 10);
            assert!(error.unwrap().starts_with("the body cannot be read: it is no gzip"));
        }
        assert!(read(&in_chunks(b"no gzip at all", 3), Some("gzip"), 10).1.is_some());
    }

    #[test]
    fn a_bomb_is_unpacked_in_small_steps() {
        let packed = gzip(&vec![b'x'; 64 * 1024 * 1024]);
        let (mut unpacking, mut unpacked) =
            (Unpacking { packed: packed.into(), ..Unpacking::default() }, BytesMut::new());

        while !unpacking.packed.is_empty() {
            unpacking.step(&mut unpacked).unwrap();
            assert!(unpacked.len() <= 256 * 1024, "{}", unpacked.len());
            unpacked.clear();
        }
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_lines_are_the_same(
            body in "[ab\r\n ]{0,60}|(x{0,20}\n){0,4}", sizes in prop::collection::vec(1usize..9, 1..20), packed in any::<bool>(),
        ) {
            let bytes = if packed { gzip(body.as_bytes()) } else { body.clone().into_bytes() };
            let (mut chunks, mut rest) = (Vec::new(), bytes.as_slice());
            for size in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, more) = rest.split_at((*size).min(rest.len()));
                chunks.push(chunk.to_vec());
                rest = more;
            }
            let whole: Vec<(u64, Option<String>)> = body.split('\n').zip(1..)
                .filter(|(line, _)| !line.trim().is_empty())
                .map(|(line, number)| (number, line.strip_suffix('\r').unwrap_or(line)))
                .map(|(number, line)| (number, (line.len() <= 12).then(|| line.to_owned())))
                .collect();
            prop_assert_eq!(read(&chunks, packed.then_some("gzip"), 12), (whole, None));
        }
    }
}
