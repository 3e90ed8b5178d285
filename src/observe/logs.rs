//! Log lines: one line a message, with fields that filter well, to standard error.

use std::fmt::Write as _;
use std::io::Write as _;

use env_logger::{Builder, Target, WriteStyle};
use log::kv::{Error, Key, Value, VisitSource};
use log::{LevelFilter, Record, error};
use serde_json::Map;

use super::{LogFormat, Settings};
use crate::model::Timestamp;

/// Installs the logger. `RUST_LOG`, where it is set, wins over the settings. Only the first call counts.
pub fn init(settings: &Settings, now: impl Fn() -> Timestamp + Send + Sync + 'static) {
    let format = settings.format;
    let filter = std::env::var("RUST_LOG").ok().filter(|filter| !filter.trim().is_empty());
    let filter = filter.unwrap_or_else(|| settings.filter.clone());
    let mut builder = Builder::new();
    builder.parse_filters(&quiet(&filter)).target(Target::Stderr).write_style(WriteStyle::Never);
    builder.format(move |out, record| writeln!(out, "{}", line(format, now(), record)));
    // A second call comes from a test in the same process: the first logger serves as well.
    let _ = builder.try_init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(place; "a part of the program panicked: {}", panic.payload_as_str().unwrap_or("no message"));
    }));
}

/// Our own level does not open the libraries' floodgates: they warn at most, unless they are named.
fn quiet(filter: &str) -> String {
    match filter.trim().parse::<LevelFilter>() {
        Ok(level) if level > LevelFilter::Warn => format!("warn,schedule_service={level}"),
        Ok(_) | Err(_) => filter.to_owned(),
    }
}

/// Whether a text is a level, or `module=level` pairs. A word that is no level would be taken for a module.
pub fn is_filter(text: &str) -> bool {
    let is_level = |word: &str| word.trim().parse::<LevelFilter>().is_ok();
    let is_part = |part: &str| is_level(part.rsplit_once('=').map_or(part, |(_, level)| level));
    text.split(',').all(is_part) && env_filter::Builder::new().try_parse(text).is_ok()
}

fn line(format: LogFormat, time: Timestamp, record: &Record<'_>) -> String {
    match format {
        LogFormat::Text => text_line(time, record),
        LogFormat::Json => json_line(time, record),
    }
}

fn text_line(time: Timestamp, record: &Record<'_>) -> String {
    let mut line = format!("{time} {:<5} ", record.level());
    push_escaped(&mut line, &record.args().to_string());
    let mut fields = TextFields(line);
    // Writing to a string cannot fail, and our own values do not.
    let _ = record.key_values().visit(&mut fields);
    fields.0
}

struct TextFields(String);

impl<'kvs> VisitSource<'kvs> for TextFields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let value = value.to_string();
        let needs_quotes = value.is_empty() || value.contains([' ', '"', '=']);
        let _ = write!(self.0, " {key}=");
        if needs_quotes {
            let _ = write!(self.0, "{value:?}");
        } else {
            push_escaped(&mut self.0, &value);
        }
        Ok(())
    }
}

/// A message stays in its line, whatever is in it.
fn push_escaped(line: &mut String, text: &str) {
    for letter in text.chars() {
        if letter.is_control() {
            line.extend(letter.escape_debug());
        } else {
            line.push(letter);
        }
    }
}

fn json_line(time: Timestamp, record: &Record<'_>) -> String {
    let mut fields = JsonFields(Map::new());
    // A value that cannot be shown is left out; the message stands.
    let _ = record.key_values().visit(&mut fields);
    let mut members = fields.0;
    members.insert("@timestamp".to_owned(), time.to_string().into());
    members.insert("level".to_owned(), record.level().as_str().to_lowercase().into());
    members.insert("module".to_owned(), record.target().into());
    members.insert("message".to_owned(), record.args().to_string().into());
    serde_json::Value::Object(members).to_string()
}

struct JsonFields(Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for JsonFields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let json = match (value.to_u64(), value.to_i64(), value.to_bool()) {
            (Some(number), _, _) => number.into(),
            (None, Some(number), _) => number.into(),
            (None, None, Some(flag)) => flag.into(),
            (None, None, None) => value.to_string().into(),
        };
        self.0.insert(key.to_string(), json);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    fn written(format: LogFormat, message: &str) -> String {
        let fields: &[(&str, Value<'_>)] = &[("identity", "a b".into()), ("lateness_ms", 3.into())];
        let time = Timestamp::from_millis(1_795_224_765_001);
        let mut line = String::new();
        let args = format_args!("{message}").to_string();
        let mut builder = Record::builder();
        builder.level(Level::Info).target("schedule_service::engine").key_values(&fields);
        line.push_str(&super::line(format, time, &builder.args(format_args!("{args}")).build()));
        line
    }

    #[test]
    fn a_text_line_has_time_level_message_and_fields() {
        let line = written(LogFormat::Text, "fired");

        assert_eq!(line, "2026-11-21T01:32:45.001Z INFO  fired identity=\"a b\" lateness_ms=3");
    }

    #[test]
    fn a_json_line_is_one_object_with_the_same_fields() {
        let line = written(LogFormat::Json, "fired");

        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            (&json["message"], &json["lateness_ms"], &json["level"]),
            (&"fired".into(), &3.into(), &"info".into())
        );
    }

    #[test]
    fn a_message_with_line_breaks_stays_in_one_line() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = written(format, "a\nb\r\u{1b}[31m\u{0}");
            assert!(!line.contains(['\n', '\r', '\u{1b}', '\u{0}']), "{line}");
        }
    }

    #[test]
    fn a_bare_level_is_ours_and_lets_the_libraries_warn_at_most() {
        assert_eq!(quiet("debug"), "warn,schedule_service=DEBUG");
        assert_eq!(quiet("OFF"), "OFF");
        assert_eq!(quiet("hyper=trace,info"), "hyper=trace,info");
        assert_eq!(quiet("schedule_service"), "schedule_service");
    }

    #[test]
    fn a_filter_is_a_level_or_module_levels() {
        assert!(is_filter("info") && is_filter("warn,schedule_service::engine=debug"));
        assert!(!is_filter("loud") && !is_filter("a=b=c"));
    }
}
