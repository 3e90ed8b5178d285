/// What is logged, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The filter, as `env_logger` reads it: a level, or `module=level` pairs.
    pub filter: String,
    /// How a line is written.
    pub format: LogFormat,
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: time, level, message, then `field=value` pairs.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}
