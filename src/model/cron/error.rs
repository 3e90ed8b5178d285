use crate::model::TimeZoneError;

/// Why an expression is refused. One line, with the text that is wrong and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Nothing was given.
    #[error("is empty, expected six fields: second minute hour day-of-month month day-of-week")]
    Empty,
    /// More than the limit.
    #[error("is {len} bytes long, expected at most {max}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest expression allowed, in bytes.
        max: usize,
    },
    /// Five fields: most likely without seconds.
    #[error("has five fields, expected six with the seconds first; did you mean `{}`?", with_seconds)]
    FiveFields {
        /// The six-field form.
        with_seconds: String,
    },
    /// Another number of fields.
    #[error("has {count} fields, expected six: second minute hour day-of-month month day-of-week")]
    FieldCount {
        /// How many there are.
        count: usize,
    },
    /// One field is wrong.
    #[error("{field}: {problem}, expected {expected}")]
    Field {
        /// The name of the field.
        field: &'static str,
        /// What is wrong with which text.
        problem: String,
        /// What the field takes.
        expected: &'static str,
    },
    /// A word after `@` that is not known.
    #[error("unknown descriptor `{text}`, expected @yearly, @monthly, @weekly, @daily, @hourly or `@every 1h30m`")]
    Descriptor {
        /// The word.
        text: String,
    },
    /// The duration after `@every` is wrong.
    #[error("`{text}` is no duration ({problem}), expected one such as `@every 1h30m` or `@every 90s`")]
    Duration {
        /// The duration.
        text: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The zone of the prefix is wrong.
    #[error("the prefix names an {0}")]
    Zone(#[from] TimeZoneError),
    /// No instant matches, ever.
    #[error("never fires: {reason}")]
    Never {
        /// Why.
        reason: &'static str,
    },
}
