//! `pointsman keys`: makes, lists and takes back admission keys.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{columns::columns, print, print_json};
use crate::{
    config::{Environment, Outline, outline},
    keys::{KeysFile, WriteError},
};

/// Make, list and take back the keys that clients present
#[derive(Debug, Args)]
#[command(after_help = "A running gateway sees every change of the keys file by itself.")]
pub(super) struct Keys {
    /// Configuration file that names the keys file
    #[arg(long, value_name = "FILE", env = "POINTSMAN_CONFIG", global = true)]
    config: Option<PathBuf>,
    /// JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key and show it, this once: the key goes to stdout, the rest to stderr
    New {
        /// Team that the key is for
        #[arg(long)]
        team: String,
        /// Context that its requests are made in: what licences are decided on
        #[arg(long)]
        context: String,
        /// Time after which it is over, such as 90d or 12h; without it, never
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
    },
    /// List keys: ids, teams and times, never the keys themselves
    List,
    /// Take a key back for good
    Revoke {
        /// Id of the key, as `pointsman keys list` prints it
        id: String,
    },
}

pub(super) fn run(args: &Keys) -> anyhow::Result<bool> {
    let Some(config) = &args.config else {
        bail!("say which configuration names the keys file: --config FILE; without a configuration no key is needed");
    };
    let outline = outline(config, &Environment::process())?;
    let Some(path) = &outline.keys else {
        bail!("`{}` names no keys file; add `keys: keys.yaml`", config.display());
    };
    let now = SystemTime::now();
    match &args.command {
        Command::New { team, context, expires } => {
            known(&outline, team, context)?;
            let new = opened(path)?.add(team, context, now, *expires).map_err(plain)?;
            if args.json {
                let key = new.token.expose();
                print_json(
                    &json!({ "id": new.id, "key": key, "team": team, "context": context, "expires": new.expires }),
                )?;
            } else {
                let expires = new.expires.map_or_else(|| "never".to_owned(), |time| format!("at {time}"));
                eprintln!(
                    "key `{}` of team `{team}` in context `{context}`, expires {expires}; it is shown this once:",
                    new.id
                );
                print(&format!("{}\n", new.token.expose()))?;
            }
        }
        Command::List => {
            let keys = KeysFile::list(path).map_err(plain)?;
            if args.json {
                print_json(&keys)?;
            } else {
                let rows: Vec<_> = keys
                    .into_iter()
                    .map(|key| {
                        let state = match (&key.revoked, &key.expires) {
                            (Some(time), _) => format!("revoked {time}"),
                            (None, Some(time)) if over(time, now) => format!("expired {time}"),
                            (None, Some(time)) => format!("until {time}"),
                            (None, None) => "good".to_owned(),
                        };
                        [key.id, key.team, key.context, key.created, state]
                    })
                    .collect();
                print(&columns(["ID", "TEAM", "CONTEXT", "CREATED", "STATE"], &rows))?;
            }
        }
        Command::Revoke { id } => {
            let key = opened(path)?.revoke(id, now).map_err(plain)?;
            if args.json {
                print_json(&key)?;
            } else {
                print(&format!("key `{}` of team `{}` is revoked\n", key.id, key.team))?;
            }
        }
    }
    Ok(true)
}

/// Whether a key can be made for this team in this context.
fn known(outline: &Outline, team: &str, context: &str) -> anyhow::Result<()> {
    let Some(found) = outline.teams.get(team) else {
        let teams: Vec<_> = outline.teams.keys().map(String::as_str).collect();
        bail!("there is no team `{team}`; the configuration has {}", names(&teams));
    };
    if !found.contexts.iter().any(|name| name == context) {
        let contexts: Vec<_> = found.contexts.iter().map(String::as_str).collect();
        bail!("team `{team}` has no context `{context}`; it has {}", names(&contexts));
    }
    Ok(())
}

fn names(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}

fn opened(path: &std::path::Path) -> anyhow::Result<KeysFile> {
    KeysFile::open(path).map_err(plain)
}

/// A report about the file is shown as the report it is.
fn plain(error: WriteError) -> anyhow::Error {
    match error {
        WriteError::Broken(report) => report.into(),
        other => anyhow::Error::from(other).context("the keys are as they were"),
    }
}

fn over(time: &str, now: SystemTime) -> bool {
    humantime::parse_rfc3339(time).is_ok_and(|time| time <= now)
}
