//! `pointsman audit usage`: who used which model under which licence, for what, and on whose word.

use std::collections::{BTreeMap, BTreeSet};

use catalog::Training;
use clap::{Args, ValueEnum};

use super::{
    Ask,
    document::{Cell, Document, Table},
    join::{Entry, Told},
    recorded::Recorded,
    standing,
    which::Which,
};

/// Count requests, tokens and cost by whatever is asked, with the waivers, agreements and attestations that they rested on
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pointsman audit usage --tier 3 --exposure public --from 2026-10-01 --to 2026-11-01 --verify
  pointsman audit usage --reach outputs --purpose distillation,training-data
  pointsman audit usage --by day,team,model --html --out usage.html")]
pub(super) struct Usage {
    #[command(flatten)]
    which: Which,
    /// Only where the licence reaches what the model writes
    #[arg(long, value_name = "WHAT")]
    reach: Option<Reach>,
    /// What requests are told apart by
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "COLUMNS",
        default_value = "team,context,use,exposure,model,license,tier,decision,policy,rests_on"
    )]
    by: Vec<Column>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reach {
    /// Outputs that other models may not freely be trained on, or that keep the model's purposes
    Outputs,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Column {
    Day,
    Entity,
    Seat,
    EndUsers,
    Team,
    Key,
    Context,
    Use,
    Exposure,
    Purpose,
    Api,
    Asked,
    Model,
    License,
    Tier,
    Deployment,
    Verdict,
    Decision,
    Rule,
    Route,
    Policy,
    Config,
    RestsOn,
    Ended,
}

#[derive(Default)]
struct Count {
    requests: u64,
    prompt_tokens: u64,
    answer_tokens: u64,
    cost_usd: f64,
    first: u64,
    last: u64,
}

pub(super) fn run(args: &Usage, ask: &Ask) -> anyhow::Result<Document> {
    let mut recorded = Recorded::of(&ask.data_dir);
    let mut counts: BTreeMap<Vec<String>, Count> = BTreeMap::new();
    let mut relied: BTreeMap<String, u64> = BTreeMap::new();
    let mut policies: BTreeSet<String> = BTreeSet::new();
    let (mut total, mut untold) = (0, 0);
    for told in ask.told()? {
        let told = told?;
        recorded.take(&told);
        let Told::Request(entry) = told else { continue };
        if !args.which.fits(&entry) {
            continue;
        }
        if args.reach.is_some() {
            match reaches_outputs(&recorded, &entry) {
                Some(true) => {}
                Some(false) => continue,
                // What cannot be told is shown: nothing is left out for want of a text.
                None => untold += 1,
            }
        }
        total += 1;
        let key: Vec<_> = args.by.iter().map(|column| column.of(&entry)).collect();
        let count = counts.entry(key).or_insert_with(|| Count { first: entry.record, ..Count::default() });
        count.requests += 1;
        count.first = count.first.min(entry.record);
        count.last = count.last.max(entry.record);
        if let Some(outcome) = &entry.outcome {
            count.prompt_tokens += outcome.prompt_tokens.unwrap_or(0);
            count.answer_tokens += outcome.completion_tokens.unwrap_or(0);
            count.cost_usd += outcome.cost_usd.unwrap_or(0.0);
        }
        for id in entry.licensed().iter().flat_map(|licensed| &licensed.rests_on) {
            *relied.entry(id.to_string()).or_default() += 1;
        }
        policies.insert(entry.decision.policy.to_string());
    }
    let mut document = ask.document("Usage of models");
    document.facts.push(("requests", total.into()));
    if untold > 0 {
        document.facts.push(("requests_whose_catalog_is_not_there", untold.into()));
    }
    let measures = ["requests", "prompt_tokens", "answer_tokens", "cost_usd", "first_record", "last_record"];
    let columns: Vec<_> = args.by.iter().map(|column| column.name()).chain(measures).collect();
    let mut usage = Table::new("usage", "Requests", &columns).drawing("requests");
    let mut rows: Vec<_> = counts.into_iter().collect();
    rows.sort_by(|a, b| b.1.requests.cmp(&a.1.requests).then_with(|| a.0.cmp(&b.0)));
    usage.rows = rows
        .into_iter()
        .map(|(key, count)| {
            let words = key.into_iter().map(|word| if word.is_empty() { Cell::None } else { Cell::Text(word) });
            let measures = [
                count.requests.into(),
                count.prompt_tokens.into(),
                count.answer_tokens.into(),
                Cell::Usd(count.cost_usd),
                count.first.into(),
                count.last.into(),
            ];
            words.chain(measures).collect()
        })
        .collect();
    document.tables = vec![usage, rests_on(&recorded, relied), decided_by(&recorded, &policies)];
    Ok(document)
}

/// What the requests rested on, and who stands for that.
fn rests_on(recorded: &Recorded, relied: BTreeMap<String, u64>) -> Table {
    let mut table = Table::new(
        "rests_on",
        "Waivers, agreements and attestations that they rested on",
        &["id", "kind", "stands_for_it", "reason", "from", "until", "requests"],
    );
    table.rows = relied
        .into_iter()
        .map(|(id, requests)| {
            let row = standing::cells(recorded, &id);
            std::iter::once(id.into()).chain(row).chain([requests.into()]).collect()
        })
        .collect();
    table
}

/// The policies that decided them.
fn decided_by(recorded: &Recorded, policies: &BTreeSet<String>) -> Table {
    let mut table =
        Table::new("policies", "Policies that decided", &["policy", "config", "since", "record", "version", "texts"]);
    table.rows = recorded
        .activated()
        .iter()
        .filter(|one| policies.contains(&one.activated.policy))
        .map(|one| {
            vec![
                one.activated.policy.as_str().into(),
                one.activated.config.as_str().into(),
                Cell::Time(one.time),
                one.record.into(),
                one.activated.version.as_str().into(),
                Cell::list(one.activated.texts.iter().map(|text| format!("{} {}", text.name, &text.sha256[..12]))),
            ]
        })
        .collect();
    table
}

/// Whether the licences of what served a request reach what it wrote; `None` where its catalog is not there.
fn reaches_outputs(recorded: &Recorded, entry: &Entry) -> Option<bool> {
    let licensed = entry.licensed()?;
    let catalog = recorded.catalog(&entry.decision.config).ok()?;
    let ids = match catalog.model(&licensed.model) {
        Some(model) => catalog.licenses_of(model),
        None => vec![(*licensed.license).into()],
    };
    Some(ids.iter().any(|id| {
        catalog
            .license(id)
            .is_none_or(|license| license.outputs.purpose_bound || license.outputs.training != Training::Free)
    }))
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Entity => "entity",
            Self::Seat => "seat",
            Self::EndUsers => "end_users",
            Self::Team => "team",
            Self::Key => "key",
            Self::Context => "context",
            Self::Use => "use",
            Self::Exposure => "exposure",
            Self::Purpose => "purpose",
            Self::Api => "api",
            Self::Asked => "asked",
            Self::Model => "model",
            Self::License => "license",
            Self::Tier => "tier",
            Self::Deployment => "deployment",
            Self::Verdict => "verdict",
            Self::Decision => "decision",
            Self::Rule => "rule",
            Self::Route => "route",
            Self::Policy => "policy",
            Self::Config => "config",
            Self::RestsOn => "rests_on",
            Self::Ended => "ended",
        }
    }

    /// The value of a request.
    fn of(self, entry: &Entry) -> String {
        let decision = &entry.decision;
        let use_ = &decision.r#use;
        let licensed = entry.licensed();
        let or_empty = |text: Option<&str>| text.unwrap_or_default().to_owned();
        match self {
            Self::Day => super::written(decision.time)[..10].to_owned(),
            Self::Entity => or_empty(use_.entity.as_deref()),
            Self::Seat => or_empty(use_.seat.as_deref()),
            Self::EndUsers => use_.end_users.join(" "),
            Self::Team => or_empty(decision.team.as_deref()),
            Self::Key => or_empty(decision.key.as_deref()),
            Self::Context => decision.context.to_string(),
            Self::Use => use_.purpose.to_string(),
            Self::Exposure => use_.exposure.to_string(),
            Self::Purpose => use_.activity.to_string(),
            Self::Api => decision.api.to_string(),
            Self::Asked => decision.model.to_string(),
            Self::Model => or_empty(licensed.map(|licensed| &*licensed.model)),
            Self::License => or_empty(licensed.map(|licensed| &*licensed.license)),
            Self::Tier => licensed.map(|licensed| licensed.tier.to_string()).unwrap_or_default(),
            Self::Deployment => or_empty(entry.deployment()),
            Self::Verdict => decision.verdict.to_string(),
            Self::Decision => or_empty(licensed.map(|licensed| &*licensed.outcome)),
            Self::Rule => or_empty(licensed.map(|licensed| &*licensed.rule)),
            Self::Route => or_empty(decision.route.as_deref()),
            Self::Policy => decision.policy.chars().take(16).collect(),
            Self::Config => decision.config.chars().take(16).collect(),
            Self::RestsOn => licensed.map(|licensed| licensed.rests_on.join(" ")).unwrap_or_default(),
            Self::Ended => entry.ended().to_owned(),
        }
    }
}
