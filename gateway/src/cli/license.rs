//! `pointsman license`: why a model may or may not serve a use, clause by clause; signatures of what it rests on; and whether
//! pages show what it asks for.

mod acquire;
mod check_evidence;
mod notice;
mod sign;

use std::path::PathBuf;

use anyhow::{Context, bail};
use catalog::{
    Activity, Catalog, Date, Domain, Explanation, Exposure, Model, Outcome, Purpose, Step, StepOutcome, Use,
    decide_served, explain,
};
use clap::{Args, Subcommand, ValueEnum, builder::PossibleValue};
use serde_json::json;

use super::{ConfigFile, print, print_json, wrapped::wrapped};
use crate::{
    config::{Config, Weights, weights},
    settle,
};

/// Say why a model may or may not serve a use, and sign what that rests on
#[derive(Debug, Args)]
pub(super) struct License {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Which clause, which fact, and what would change it
    Explain(Explain),
    Acquire(acquire::Acquire),
    CheckEvidence(check_evidence::CheckEvidence),
    Notice(notice::NoticeOf),
    Sign(sign::Sign),
    Signer(sign::NewSigner),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pointsman license explain llama-4-scout --use revenue --exposure public --seat FR
  pointsman license explain mistral-large-2 --config pointsman.yaml --context office
  pointsman license explain deepseek-v3 --use internal --purpose distillation --domain military
  pointsman license explain llama-3.3-70b-instruct --config pointsman.yaml --context office --on 2027-02-01")]
struct Explain {
    /// Catalog id, repository, or another name of the model
    model: String,
    /// A context of the configuration; the options below change what it says
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// What the model is used for
    #[arg(long = "use", value_name = "USE")]
    use_: Option<Word<Purpose>>,
    /// Who sees what it writes
    #[arg(long, value_name = "EXPOSURE")]
    exposure: Option<Word<Exposure>>,
    /// What becomes of what it writes
    #[arg(long, value_name = "PURPOSE")]
    purpose: Option<Word<Activity>>,
    /// A field of use that it is part of; may be repeated
    #[arg(long, value_name = "FIELD")]
    domain: Vec<Word<Domain>>,
    /// Country of the seat, as two capital letters
    #[arg(long, value_name = "COUNTRY")]
    seat: Option<String>,
    /// An adapter that is loaded over the model, by its name in the catalog; may be repeated
    #[arg(long, value_name = "NAME")]
    adapter: Vec<String>,
    /// A file or folder of weights that it is served from; what counsel concluded holds for certain weights
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// The day to decide on [default: today]
    #[arg(long, value_name = "DATE")]
    on: Option<Date>,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// A word of a closed list of the catalog, as an option takes it.
#[derive(Clone, Copy, Debug)]
struct Word<T>(T);

macro_rules! words {
    ($($of:ty: $($value:expr),+;)+) => {$(
        impl ValueEnum for Word<$of> {
            fn value_variants<'a>() -> &'a [Self] {
                &[$(Word($value)),+]
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(PossibleValue::new(self.0.name()))
            }
        }
    )+};
}

words! {
    Purpose: Purpose::Revenue, Purpose::Internal, Purpose::Research, Purpose::Personal;
    Exposure: Exposure::Internal, Exposure::Public;
    Activity: Activity::Inference, Activity::Evaluation, Activity::Agent, Activity::Distillation, Activity::TrainingData;
    Domain: Domain::Military, Domain::Weapons, Domain::Surveillance, Domain::Biometrics, Domain::CriticalInfrastructure,
        Domain::Medical, Domain::UnlicensedAdvice, Domain::LawEnforcement, Domain::AutomatedDecisions,
        Domain::UndisclosedGeneration;
}

/// False if the model may not serve the use.
pub(super) fn run(args: &License) -> anyhow::Result<bool> {
    let args = match &args.command {
        Command::Explain(args) => args,
        Command::Acquire(args) => return acquire::acquire(args),
        Command::CheckEvidence(args) => return check_evidence::run(args),
        Command::Notice(args) => return notice::run(args),
        Command::Sign(args) => return sign::sign(args),
        Command::Signer(args) => return sign::new_signer(args),
    };
    let config = args.config.source().load()?.0;
    let catalog = &config.catalog;
    let model = served_from(args, catalog, super::catalog::find(catalog, &args.model)?)?;
    let use_ = asked(args, &config)?;
    let today = args.on.unwrap_or_else(settle::today);
    let explanation = served(args, catalog, model, &use_, today);
    if args.json {
        print_json(&json!({ "model": model.id, "use": use_, "on": today, "explanation": explanation }))?;
    } else {
        print(&text(catalog, model, &use_, today, &explanation))?;
    }
    Ok(explanation.decision.outcome.allows())
}

/// The model as it is served from the weights that are named.
fn served_from<'c>(args: &Explain, catalog: &'c Catalog, model: &'c Model) -> anyhow::Result<&'c Model> {
    let Some(path) = &args.weights else { return Ok(model) };
    let beside = catalog.looks_at_weights(&model.id).unwrap_or_default();
    let weights = weights::look(&Weights::at(path.clone()), &beside);
    let weights = weights.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(catalog.served_from(&model.id, weights.as_ref()).unwrap_or(model))
}

/// The decision for the model and the adapters over it, with the clauses of all their licences.
fn served(args: &Explain, catalog: &Catalog, model: &Model, use_: &Use, today: Date) -> Explanation {
    let mut explanation = explain(catalog, model, use_, today);
    let adapters: Vec<&str> = args.adapter.iter().map(String::as_str).collect();
    explanation.decision = decide_served(catalog, model, &adapters, use_, today);
    for name in adapters {
        match catalog.resolve(name) {
            Some(adapter) => {
                let steps = explain(catalog, adapter, use_, today).steps;
                explanation.steps.extend(steps.into_iter().map(|step| of_adapter(step, &adapter.id)));
            }
            None => explanation.steps.push(unknown_adapter(name)),
        }
    }
    explanation
}

/// Says whose clause it is.
fn of_adapter(step: Step, adapter: &str) -> Step {
    Step { from: format!("the adapter {adapter}: {}", step.from), ..step }
}

fn unknown_adapter(name: &str) -> Step {
    Step {
        license: "unknown".to_owned(),
        from: format!("the adapter {}", name.escape_debug()),
        clause: "what nobody knows allows no use".to_owned(),
        fact: "the catalog has no such adapter".to_owned(),
        outcome: StepOutcome::Refuses,
        rule: "adapter-unknown",
        then: Some(
            "a row of it under `models` in a catalog file of the company, with its licence and parents".to_owned(),
        ),
    }
}

/// The use of the context, with what the options say over it.
fn asked(args: &Explain, config: &Config) -> anyhow::Result<Use> {
    let mut use_ = match &args.context {
        Some(name) => match config.contexts.get(name) {
            Some(context) => Use::clone(&context.use_),
            None => {
                let known = config.contexts.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                bail!("{} has no context `{}`; it has {known}", args.config.name(), name.escape_debug());
            }
        },
        None => match args.use_ {
            Some(Word(purpose)) => Use::new(purpose, Exposure::Internal),
            None => bail!("say what it is used for: --context NAME of a configuration, or --use and --exposure"),
        },
    };
    if let Some(Word(purpose)) = args.use_ {
        use_.purpose = purpose;
    }
    if let Some(Word(exposure)) = args.exposure {
        use_.exposure = exposure;
    }
    if let Some(Word(activity)) = args.purpose {
        use_.activity = activity;
    }
    use_.domains.extend(args.domain.iter().map(|Word(domain)| *domain));
    if let Some(seat) = &args.seat {
        super::catalog::seat(Some(seat))?;
        use_.seat = Some(seat.clone());
    }
    Ok(use_)
}

fn text(catalog: &Catalog, model: &Model, use_: &Use, today: Date, explanation: &Explanation) -> String {
    let decision = &explanation.decision;
    let licenses = catalog.licenses_of(model).iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" and ");
    let mut text = entry("model", &format!("{} ({}), under {licenses}", model.id, model.developer));
    text += &entry("use", &used(use_));
    text += &entry("on", &today.to_string());
    let (outcome, rule, tier) = (decision.outcome.name().replace('_', " "), decision.rule, decision.tier.number());
    text += &entry("decision", &format!("{outcome} (rule {rule}, tier {tier}): {}", comes_to(decision.outcome)));
    text += &entry("because", &decision.reason);
    if !decision.rests_on.is_empty() {
        let until = decision.valid_until.map_or_else(String::new, |until| format!(", until {until}"));
        text += &entry("rests on", &format!("{}{until}", decision.rests_on.join(", ")));
    }
    if !decision.alternatives.is_empty() {
        text += &entry("instead", &decision.alternatives.join(", "));
    }
    for finding in decision.findings.iter() {
        text += &entry("look at", finding);
    }
    let mut heading = ("", "");
    for step in &explanation.steps {
        if (step.license.as_str(), step.from.as_str()) != heading {
            heading = (&step.license, &step.from);
            let of = match catalog.license(&step.license) {
                Some(license) => format!("{} (`{}`), of {}", license.name, license.id, step.from),
                None => "The company's own rules".to_owned(),
            };
            text += &format!("\n{}", entry("", &of).trim_start());
        }
        text += &line(step);
    }
    text
}

/// Who uses the model for what, and where.
fn used(use_: &Use) -> String {
    let mut text = format!("{}, {} exposure, {}", use_.purpose.name(), use_.exposure.name(), use_.activity.name());
    if !use_.domains.is_empty() {
        let fields: Vec<_> = use_.domains.iter().map(|domain| domain.name()).collect();
        text += &format!(", in the field {}", fields.join(" and "));
    }
    let stated = |what: &str, value: Option<&str>| match value {
        Some(value) => format!("; {what} {}", value.escape_debug()),
        None => format!("; no {what} stated"),
    };
    text += &stated("entity", use_.entity.as_deref());
    text += &stated("seat", use_.seat.as_deref());
    if !use_.end_users.is_empty() {
        text += &format!("; offered to people in {}", use_.end_users.join(", "));
    }
    text
}

/// What an outcome means for the use.
fn comes_to(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "the use may go ahead",
        Outcome::AllowWithObligations => "the use may go ahead; what it owes is marked below",
        Outcome::Warn => "the use may go ahead for now; somebody should look at what is named below",
        Outcome::Route => "the use may not go ahead; the models below are asked instead",
        Outcome::RequireAttestation => "the use has to wait until somebody answers for what is marked as missing",
        Outcome::Deny => "the use may not go ahead",
    }
}

