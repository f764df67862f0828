//! `pointsman explain`: who would serve a request, candidate by candidate, by the same functions that serve it, and the
//! least that would let a refused one serve.
//!
//! Only what a running gateway has measured is missing: every deployment counts as healthy, idle and not yet measured, and a
//! model that is loaded on demand as not loaded.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use anyhow::bail;
use bytes::Bytes;
use clap::Args;
use http::{HeaderName, HeaderValue};
use policies::{Facts, Live, Snapshot};
use serde_json::json;

use super::{
    ConfigFile,
    audit::{self, join::Entry},
    columns::shown,
    curl::{self, Data},
    print, print_json,
    wrapped::wrapped,
};
use crate::{
    config::{Access, Config, Deployment, Target, source::reason},
    facts,
    keys::Grant,
    residency::estimate,
    route,
    settle::replay,
    wire::{self, ClientApi},
};

const EXAMPLES: &str = "\
Examples:
  pointsman explain --request request.json                  the JSON body of a request
  pointsman explain --request request.json --team support --context bot --config pointsman.yaml
  pbpaste | pointsman explain --request -                   a curl command line, as it was copied
  pointsman explain --decision req_019abcde                 a request of the ledger, by its x-request-id

Exit status: 0 it would be served, 1 it would be refused or cannot be read, 2 the command line
itself is wrong.";

/// Tell who would serve a request, candidate by candidate, why, and what would let the others serve
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    /// File with the JSON body of a chat or completions request, or with a curl command line; `-` reads standard input
    #[arg(long, value_name = "FILE", required_unless_present = "decision", conflicts_with = "decision")]
    request: Option<PathBuf>,
    /// Request of the ledger, by its id: plans it again from what was recorded, under the policies of now
    #[arg(long, value_name = "ID", conflicts_with_all = ["team", "context", "key", "headers"])]
    decision: Option<String>,
    /// Folder of the ledger's data; default: that of the configuration
    #[arg(long, value_name = "DIR", requires = "decision")]
    data_dir: Option<PathBuf>,
    /// Team that asks; needed where the configuration has several
    #[arg(long)]
    team: Option<String>,
    /// Context it asks in; needed where the team has several
    #[arg(long)]
    context: Option<String>,
    /// Key that it comes with, by its id: its team, its context and what it is bound to
    #[arg(long, value_name = "ID", conflicts_with_all = ["team", "context"])]
    key: Option<String>,
    /// Request header that it comes with, as `NAME: VALUE`; only those count that the configuration declares as facts
    #[arg(long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// True if the request would be served.
