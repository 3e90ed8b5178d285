//! From values to the settings of each room: typed, checked, units gone.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::key::{Key, Kind};
use super::keys::keys;
use super::mistakes::shown;
use super::sharing::Sharing;
use super::source::Values;
use crate::access;
use crate::api;
use crate::dispatch;
use crate::engine;
use crate::journal;
use crate::model::{RuleMistake, TimeZone};
use crate::observe;
use crate::observe::LogFormat;
use crate::secrets;
use crate::store::elastic;

/// Where this node keeps files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The folder of the embedded store, or of what waits for Elasticsearch.
    pub path: PathBuf,
}

/// The settings of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// Of the API.
    pub api: api::Settings,
    /// Of who may ask for what.
    pub access: access::Settings,
    /// The authorities (PEM) by which the server of the issuer of tokens is certified; `None`: those of the system.
    pub oidc_ca_file: Option<PathBuf>,
    /// Of the engine.
    pub engine: engine::Settings,
    /// Of dispatch.
    pub dispatch: dispatch::Settings,
    /// Of the journal.
    pub journal: journal::Settings,
    /// Of the logs.
    pub log: observe::Settings,
    /// Of the embedded store.
    pub store: StoreSettings,
    /// Of the cluster that is used in place of the embedded store.
    pub elasticsearch: Option<elastic::Settings>,
    /// Of the nodes that share a store.
    pub sharing: Sharing,
    /// Of what is secret.
    pub secrets: secrets::Settings,
    /// How long fires in flight have to end at a stop.
    pub shutdown_grace: Duration,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self::from_values(&Values::default(), &mut Vec::new())
    }
}

impl NodeSettings {
    pub(super) fn from_values(values: &Values, mistakes: &mut Vec<String>) -> Self {
        let mut reader = Reader { values, mistakes };
        let index = reader.index_name();
        let elasticsearch = reader.cluster(&index);
        let dispatch = reader.dispatch();
        let (api, sharing) = (reader.api(index), reader.sharing());
        reader.check_nodes_get_in(api.tls.as_ref(), sharing.key.is_some());
        Self {
            access: reader.access(api.tls.as_ref()),
            oidc_ca_file: reader.oidc_ca_file(),
            api,
            engine: engine::Settings {
                misfire_grace: reader.seconds("engine", "misfire_grace_s"),
                catch_up_window: reader.seconds("engine", "catch_up_window_s"),
                catch_up_per_s: u32::try_from(reader.number("engine", "catch_up_per_s")).unwrap_or(u32::MAX),
                ..engine::Settings::default()
            },
            dispatch,
            journal: reader.journal(),
            log: reader.log(),
            store: StoreSettings { path: reader.text("store", "path").into() },
            elasticsearch,
            sharing,
            secrets: reader.secrets(),
            shutdown_grace: reader.seconds("server", "shutdown_grace"),
        }
    }
}

