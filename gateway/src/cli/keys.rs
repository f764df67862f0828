//! `pointsman keys`: makes, lists, rotates and takes back admission keys.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::{columns::columns, print, print_json};
use crate::{
    config::{Config, Environment, Outline, Overrides, load, outline},
    fleet::{self, Address},
    keys::{
        Endpoint, KeysFile, Listed, ListedScope, NewKey, State, Wanted, WriteError,
        last_use::{self, LastUse},
    },
};

const AFTER: &str = "\
A running gateway sees every change of the keys file by itself, in about a second; `POST /reload` at its admin listener
makes it at once. A request that runs when its key is revoked ends as it is; the next one is refused.";

/// Make, list, rotate and take back the keys that clients present
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
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
        /// Model, or deployment, that it may reach, however it is asked for; give it again for more. Default: all
        #[arg(long = "model", value_name = "NAME")]
        models: Vec<String>,
        /// Route that may take its requests; `direct` is that of a model asked for by its own name. Default: all
        #[arg(long = "route", value_name = "NAME")]
        routes: Vec<String>,
        /// Endpoint that it is good for. Default: all
        #[arg(long = "endpoint", value_name = "NAME")]
        endpoints: Vec<Endpoint>,
    },
    /// List keys: ids, teams, times, last use and what they may reach, never the keys themselves
    List {
        /// Data folder of the gateway that knows when they were last used; default: that of the configuration
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Make a key in the place of another and show it, this once; the old one is over after the overlap
    ///
    /// The new one has the team, the context and the scope of the old one, and lasts as long as that was made for. Routes and
    /// quotas that match the old one by its id have to name the new one too.
    Rotate {
        /// Id of the old key, as `pointsman keys list` prints it
        id: String,
        /// How long both are good; the old one never longer than it was to be
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
        overlap: Duration,
    },
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
    match Address::of(outline.fleet.as_ref()) {
        Some(address) => {
            let changed = fleet::keys::change(&address, path, || done(args, config, &outline, path));
            match (changed, &args.command) {
                (Err(why), Command::List { .. }) => {
                    eprintln!("{why:#}; these are the keys as this machine heard them last");
                    done(args, config, &outline, path)?;
                }
                (changed, _) => changed?,
            }
        }
        None => done(args, config, &outline, path)?,
    }
    Ok(true)
}