pub(super) fn run(args: &Explain) -> anyhow::Result<bool> {
    let (config, _) = args.config.source().load()?;
    let (facts, recorded) = match (&args.request, &args.decision) {
        (Some(request), _) => (asked(args, request, &config)?, None),
        (None, Some(id)) => {
            let entry = found(id, args.data_dir.as_ref().unwrap_or(&config.data_dir))?;
            (replay::facts(&entry.decision)?, Some(entry))
        }
        (None, None) => bail!("say which request: --request FILE or --decision ID"),
    };
    let team = facts.team.as_deref();
    let asks_language = config.policies.asks_language(&config.catalog, &facts.model_asked, team);
    let asks_script = config.policies.asks_script(&config.catalog, &facts.model_asked, team);
    let deployments: Vec<_> = config.deployments.iter().map(|deployment| deployment.facts.clone()).collect();
    let live: Vec<_> = config.deployments.iter().map(at_rest).collect();
    let snapshot =
        Snapshot { catalog: &config.catalog, policies: &config.policies, deployments: &deployments, live: &live };
    let plan = policies::plan(&facts, &snapshot);
    let refusal = route::refusal(&plan, &facts);
    let remedies = policies::remedies(&facts, &snapshot, &plan);
    if args.json {
        print_json(&json!({
            "recorded": recorded,
            "facts": {
                "team": facts.team,
                "key": facts.key,
                "scope": facts.scope.as_ref().map(|scope| json!({"models": scope.models, "routes": scope.routes})),
                "context": facts.context,
                "use": &*facts.use_,
                "model": facts.model_asked,
                "language": facts.language,
                "script": facts.script,
                "prompt_tokens": facts.prompt_tokens,
                "max_tokens": facts.max_tokens,
                "needs": facts.needs.capabilities().iter().map(|need| need.as_str()).collect::<Vec<_>>(),
                "stream": facts.stream,
                "time": facts.now,
                "headers": named(&facts.headers),
                "metadata": named(&facts.metadata),
            },
            "plan": plan.report(&snapshot),
            "remedies": remedies,
            "engines": engines(&config).into_iter().map(|(deployment, engine, because)| json!({
                "deployment": deployment, "engine": engine, "because": because,
            })).collect::<Vec<_>>(),
            "drafts": drafts(&config).map(|(deployment, draft)| json!({
                "deployment": deployment, "draft": draft,
            })).collect::<Vec<_>>(),
            "status": refusal.as_ref().map_or(200, |refusal| refusal.status.as_u16()),
        }))?;
    } else {
        let or_none = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let needs: Vec<_> = facts.needs.capabilities().iter().map(|need| need.as_str()).collect();
        let mut text = format!(
            "model    {}\nteam     {}\ncontext  {} ({} use)\nlanguage {}\ntokens   about {} in the prompt\nneeds    {}\n",
            facts.model_asked.escape_debug(),
            or_none(facts.team.as_deref()),
            or_none(facts.context.as_deref()),
            facts.use_.purpose.name(),
            told(facts.language.as_deref(), asks_language),
            facts.prompt_tokens,
            if needs.is_empty() { "nothing beyond text".to_owned() } else { needs.join(", ") },
        );
        if asks_script {
            text.push_str(&format!("script   {}\n", told(facts.script.as_deref(), true)));
        }
        for (what, values) in [("header", &facts.headers), ("metadata", &facts.metadata)] {
            text.extend(values.iter().map(|(name, value)| format!("{what:8} {name} {}\n", value.escape_debug())));
        }
        if let Some(entry) = &recorded {
            text.push_str(&then(entry, &config));
        }
        text.push_str(&plan.explain(&snapshot));
        let engines = engines(&config);
        if !engines.is_empty() {
            text.push_str("\nengines that `auto` stands for\n");
        }
        for (deployment, engine, because) in engines {
            text.push_str(&wrapped(&format!("  {deployment}: "), &format!("{engine}, as {because}")));
        }
        for (at, (deployment, draft)) in drafts(&config).enumerate() {
            let title = if at == 0 { "\ndrafts\n" } else { "" };
            let why = format!("{draft} guesses what it will say, and its licence binds too");
            text.push_str(&format!("{title}{}", wrapped(&format!("  {deployment}: "), &why)));
        }
        let to_admit: Vec<_> = remedies.iter().filter(|remedy| !remedy.changes.is_empty()).collect();
        if !to_admit.is_empty() {
            text.push_str("\nto admit\n");
        }
        for remedy in to_admit {
            text.push_str(&wrapped(&format!("  {}: ", shown(&remedy.deployment)), &remedy.changes.join("; and ")));
        }
        if let Some(refusal) = &refusal {
            text.push_str(&format!("\nthe caller is told: {} {}\n", refusal.status.as_u16(), refusal.message));
        }
        print(&text)?;
    }
    Ok(refusal.is_none())
}

/// The deployments whose engine was chosen for them, each with its engine and why it is that one.
fn engines(config: &Config) -> Vec<(&str, &'static str, &str)> {
    let chosen = config.deployments.iter().filter_map(|deployment| {
        let Target::Engine { engine, .. } = &deployment.target else { return None };
        Some((deployment.facts.id.as_str(), engine.name(), deployment.engine_because.as_deref()?))
    });
    chosen.collect()
}

/// The deployments that have a draft, each with its model.
fn drafts(config: &Config) -> impl Iterator<Item = (&str, &str)> {
    config.deployments.iter().filter_map(|one| Some((one.facts.id.as_str(), one.facts.draft.as_deref()?)))
}

/// A deployment of a gateway that has just started: what is loaded on demand is not loaded.
fn at_rest(deployment: &Deployment) -> Live {
    let on_demand = match &deployment.target {
        Target::Engine { engine, weights, asked } if deployment.keep.on_demand => engine.told(weights, asked).ok(),
        _ => None,
    };
    let starts_ms = on_demand.map_or(0, |told| estimate::loads_in(told.bytes).as_millis() as u32);
    Live { starts_ms, ..Live::default() }
}

