//! The certificate that is in force, and its replacement while the service runs.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use log::{info, warn};
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::sleep;

use super::material::{Files, Material, TlsError};
use super::settings::TlsSettings;
use crate::clock::Clock;
use crate::model::Timestamp;
use crate::observe::with_causes;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long before its end a certificate is warned of, and how often.
const WARNED_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const WARNED_EVERY: Duration = DAY;

/// Reads the files, and looks at them again as long as somebody uses what they hold.
pub(in crate::api::listener) fn in_force(
    settings: &TlsSettings,
    clock: &Arc<dyn Clock>,
) -> Result<watch::Receiver<Arc<ServerConfig>>, TlsError> {
    let files = Files::read(settings)?;
    let material = Material::of(settings, &files)?;
    let (put, in_force) = watch::channel(material.config.clone());
    let mut keeper = Keeper {
        settings: settings.clone(),
        clock: clock.clone(),
        put,
        seen: files.digest(),
        complained_of: None,
        ends_at: material.ends_at,
        warned_at: None,
    };
    keeper.tell(&material, &files);
    keeper.warn_of_end();
    tokio::spawn(keeper.run());
    Ok(in_force)
}

struct Keeper {
    settings: TlsSettings,
    clock: Arc<dyn Clock>,
    put: watch::Sender<Arc<ServerConfig>>,
    /// What stood in the files when they were looked at last.
    seen: u64,
    /// What was wrong then: it is told once.
    complained_of: Option<String>,
    ends_at: Timestamp,
    warned_at: Option<Timestamp>,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.put.closed() => return,
                () = sleep(self.settings.look_every) => {}
            }
            let settings = self.settings.clone();
            // A disk may take long; an error is a task that was called off at the end of the process.
            let Ok(read) = tokio::task::spawn_blocking(move || Files::read(&settings)).await else { return };
            match read.and_then(|files| self.look(&files)) {
                Ok(()) => self.complained_of = None,
                Err(error) => self.complain(with_causes(&error)),
            }
            self.warn_of_end();
        }
    }

    /// Puts in force what stands in the files, if it is something else than before.
    fn look(&mut self, files: &Files) -> Result<(), TlsError> {
        let digest = files.digest();
        if digest == self.seen {
            // What was wrong with it is told already.
            return Ok(());
        }
        let material = Material::of(&self.settings, files)?;
        if material.ends_at <= self.clock.now() {
            let why = format!("ended at {}", date(material.ends_at));
            return Err(TlsError::Unusable { key: "cert_file", path: self.settings.cert_file.clone(), why });
        }
        self.seen = digest;
        (self.ends_at, self.warned_at) = (material.ends_at, None);
        self.put.send_replace(material.config.clone());
        self.tell(&material, files);
        Ok(())
    }

    fn complain(&mut self, why: String) {
        if self.complained_of.as_ref() != Some(&why) {
            warn!("the certificate in force stays, as the new one cannot be used: {why}");
            self.complained_of = Some(why);
        }
    }

    fn tell(&self, material: &Material, files: &Files) {
        info!(subject = &*material.subject, ends_at:% = date(material.ends_at); "a certificate is in force");
        if files.is_key_open {
            let path = self.settings.key_file.display();
            warn!(path:%; "everybody on this machine can read the key of the certificate ([tls] key_file)");
        }
    }

    fn warn_of_end(&mut self) {
        let now = self.clock.now();
        if is_to_be_warned_of(self.ends_at, now, self.warned_at) {
            self.warned_at = Some(now);
            let ends_at = date(self.ends_at);
            match self.ends_at <= now {
                true => warn!(ends_at:%; "the certificate has ended: no client takes it any more"),
                false => warn!(ends_at:%; "the certificate ends soon, put a new one in its place"),
            }
        }
    }
}

fn is_to_be_warned_of(ends_at: Timestamp, now: Timestamp, warned_at: Option<Timestamp>) -> bool {
    ends_at.minus(WARNED_BEFORE) <= now && warned_at.is_none_or(|at| now.since(at) >= WARNED_EVERY)
}

fn date(instant: Timestamp) -> String {
    let written =
        DateTime::from_timestamp_millis(instant.millis()).map(|date| date.format("%Y-%m-%dT%H:%M:%SZ").to_string());
    written.unwrap_or_else(|| "never".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_for_its_last_14_days_once_a_day() {
        let (ends_at, day) = (Timestamp::from_secs(100 * 86_400), Duration::from_secs(86_400));
        let before = |days: u32| ends_at.minus(days * day);

        assert!(!is_to_be_warned_of(ends_at, before(15), None));
        assert!(is_to_be_warned_of(ends_at, before(14), None));
        assert!(!is_to_be_warned_of(ends_at, before(14).plus(day / 2), Some(before(14))));
        assert!(is_to_be_warned_of(ends_at, before(13), Some(before(14))));
        assert!(is_to_be_warned_of(ends_at, ends_at.plus(day), Some(ends_at)));
    }

    #[test]
    fn dates_are_written_as_everywhere() {
        assert_eq!(date(Timestamp::from_secs(0)), "1970-01-01T00:00:00Z");
        assert_eq!(date(Timestamp::from_secs(253_402_300_799)), "9999-12-31T23:59:59Z");
    }
}