/// Does what is asked for, on the keys file of this machine.
fn done(args: &Keys, config: &Path, outline: &Outline, path: &Path) -> anyhow::Result<()> {
    let now = SystemTime::now();
    match &args.command {
        Command::New { team, context, expires, models, routes, endpoints } => {
            known(outline, team, context)?;
            let (models, routes, endpoints) = (models.clone(), routes.clone(), endpoints.clone());
            let scope = ListedScope { models, routes, endpoints };
            reachable(config, &scope)?;
            let wanted = Wanted { team, context, scope, expires: *expires };
            let new = opened(path)?.add(&wanted, now).map_err(plain)?;
            show(args.json, &new, &wanted, None)?;
        }
        Command::List { data_dir } => {
            let keys = KeysFile::list(path).map_err(plain)?;
            let data_dir = data_dir.as_ref().unwrap_or(&outline.data_dir);
            let uses = last_use::read(data_dir).map_err(|error| {
                anyhow::Error::from(error)
                    .context(format!("the last uses of keys in `{}` cannot be read", data_dir.display()))
            })?;
            list(args.json, keys, &uses, now)?;
        }
        Command::Rotate { id, overlap } => {
            let (new, old) = opened(path)?.rotate(id, now, *overlap).map_err(plain)?;
            let scope = old.scope.clone().unwrap_or_default();
            let wanted = Wanted { team: &old.team, context: &old.context, scope, expires: None };
            show(args.json, &new, &wanted, Some(&old))?;
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
    Ok(())
}

/// Shows a new key, this once.
fn show(as_json: bool, new: &NewKey, wanted: &Wanted<'_>, replaces: Option<&Listed>) -> anyhow::Result<()> {
    let Wanted { team, context, scope, .. } = wanted;
    if as_json {
        let mut told = json!({
            "id": new.id, "key": new.token.expose(), "team": team, "context": context, "expires": new.expires,
        });
        if *scope != ListedScope::default() {
            told["scope"] = json!(scope);
        }
        if let Some(old) = replaces {
            told["replaces"] = json!({"id": old.id, "expires": old.expires});
        }
        return print_json(&told);
    }
    let expires = new.expires.as_ref().map_or_else(|| "never".to_owned(), |time| format!("at {time}"));
    let scope = match bounds(scope) {
        bounds if bounds.is_empty() => String::new(),
        bounds => format!(", bound to {bounds}"),
    };
    if let Some(old) = replaces {
        let over = old.expires.as_deref().unwrap_or_default();
        eprintln!(
            "key `{}` is good until {over}; routes and quotas that match it by its id have to name `{}` too",
            old.id, new.id
        );
    }
    eprintln!(
        "key `{}` of team `{team}` in context `{context}`{scope}, expires {expires}; it is shown this once:",
        new.id
    );
    print(&format!("{}\n", new.token.expose()))
}

/// A key as it is listed.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    key: Listed,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<String>,
}

fn list(as_json: bool, keys: Vec<Listed>, uses: &LastUse, now: SystemTime) -> anyhow::Result<()> {
    let rows = keys.into_iter().map(|key| {
        let last_used = uses.get(&key.id).map(|time| humantime::format_rfc3339_seconds(*time).to_string());
        Row { state: key.state(now), last_used, key }
    });
    if as_json {
        return print_json(&rows.collect::<Vec<_>>());
    }
    let rows: Vec<_> = rows
        .map(|Row { key, state, last_used }| {
            let stands = stands(&key, state, now);
            let scope = key.scope.as_ref().map(bounds).unwrap_or_default();
            [key.id, key.team, key.context, key.created, stands, last_used.unwrap_or_default(), scope]
        })
        .collect();
    print(&columns(["ID", "TEAM", "CONTEXT", "CREATED", "STATE", "LAST USED", "BOUND TO"], &rows))
}

/// How a key stands, in words.
fn stands(key: &Listed, state: State, now: SystemTime) -> String {
    let time = |time: &Option<String>| time.clone().unwrap_or_default();
    let left = key.expires.as_deref().and_then(|time| humantime::parse_rfc3339(time).ok());
    let left = left.and_then(|time| time.duration_since(now).ok());
    let left = left.map_or_else(String::new, |left| {
        // To the minute, or to the second at the very end: nobody reads more.
        let part = if left.as_secs() >= 60 { 60 } else { 1 };
        let left = Duration::from_secs(left.as_secs() / part * part);
        format!(", expires in {}", humantime::format_duration(left))
    });
    match state {
        State::Revoked => format!("revoked {}", time(&key.revoked)),
        State::Expired => format!("expired {}", time(&key.expires)),
        State::Replaced => format!("replaced by {}{left}", time(&key.replaced_by)),
        State::Active => match &key.replaces {
            Some(old) => format!("active, replaces {old}{left}"),
            None => format!("active{left}"),
        },
    }
}

/// What a key may reach, in words; empty where that is everything.
fn bounds(scope: &ListedScope) -> String {
    let ListedScope { models, routes, endpoints } = scope;
    let endpoints = endpoints.iter().map(|endpoint| endpoint.as_str().to_owned()).collect::<Vec<_>>();
    let lists = [("models", models), ("routes", routes), ("endpoints", &endpoints)];
    let told = lists.iter().filter(|(_, names)| !names.is_empty());
    told.map(|(what, names)| format!("{what} {}", names.join(", "))).collect::<Vec<_>>().join("; ")
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

/// Whether there are the models and routes that a key is to be bound to. A configuration that cannot be loaded here, for
/// want of the serving machine's secrets say, leaves that to the gateway, which warns of names that it does not know.
fn reachable(config: &Path, scope: &ListedScope) -> anyhow::Result<()> {
    if scope.models.is_empty() && scope.routes.is_empty() {
        return Ok(());
    }
    let Ok((config, _)) = load(config, &Overrides::default(), &Environment::process()) else {
        eprintln!("the configuration cannot be loaded here, so the models and routes are not checked");
        return Ok(());
    };
    let Config { catalog, deployments, policies, .. } = &config;
    for name in &scope.models {
        if catalog.resolve(name).is_none() && !deployments.iter().any(|deployment| deployment.facts.id == *name) {
            bail!("there is no model or deployment `{name}`; near it: {}", names(&catalog.nearest(name, 3)));
        }
    }
    for name in &scope.routes {
        if name != policies::DIRECT && !policies.routes().any(|route| route == name) {
            let routes: Vec<_> = policies.routes().chain([policies::DIRECT]).collect();
            bail!("there is no route `{name}`; there are {}", names(&routes));
        }
    }
    Ok(())
}

fn names(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}

fn opened(path: &Path) -> anyhow::Result<KeysFile> {
    KeysFile::open(path).map_err(plain)
}

/// A report about the file is shown as the report it is.
fn plain(error: WriteError) -> anyhow::Error {
    match error {
        WriteError::Broken(report) => report.into(),
        other => anyhow::Error::from(other).context("the keys are as they were"),
    }
}
