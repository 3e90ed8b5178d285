//! `schedule-service secret`: what the store of a running service keeps encrypted, and keys to encrypt it by.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use bytes::Bytes;
use clap::Subcommand;
use http::Method;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};

use super::client::{Ours, Service, ServiceArgs, block_on};
use super::{Format, UsageError};
use crate::config::ConfigError;
use crate::model::{SecretName, SecretText};
use crate::secrets::new_key;

/// The largest answer that is read, in bytes. One of a thousand secrets is smaller.
const ANSWER_MAX: usize = 4 * 1024 * 1024;

/// What to do.
#[derive(Debug, clap::Args)]
pub(super) struct SecretArgs {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    service: ServiceArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Keep a secret: its value is read from standard input, without the line end behind it
    Set {
        /// Its name, as in ${secret:NAME}
        #[arg(value_parser = name)]
        name: SecretName,
        /// Read the value from this file
        #[arg(long, value_name = "PATH")]
        file: Option<PathBuf>,
    },
    /// Show which secrets there are, where each comes from, and who set it; never a value
    List {
        /// How to report
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Take a secret out of the store
    Delete {
        /// Its name
        #[arg(value_parser = name)]
        name: SecretName,
    },
    /// Encrypt all secrets of the store anew, by the first key of the configured key file
    Rotate,
    /// Make a key to encrypt them by; no service is asked
    Keygen {
        /// Write it into this new file, which only you may read [default: standard output]
        #[arg(long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
}

fn name(text: &str) -> Result<SecretName, String> {
    SecretName::parse(text).map_err(|error| error.to_string())
}

#[derive(Serialize)]
struct Value<'a> {
    value: &'a str,
}

#[derive(Deserialize)]
struct Secrets {
    secrets: Vec<Secret>,
}

#[derive(Deserialize)]
struct Secret {
    name: String,
    sources: Vec<String>,
    changed: Option<String>,
    by: Option<String>,
    problem: Option<String>,
}

#[derive(Deserialize)]
struct Rotated {
    rotated: usize,
}

/// Exit code 1 when the service cannot be asked, or refuses.
pub(super) fn run(
    args: &SecretArgs,
    ours: impl FnOnce() -> Result<Ours, ConfigError>,
    output: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    if let Verb::Keygen { output: file } = &args.verb {
        keygen(file.as_deref(), output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let ours = ours()?;
    let service = args.service.service(&ours)?;
    block_on(ask(&service, &args.verb, output))??;
    Ok(ExitCode::SUCCESS)
}

async fn ask(service: &Service, verb: &Verb, output: &mut impl Write) -> anyhow::Result<()> {
    let path = |name: &SecretName| format!("/secrets/{name}");
    match verb {
        Verb::Set { name, file } => {
            let value = value(file.as_deref())?;
            let body = serde_json::to_vec(&Value { value: &value }).expect("a text can be written as JSON");
            let answer = service.ask(Method::PUT, &path(name), body.into(), ANSWER_MAX).await?;
            writeln!(output, "{name} is kept")?;
            for warning in answer.warnings {
                writeln!(output, "warning: {warning}")?;
            }
        }
        Verb::List { format } => {
            let answer = service.get("/secrets", ANSWER_MAX).await?;
            match format {
                Format::Json => {
                    output.write_all(&answer.data)?;
                    writeln!(output)?;
                }
                Format::Text => {
                    let listed = serde_json::from_slice(&answer.data);
                    write_list(&listed.map_err(|error| service.failed("/secrets", error))?, output)?;
                }
            }
        }
        Verb::Delete { name } => {
            let answer = service.ask(Method::DELETE, &path(name), Bytes::new(), ANSWER_MAX).await?;
            writeln!(output, "{name} is gone")?;
            for warning in answer.warnings {
                writeln!(output, "warning: {warning}")?;
            }
        }
        Verb::Rotate => {
            let answer = service.post("/secrets/rotate", Bytes::new(), ANSWER_MAX).await?;
            let rotated = serde_json::from_slice::<Rotated>(&answer.data);
            let Rotated { rotated } = rotated.map_err(|error| service.failed("/secrets/rotate", error))?;
            writeln!(output, "{rotated} secrets are encrypted by the first key")?;
        }
        Verb::Keygen { .. } => unreachable!("it asks no service"),
    }
    Ok(())
}

/// The value of standard input, or of a file. It is never an argument: those are seen by everybody on the machine.
fn value(file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    let max = SecretText::LEN_MAX;
    let mut bytes = Zeroizing::new(Vec::with_capacity(max + 3));
    let limit = max as u64 + 3;
    match file {
        Some(path) => File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .with_context(|| format!("{} cannot be read", path.display()))?,
        None => std::io::stdin().lock().take(limit).read_to_end(&mut bytes).context("standard input cannot be read")?,
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(UsageError("the value is not UTF-8".to_owned()).into());
    };
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    match text.len() {
        0 => Err(UsageError("the value is empty, expected it on standard input or in --file".to_owned()).into()),
        len if len > max => Err(UsageError(format!("the value is too long, expected at most {max} bytes")).into()),
        _ => Ok(Zeroizing::new(text.to_owned())),
    }
}

fn write_list(listed: &Secrets, output: &mut impl Write) -> std::io::Result<()> {
    let rows = listed.secrets.iter().map(|secret| {
        let Secret { name, sources, changed, by, problem } = secret;
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let problem = problem.as_ref().map(|problem| format!("cannot be read: {problem}"));
        [name.clone(), sources.join(", "), or_none(changed), or_none(by), problem.unwrap_or_default()]
    });
    let head = ["NAME", "FROM", "CHANGED", "BY", ""].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let (name, from, changed, by) = (width(0), width(1), width(2), width(3));
    for row in &rows {
        let line = format!("{:name$}  {:from$}  {:changed$}  {:by$}  {}", row[0], row[1], row[2], row[3], row[4]);
        writeln!(output, "{}", line.trim_end())?;
    }
    Ok(())
}

fn keygen(file: Option<&Path>, output: &mut impl Write) -> anyhow::Result<()> {
    let key = new_key();
    let Some(path) = file else { return Ok(writeln!(output, "{}", *key)?) };
    let mut options = OpenOptions::new();
    // What is there already may be the only key to what is stored.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let cannot = || format!("{} cannot be written", path.display());
    let mut file = options.open(path).with_context(cannot)?;
    writeln!(file, "{}", *key).and_then(|()| file.sync_all()).with_context(cannot)?;
    Ok(writeln!(output, "a key is in {}: keep a copy where no backup of the store is", path.display())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_a_table_without_values() {
        let listed = r#"{"secrets":[
            {"name":"api","sources":["environment","store"],"changed":null,"by":null,"problem":null},
            {"name":"db-password","sources":["store"],"changed":"2026-11-21T06:15:30.123Z","by":"ada","problem":"no key"}]}"#;
        let mut output = Vec::new();

        write_list(&serde_json::from_str(listed).unwrap(), &mut output).unwrap();

        let expected = "\
NAME         FROM                CHANGED                   BY
api          environment, store  -                         -
db-password  store               2026-11-21T06:15:30.123Z  ada  cannot be read: no key
";
        assert_eq!(String::from_utf8(output).unwrap(), expected);
    }

    #[test]
    fn a_key_is_written_into_a_new_file_that_only_its_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let mut output = Vec::new();

        keygen(Some(&path), &mut output).unwrap();
        let again = keygen(Some(&path), &mut output).unwrap_err();
        keygen(None, &mut output).unwrap();

        let key = std::fs::read_to_string(&path).unwrap();
        assert!(!String::from_utf8(output).unwrap().contains(key.trim()));
        assert!(crate::secrets::KeyRing::load(&path).is_ok());
        assert!(format!("{again:#}").contains("cannot be written"), "{again:#}");
    }
}