/// One clause: its mark, what it says, what is known, and what would change it.
fn line(step: &Step) -> String {
    let Step { clause, fact, .. } = step;
    let then = step.then.as_deref().unwrap_or_default();
    let changed = || entry("", &format!("to allow it: {then}"));
    match step.outcome {
        StepOutcome::Holds => entry("  holds", &format!("{clause}: {fact}")),
        StepOutcome::Owes => entry("  owes", then),
        StepOutcome::Missing => entry("  MISSING", &format!("{clause}: {fact}")) + &changed(),
        StepOutcome::Refuses => entry("  REFUSES", &format!("{clause}: {fact}")) + &changed(),
        StepOutcome::Shadow => entry("  shadow", &format!("{clause}: {fact}; {then}")),
        StepOutcome::Lifted if then.is_empty() => entry("  lifted", &format!("{clause}: {fact}")),
        StepOutcome::Lifted => entry("  lifted", &format!("{clause}: {fact}; {then}")),
    }
}

/// A label and its text, wrapped beside it.
fn entry(label: &str, text: &str) -> String {
    wrapped(&format!("{label:<11}"), text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::{Environment, Overrides, zero};

    #[derive(Parser)]
    struct Asked {
        #[command(flatten)]
        args: Explain,
    }

    fn explained(command: &str) -> anyhow::Result<String> {
        let args = Asked::try_parse_from(std::iter::once("x").chain(command.split(' ')))?.args;
        let config =
            zero(&Overrides::default(), &Environment::default()).map_err(|report| anyhow::anyhow!("{report}"))?.0;
        let model = super::super::catalog::find(&config.catalog, &args.model)?;
        let use_ = asked(&args, &config)?;
        let today = args.on.expect("each test says its day");
        Ok(text(&config.catalog, model, &use_, today, &served(&args, &config.catalog, model, &use_, today)))
    }

    #[test]
    fn a_refusal_says_which_clause_which_fact_and_what_would_change_it() {
        let text = explained("llama-4-scout --use revenue --exposure public --seat FR --on 2026-11-25").unwrap();
        assert!(text.contains("decision   deny (rule territory-seat, tier 2)"), "{text}");
        assert!(text.contains("to allow it: a seat outside EU"), "{text}");
        assert!(text.contains("MISSING") && text.contains("month: 2025-03, at_most: 700000000"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 118), "{text}");
    }

    #[test]
    fn a_context_is_decided_as_requests_are_and_options_change_it() {
        let text = explained("llama-3.3-70b-instruct --context default --on 2026-11-25").unwrap();
        assert!(
            text.contains("rests on   assumed-few-users") && text.contains("internal, internal exposure"),
            "{text}"
        );
        let text = explained("llama-3.3-70b-instruct --context default --domain military --on 2026-11-25").unwrap();
        assert!(text.contains("(rule prohibited-domain, tier 2)"), "{text}");
    }

    #[test]
    fn an_adapter_binds_with_its_licence_and_one_that_nobody_registered_is_denied() {
        let text = explained("qwen3-32b --use internal --on 2026-11-25 --adapter support-lora").unwrap();
        assert!(text.contains("deny (rule adapter-unknown") && text.contains("`support-lora`"), "{text}");
        let text = explained("qwen3-32b --use internal --on 2026-11-25 --adapter command-r-plus").unwrap();
        assert!(text.contains("deny (rule tier4-commercial") && text.contains("(`cc-by-nc-4.0`)"), "{text}");
    }

    #[test]
    fn what_is_not_known_is_told_with_what_there_is() {
        let error = |command: &str| explained(command).unwrap_err().to_string();
        assert!(error("phi-4 --context office --on 2026-11-25").contains("has no context `office`; it has `default`"));
        assert!(error("phi-4 --on 2026-11-25").contains("say what it is used for"));
        assert!(error("phi4x --use revenue --on 2026-11-25").contains("did you mean `phi-4"));
        assert!(error("phi-4 --use revenue --seat UK --on 2026-11-25").contains("did you mean `GB`?"));
        assert!(error("phi-4 --use revenue --on 2026-13-01").contains("expected a date such as"));
    }
}
