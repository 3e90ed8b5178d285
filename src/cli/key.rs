//! `schedule-service key`: who may ask a running service for what.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;

use super::Format;
use super::client::{Answer, Ours, Service, ServiceArgs, block_on};
use crate::access::{KeyId, Role};

/// The largest answer that is read, in bytes: a thousand keys with twenty prefixes each.
const ANSWER_MAX: usize = 16 * 1024 * 1024;
const PATH: &str = "/keys";

/// What to do.
#[derive(Debug, clap::Args)]
pub(super) struct KeyCommand {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    service: ServiceArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a key, and write it to the standard output: it cannot be asked for again
    Create {
        /// What is done with the key bears this name
        #[arg(long)]
        name: String,
        /// What may be done with it: read, operate, write or admin; each holds those before it
        #[arg(long, value_parser = role)]
        role: Role,
        /// Only for tasks whose identities begin so; may be given several times
        #[arg(long = "prefix", value_name = "PREFIX")]
        prefixes: Vec<String>,
        /// How often it may be used; 0: as often as one likes [default: as the service is configured]
        #[arg(long, value_name = "NUMBER")]
        requests_per_second: Option<u32>,
        /// How many tasks there may be of those that it is for; 0: as many as one likes [default: as the service is configured]
        #[arg(long, value_name = "NUMBER")]
        tasks_max: Option<u64>,
        /// For how long it is valid, such as 90d [default: for ever]
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<String>,
    },
    /// Show the keys, without their secrets
    List {
        /// How to report
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Give a key another secret, and write the new key to the standard output
    Rotate {
        /// Its id, as `key list` shows it
        #[arg(value_parser = key_id)]
        id: KeyId,
        /// For how long the secret before goes on to open, such as 1h [default: for no time]
        #[arg(long, value_name = "DURATION")]
        overlap: Option<String>,
    },
    /// From now on a key opens nothing
    Revoke {
        /// Its id, as `key list` shows it
        #[arg(value_parser = key_id)]
        id: KeyId,
    },
}

fn role(word: &str) -> Result<Role, String> {
    Role::parse(word).ok_or_else(|| format!("expected one of {}", Role::ALL.map(Role::as_str).join(", ")))
}

fn key_id(text: &str) -> Result<KeyId, &'static str> {
    KeyId::parse(text).ok_or("expected 16 hexadecimal digits, as `key list` shows them")
}

#[derive(Debug, Deserialize)]
struct Listed {
    id: String,
    name: String,
    role: String,
    prefixes: Vec<String>,
    /// An older service tells no limits.
    requests_per_second: Option<u32>,
    tasks_max: Option<u64>,
    standing: String,
    created_at: String,
    created_by: String,
    expires_at: Option<String>,
}

/// A key with its text. It is shown once, and never by `Debug`.
#[derive(Deserialize)]
struct Made {
    key: String,
    #[serde(flatten)]
    listed: Listed,
}

/// Exit code 1 when the service cannot be asked, or refuses.
pub(super) fn run(command: &KeyCommand, ours: &Ours, output: &mut impl Write) -> anyhow::Result<ExitCode> {
    let service = command.service.service(ours)?;
    block_on(carry_out(&command.verb, &service, output))??;
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(verb: &Verb, service: &Service, output: &mut impl Write) -> anyhow::Result<()> {
    match verb {
        Verb::Create { name, role, prefixes, requests_per_second, tasks_max, expires_in } => {
            let mut body = json!({ "name": name, "role": role.as_str(), "prefixes": prefixes });
            if let Some(per_second) = requests_per_second {
                body["requests_per_second"] = (*per_second).into();
            }
            if let Some(tasks_max) = tasks_max {
                body["tasks_max"] = (*tasks_max).into();
            }
            if let Some(expires_in) = expires_in {
                body["expires_in"] = expires_in.as_str().into();
            }
            let answer = service.post(PATH, body.to_string().into(), ANSWER_MAX).await?;
            write_made(service, &answer, output)
        }
        Verb::List { format: Format::Text } => {
            let keys: Vec<Listed> = read(service, &service.get(PATH, ANSWER_MAX).await?)?;
            write_list(&keys, output)
        }
        Verb::List { format: Format::Json } => {
            output.write_all(&service.get(PATH, ANSWER_MAX).await?.data)?;
            Ok(writeln!(output)?)
        }
        Verb::Rotate { id, overlap } => {
            let body = overlap.as_ref().map_or_else(|| json!({}), |overlap| json!({ "overlap": overlap }));
            let path = format!("{PATH}/{id}/rotate");
            write_made(service, &service.post(&path, body.to_string().into(), ANSWER_MAX).await?, output)
        }
        Verb::Revoke { id } => {
            service.delete(&format!("{PATH}/{id}"), ANSWER_MAX).await?;
            Ok(writeln!(output, "{id} is revoked")?)
        }
    }
}

fn read<'a, T: Deserialize<'a>>(service: &Service, answer: &'a Answer) -> anyhow::Result<T> {
    serde_json::from_slice(&answer.data).map_err(|error| service.failed(PATH, error).into())
}

/// The key stands alone on the standard output, for whoever keeps it; what it is for is told beside it.
fn write_made(service: &Service, answer: &Answer, output: &mut impl Write) -> anyhow::Result<()> {
    let Made { key, listed: Listed { id, name, role, expires_at, .. } } = read(service, answer)?;
    let end = expires_at.map_or_else(|| "for ever".to_owned(), |end| format!("until {end}"));
    eprintln!("key {id} ({name}), role {role}, valid {end}; it is shown this once:");
    Ok(writeln!(output, "{key}")?)
}

/// A limit as it is shown.
fn limit(number: Option<u64>) -> String {
    match number {
        None => "default".to_owned(),
        Some(0) => "none".to_owned(),
        Some(number) => number.to_string(),
    }
}

fn write_list(keys: &[Listed], output: &mut impl Write) -> anyhow::Result<()> {
    let width = |of: fn(&Listed) -> &str, title: &str| {
        keys.iter().map(|key| of(key).chars().count()).max().unwrap_or(0).max(title.len())
    };
    let (name, by) = (width(|key| &key.name, "NAME"), width(|key| &key.created_by, "BY"));
    writeln!(
        output,
        "{:16}  {:name$}  {:7}  {:8}  {:24}  {:by$}  {:24}  {:10}  {:10}  PREFIXES",
        "ID", "NAME", "ROLE", "STANDING", "CREATED", "BY", "EXPIRES", "REQUESTS/S", "TASKS MAX"
    )?;
    for key in keys {
        let prefixes = if key.prefixes.is_empty() { "all tasks".to_owned() } else { key.prefixes.join(" ") };
        writeln!(
            output,
            "{:16}  {:name$}  {:7}  {:8}  {:24}  {:by$}  {:24}  {:10}  {:10}  {prefixes}",
            key.id,
            key.name,
            key.role,
            key.standing,
            key.created_at,
            key.created_by,
            key.expires_at.as_deref().unwrap_or("never"),
            limit(key.requests_per_second.map(u64::from)),
            limit(key.tasks_max),
        )?;
    }
    Ok(())
}
