//! What the grammar of JSON allows and other programs do not read: values that are nested very deeply, and halves of characters.
//! Whatever is taken in goes on to targets, stores and clients, so it is refused at the door.

/// How deeply values may stand in each other. What is nested more deeply is refused: most readers stop at this depth.
pub(super) const DEPTH_MAX: usize = 128;

/// Why a text that is JSON is refused. It continues a sentence that begins with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StrictError {
    /// Values stand too deeply in each other.
    #[error("is nested more than {max} levels deep at byte {at}")]
    TooDeep {
        /// How deeply they may.
        max: usize,
        /// Where.
        at: usize,
    },
    /// Half of a character: the other half is missing.
    #[error("holds `\\u{code:04x}` at byte {at}, half of a pair whose other half is missing")]
    Surrogate {
        /// Which.
        code: u16,
        /// Where.
        at: usize,
    },
}

/// Looks through a text that is known to be JSON.
pub(super) fn check(text: &str, depth_max: usize) -> Result<(), StrictError> {
    let bytes = text.as_bytes();
    let (mut depth, mut at, mut in_string) = (0, 0, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                at += escape(bytes, at)?;
                continue;
            }
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > depth_max {
                    return Err(StrictError::TooDeep { max: depth_max, at });
                }
            }
            // Brackets come in pairs.
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// How many bytes the escape at `at` takes, a pair as one.
fn escape(bytes: &[u8], at: usize) -> Result<usize, StrictError> {
    const ESCAPE: usize = 6;
    match unit(bytes, at) {
        None => Ok(2),
        Some(0xD800..=0xDBFF) if matches!(unit(bytes, at + ESCAPE), Some(0xDC00..=0xDFFF)) => Ok(2 * ESCAPE),
        Some(code @ 0xD800..=0xDFFF) => Err(StrictError::Surrogate { code, at }),
        Some(_) => Ok(ESCAPE),
    }
}

/// The number in an escape such as `\u00e9`.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_may_be_nested_up_to_the_limit_and_brackets_in_strings_count_for_nothing() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));

        assert_eq!(check(&nested(128), 128), Ok(()));
        assert_eq!(check(&nested(129), 128), Err(StrictError::TooDeep { max: 128, at: 128 }));
        assert_eq!(check(&format!("[{0},{0}]", nested(127)), 128), Ok(()));
        assert_eq!(check(r#"["[[[[\"[[[[", {"{{{\\": []}]"#, 3), Ok(()));
    }

    #[test]
    fn a_half_of_a_pair_is_refused_wherever_it_stands() {
        for text in [r#""\ud83d\ude00""#, r#""\\ud800""#, r#"{"\u00e9":"\uD83D\uDE00\n"}"#, r#""\uffff""#] {
            assert_eq!(check(text, 9), Ok(()), "{text}");
        }
        for (text, code, at) in [
            (r#""\ud800""#, 0xD800, 1),
            (r#"{"a\udc00":1}"#, 0xDC00, 3),
            (r#""\ud83d\u0041""#, 0xD83D, 1),
            (r#""\ud83d\ud83d\ude00""#, 0xD83D, 1),
        ] {
            assert_eq!(check(text, 9), Err(StrictError::Surrogate { code, at }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_serde_json_reads_is_never_refused(text in r#"(\[|\]|\{|\}|"|\\u[dD][8-9a-fA-F][0-9]{2}|\\u00e9|\\\\|\\"|a|1|:|,){0,14}"#) {
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
                prop_assert_eq!(check(&text, DEPTH_MAX), Ok(()));
            }
        }
    }
}