/// The facts of a request in a file.
fn asked(args: &Explain, request: &Path, config: &Config) -> anyhow::Result<Facts> {
    let grant = match &args.key {
        Some(id) => of_key(config, id)?,
        None => grant(config, args.team.as_deref(), args.context.as_deref())?,
    };
    let body = body(request, config.limits.body_bytes)?;
    let api = api_of(&serde_json::from_slice(&body).unwrap_or_default());
    let decoded = wire::decode(api, "explain", body)
        .map_err(|error| anyhow::anyhow!("{}", error.message).context("the request would be refused"))?;
    Ok(facts::of(&decoded, &grant, &args.headers.iter().cloned().collect(), config))
}

/// The API that a body is of, by keys that only one of them has.
fn api_of(body: &serde_json::Value) -> ClientApi {
    let has = |key: &str| body.get(key).is_some();
    let anthropic = has("system") || has("stop_sequences") || body.pointer("/tools/0/input_schema").is_some();
    match has("messages") {
        false if has("documents") => ClientApi::Rerank,
        false if has("encoding_format") || has("dimensions") => ClientApi::Embeddings,
        false if has("prompt") => ClientApi::Completions,
        true if anthropic => ClientApi::Messages,
        _ => ClientApi::Chat,
    }
}

/// The request of this id in the ledger of a data folder.
fn found(id: &str, data_dir: &Path) -> anyhow::Result<Entry> {
    for entry in audit::read(data_dir)? {
        let entry = entry?;
        if entry.decision.request == id {
            return Ok(entry);
        }
    }
    bail!(
        "the ledger in `{}` has no request `{}`; `pointsman audit list` shows the newest",
        data_dir.display(),
        id.escape_debug()
    )
}

/// What was decided when the request was served.
fn then(entry: &Entry, config: &Config) -> String {
    let decision = &entry.decision;
    let by = if decision.config == config.digest { "this configuration" } else { "another configuration" };
    let arm = decision.arm.as_deref().map(|arm| format!(", arm {}", shown(arm))).unwrap_or_default();
    let served = entry.deployment().map(|deployment| format!(", served by {}", shown(deployment)));
    let served = served.unwrap_or_default();
    format!(
        "\nat {}, by {by}: route {}{arm}, verdict {}{served}, {}\nnow, with nothing measured:\n",
        audit::written(decision.time),
        decision.route.as_deref().map_or_else(|| "none".to_owned(), shown),
        decision.verdict,
        entry.ended(),
    )
}

/// A fact that has to be told from the prompt.
fn told(fact: Option<&str>, asked: bool) -> &str {
    fact.unwrap_or(if asked { "not told" } else { "not asked for by any route" })
}

/// Names and values as one JSON object.
fn named(values: &[(String, String)]) -> serde_json::Map<String, serde_json::Value> {
    values.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
}

/// `NAME: VALUE`.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = text.split_once(':').and_then(|(name, value)| {
        Some((name.trim().parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?))
    });
    parsed.ok_or_else(|| "expected a header such as `x-customer-tier: gold`".to_owned())
}

/// Who asks. What is not said is taken where there is only one.
fn grant(config: &Config, team: Option<&str>, context: Option<&str>) -> anyhow::Result<Grant> {
    if let Access::Open(grant) = &config.access {
        if team.is_some() || context.is_some_and(|context| context != grant.context.name) {
            bail!("without a configuration there are no teams, and `{}` is the only context", grant.context.name);
        }
        return Ok(grant.clone());
    }
    let team = match (team, config.teams.len()) {
        (Some(team), _) => team,
        (None, 1) => config.teams.keys().next().map_or("", String::as_str),
        (None, _) => bail!("say which team asks: --team {}", one_of(config.teams.keys())),
    };
    let Some(found) = config.teams.get(team) else {
        bail!("there is no team `{team}`: --team {}", one_of(config.teams.keys()));
    };
    let context = match (context, found.contexts.as_slice()) {
        (Some(context), _) => context,
        (None, [only]) => only,
        (None, several) => bail!("say in which context team `{team}` asks: --context {}", one_of(several)),
    };
    if !found.contexts.iter().any(|name| name == context) {
        bail!("team `{team}` has no context `{context}`: --context {}", one_of(&found.contexts));
    }
    let Some(context) = config.contexts.get(context) else { bail!("there is no context `{context}`") };
    Ok(Grant::unbound(None, Some(team.into()), Arc::clone(context)))
}

