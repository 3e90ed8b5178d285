//! Which part of a result a client wants (RFC 9110, section 14).

/// What to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// From the first byte to the last one, both included.
    Bytes(u64, u64),
    /// None of the bytes asked for are there.
    Unsatisfiable,
}

/// Reads a `Range` header. One that is not understood, or asks for several parts, counts as absent.
pub(super) fn read(header: Option<&str>, size: u64) -> Part {
    let Some((first, last)) = header.and_then(ends) else { return Part::Whole };
    let range = match (first, last) {
        (Some(first), Some(last)) if first > last => return Part::Whole,
        (Some(first), last) => (first, last.unwrap_or(u64::MAX)),
        (None, Some(0)) => return Part::Unsatisfiable,
        (None, Some(suffix)) => (size.saturating_sub(suffix), u64::MAX),
        (None, None) => return Part::Whole,
    };
    match range {
        (first, _) if first >= size => Part::Unsatisfiable,
        (first, last) => Part::Bytes(first, last.min(size - 1)),
    }
}

fn ends(header: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, range) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    Some((number(first)?, number(last)?))
}

/// `Some(None)`: nothing stands there.
fn number(text: &str) -> Option<Option<u64>> {
    match text.trim() {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            // More digits than any size has.
            Some(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_what_is_there() {
        let part = |header| read(Some(header), 100);

        assert_eq!(part("bytes=0-9"), Part::Bytes(0, 9));
        assert_eq!(part("bytes=90-"), Part::Bytes(90, 99));
        assert_eq!(part("Bytes = 90-1000"), Part::Bytes(90, 99));
        assert_eq!(part("bytes=-10"), Part::Bytes(90, 99));
        assert_eq!(part("bytes=-1000"), Part::Bytes(0, 99));
        assert_eq!(part("bytes=99999999999999999999999-"), Part::Unsatisfiable);
        assert_eq!(part("bytes=100-"), Part::Unsatisfiable);
        assert_eq!(part("bytes=-0"), Part::Unsatisfiable);
    }

    #[test]
    fn a_range_that_is_not_understood_is_none() {
        for header in ["", "bytes", "bytes=", "bytes=-", "bytes=5-1", "bytes=0-1,5-9", "items=0-1", "bytes=a-b"] {
            assert_eq!(read(Some(header), 100), Part::Whole, "{header}");
        }
        assert_eq!(read(None, 100), Part::Whole);
        assert_eq!(read(Some("bytes=0-"), 0), Part::Unsatisfiable);
    }
}