pub(super) struct Reader<'a> {
    pub(super) values: &'a Values,
    mistakes: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn api(&mut self, index_name: String) -> api::Settings {
        let host = self.text("server", "host").parse().unwrap_or_else(|_| {
            self.wrong("server", "host", "an IP address such as 127.0.0.1, 0.0.0.0 or ::1");
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        });
        api::Settings {
            host,
            port: u16::try_from(self.number("server", "port")).unwrap_or_default(),
            body_max: self.count("server", "max_body"),
            head_max: self.count("server", "max_header_bytes"),
            headers_max: self.count("server", "max_headers"),
            url_max: self.count("server", "max_url_bytes"),
            header_timeout: self.seconds("server", "header_timeout_s"),
            idle_timeout: self.seconds("server", "idle_timeout_s"),
            write_timeout: self.seconds("server", "write_timeout_s"),
            body_timeout: self.seconds("server", "body_timeout_s"),
            connections_max: self.count("server", "connections_max"),
            connections_per_address_max: self.count("server", "connections_per_address_max"),
            streams_max: u32::try_from(self.number("server", "streams_per_connection_max")).unwrap_or(u32::MAX),
            requests_max: self.count("server", "requests_max"),
            put_limits: self.put_limits(),
            remote_user_header: self.remote_user_header(),
            metrics_open: self.text("server", "metrics_open") == "true",
            default_time_zone: self.default_time_zone(),
            index_name,
            audit: self.audit(),
            tls: self.tls(),
        }
    }

    fn default_time_zone(&mut self) -> TimeZone {
        let name = self.text("server", "default_time_zone");
        TimeZone::parse(&name).unwrap_or_else(|_| {
            self.wrong("server", "default_time_zone", "an IANA name such as Europe/Berlin or UTC");
            TimeZone::UTC
        })
    }

    fn remote_user_header(&mut self) -> Option<HeaderName> {
        let name = self.text("server", "remote_user_header");
        let header = HeaderName::from_bytes(name.as_bytes()).ok();
        if header.is_none() && !name.is_empty() {
            self.wrong("server", "remote_user_header", "the name of a header such as X-Remote-User");
        }
        header
    }

    fn dispatch(&mut self) -> dispatch::Settings {
        let settings = dispatch::Settings {
            timeout: self.seconds("dispatch", "timeout_s"),
            connect_timeout: self.seconds("dispatch", "connect_timeout_s"),
            in_flight_max: self.count("dispatch", "in_flight_max"),
            in_flight_per_host_max: self.count("dispatch", "in_flight_per_host_max"),
            response_max: self.count("dispatch", "response_max_kib") * 1024,
            result_max: self.number("dispatch", "result_max_mib") * 1024 * 1024,
            retries_waiting_max: self.count("dispatch", "retries_waiting_max"),
            user_agent: self.text("dispatch", "user_agent"),
            growth: self.template_growth(),
            targets: Arc::new(self.targets()),
        };
        if settings.in_flight_per_host_max > settings.in_flight_max {
            let expected = format!("at most in_flight_max, which is {}", settings.in_flight_max);
            self.wrong("dispatch", "in_flight_per_host_max", &expected);
        }
        if http::HeaderValue::from_str(&settings.user_agent).is_err() {
            self.wrong("dispatch", "user_agent", "characters that HTTP allows in a header");
        }
        settings
    }

    fn journal(&mut self) -> journal::Settings {
        const DAY_S: u64 = 24 * 60 * 60;
        journal::Settings {
            flush_interval: Duration::from_millis(self.number("history", "flush_interval_ms")),
            records_waiting_max: self.count("history", "records_waiting_max"),
            retention_age: Duration::from_secs(self.number("history", "retention_days") * DAY_S),
            retention_bytes: self.number("history", "size_max_mib") * 1024 * 1024,
            results_retention_age: Duration::from_secs(self.number("history", "results_retention_days") * DAY_S),
            results_bytes: self.number("history", "results_size_max_mib") * 1024 * 1024,
            writes_in_flight_max: self.count("history", "writes_in_flight_max"),
            spill_bytes_max: self.number("history", "spill_max_mib") * 1024 * 1024,
            audit_retention_age: Duration::from_secs(self.number("audit", "retention_days") * DAY_S),
            audit_bytes: self.number("audit", "size_max_mib") * 1024 * 1024,
            masking: self.masking(),
            when_spill_full: match self.text("history", "when_spill_full").as_str() {
                "drop_oldest" => journal::WhenSpillFull::DropOldest,
                _ => journal::WhenSpillFull::StopFiring,
            },
        }
    }

    fn log(&mut self) -> observe::Settings {
        let filter = self.text("log", "level");
        if !observe::is_filter(&filter) {
            self.wrong("log", "level", "off, error, warn, info, debug, trace, or module=level pairs");
        }
        let format = if self.text("log", "format") == "json" { LogFormat::Json } else { LogFormat::Text };
        observe::Settings { filter, format }
    }

    fn seconds(&mut self, section: &'static str, name: &'static str) -> Duration {
        Duration::from_secs(self.number(section, name))
    }

    pub(super) fn count(&mut self, section: &'static str, name: &'static str) -> usize {
        usize::try_from(self.number(section, name)).unwrap_or(usize::MAX)
    }

    /// A number within the range of its key; the default in place of a mistake.
    pub(super) fn number(&mut self, section: &'static str, name: &'static str) -> u64 {
        let key = key(section, name);
        let Kind::Number(range) = key.kind else { unreachable!("[{section}] {name} is no number") };
        let text = self.values.get(key).text;
        match text.trim().parse::<u64>() {
            Ok(number) if range.range().contains(&number) => number,
            Ok(_) | Err(_) => {
                self.wrong(section, name, &key.expected());
                key.default.parse().expect("a default is valid")
            }
        }
    }

    /// A text that its key allows; the default in place of a mistake.
    pub(super) fn text(&mut self, section: &'static str, name: &'static str) -> String {
        let key = key(section, name);
        let text = self.values.get(key).text.trim().to_owned();
        let is_allowed = match key.kind {
            Kind::Word(words) => words.contains(&text.as_str()),
            Kind::Text { may_be_empty } => may_be_empty || !text.is_empty(),
            Kind::Hosts | Kind::Secret | Kind::Number(_) => true,
        };
        if is_allowed {
            return text;
        }
        self.wrong(section, name, &key.expected());
        key.default.to_owned()
    }

    pub(super) fn wrong(&mut self, section: &'static str, name: &'static str, expected: &str) {
        let key = key(section, name);
        let given = self.values.get(key);
        let what = match given.text.trim() {
            "" => "is empty".to_owned(),
            _ if key.is_secret() => "is set".to_owned(),
            text => format!("is `{}`", shown(&key.masked(text))),
        };
        self.mistakes.push(format!("{}: [{section}] {name} {what}, expected {expected}", given.origin));
    }

    /// One rule of a list is wrong.
    pub(super) fn wrong_rule(&mut self, section: &'static str, name: &'static str, mistake: &RuleMistake) {
        let RuleMistake { position, given, expected } = mistake;
        self.wrong_item(section, name, *position, given, expected);
    }

    /// One item of a list is wrong. Items are counted from 1.
    pub(super) fn wrong_item(
        &mut self,
        section: &'static str,
        name: &'static str,
        position: usize,
        given: &str,
        expected: &str,
    ) {
        let (origin, given) = (self.values.get(key(section, name)).origin, shown(given));
        self.mistakes.push(format!("{origin}: [{section}] {name}: rule {position} is `{given}`, expected {expected}"));
    }
}

fn key(section: &str, name: &str) -> &'static Key {
    let found = keys().find(|key| key.section == section && key.name == name);
    found.unwrap_or_else(|| unreachable!("[{section}] {name} is a key"))
}