/// What the key of an id stands for now.
fn of_key(config: &Config, id: &str) -> anyhow::Result<Grant> {
    let Access::Keys(keys) = &config.access else { bail!("without a configuration there are no keys") };
    match keys.of_id(id, SystemTime::now()) {
        Ok(grant) => Ok(grant.clone()),
        Err(error) => bail!("key `{id}`: {error}; `pointsman keys list` prints every id"),
    }
}

fn one_of<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(String::as_str).collect::<Vec<_>>().join("|")
}

/// The body in a file, or the one that the curl command line in it sends.
fn body(path: &Path, limit: u64) -> anyhow::Result<Bytes> {
    let text = contents(path, limit)?;
    if !curl::is_curl(&text) {
        return Ok(text);
    }
    match curl::data(&String::from_utf8_lossy(&text))? {
        Data::Text(body) => Ok(body.into()),
        Data::File(file) => contents(Path::new(&file), limit),
    }
}

fn contents(path: &Path, limit: u64) -> anyhow::Result<Bytes> {
    let mut body = Vec::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().lock().take(limit + 1).read_to_end(&mut body),
        false => std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut body)),
    };
    if let Err(error) = read {
        bail!("the request in `{}` cannot be read: {}", path.display(), reason(&error));
    }
    if body.len() as u64 > limit {
        bail!("the request is larger than the {limit} bytes that would be accepted");
    }
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Overrides, load, zero};

    fn configured() -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pointsman.yaml");
        let text = "\
contexts: {bot: {use: revenue, exposure: public}, lab: {use: research, exposure: internal}}
teams: {support: {contexts: [bot]}, science: {contexts: [lab, bot]}}
keys: keys.yaml
";
        std::fs::write(&file, text).unwrap();
        load(&file, &Overrides::default(), &Environment::default()).unwrap_or_else(|report| panic!("{report}")).0
    }

    #[test]
    fn who_asks_is_taken_where_there_is_only_one_and_asked_for_where_there_are_several() {
        let config = configured();
        let told = |team, context| {
            grant(&config, team, context).map(|grant| grant.context.name.clone()).map_err(|e| e.to_string())
        };
        assert_eq!(told(Some("support"), None), Ok("bot".to_owned()));
        assert_eq!(told(Some("science"), Some("lab")), Ok("lab".to_owned()));
        assert_eq!(told(None, None), Err("say which team asks: --team science|support".to_owned()));
        assert_eq!(
            told(Some("science"), None),
            Err("say in which context team `science` asks: --context lab|bot".to_owned())
        );
        assert_eq!(
            told(Some("support"), Some("lab")),
            Err("team `support` has no context `lab`: --context bot".to_owned())
        );
        assert_eq!(told(Some("ghosts"), None), Err("there is no team `ghosts`: --team science|support".to_owned()));
    }

    #[test]
    fn without_a_configuration_there_is_one_context_and_no_team() {
        let (config, _) = zero(&Overrides::default(), &Environment::default()).unwrap();
        assert_eq!(grant(&config, None, None).unwrap().context.name, "default");
        assert!(grant(&config, Some("support"), None).is_err());
    }

    #[test]
    fn a_curl_command_line_stands_for_the_body_that_it_sends() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let json = file("r.json", "{\"model\": \"auto\"}");
        let pasted = file("pasted.txt", "curl http://localhost:8080/v1 -d '{\"model\": \"auto\"}'\n");
        let named = file("named.txt", &format!("curl http://localhost:8080/v1 -d @{}\n", json.display()));
        let whole = body(&json, 1_000).unwrap();
        assert_eq!(body(&pasted, 1_000).unwrap(), whole);
        assert_eq!(body(&named, 1_000).unwrap(), whole);
    }

    #[test]
    fn a_request_larger_than_would_be_served_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("r.json");
        std::fs::write(&file, "123456").unwrap();
        assert_eq!(body(&file, 6).unwrap().len(), 6);
        assert!(body(&file, 5).unwrap_err().to_string().contains("larger than the 5 bytes"));
        assert!(body(&folder.path().join("none"), 5).unwrap_err().to_string().ends_with("there is no such file"));
    }
}
