//! `pointsman advise`: which models to take for a task, and why not another.
//!
//! The five questions of the map are flags; without any, they are printed with the command lines that answer them.

use anyhow::bail;
use catalog::{
    ASSUMED_ENTITY, Advice, CONTEXT_UNASKED, Catalog, Choice, Exposure, Guide, Obstacle, Offer, Place, Purpose,
    Question, RuledOut, Trouble, Use, fit::ShapeSource,
};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{ConfigFile, catalog::known, columns::columns, print, print_json, wrapped::wrapped};
use crate::settle;

const EXAMPLES: &str = "\
Examples:
  pointsman advise                                 the five questions and the scenarios
  pointsman advise --language ko --commercial revenue --gpu 24GB
  pointsman advise --scenario english --commercial internal --seat DE
  pointsman advise --scenario korean --commercial revenue --why-not exaone-3.5-7.8b
  pointsman advise --scenario code --gpu 80GB --context 64k --json

What is not said is taken strictly: revenue, public exposure, no seat. A company is assumed to be
small unless --config and --entity name one that has said what it is.

Order: the map's choices, what it answers to its questions, fallbacks, then other models by
language, tier, year and size. No benchmark counts: measure on your own task.

Memory is for one sequence: weights, a cache at 16 bits a value, and a tenth of the GPU left free.
GB is 1e9 bytes and GiB 2^30; many a GPU sold as 24 GB has 24 GiB. k is 1024 tokens, M a million.

Exit status: 1 where no model will do. Nothing here is legal advice.";

/// Advise on models for a task: licence, memory, price, and the reason for each
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Advise {
    /// What the model is for, as `pointsman advise` lists them: korean, code, single-gpu, edge
    #[arg(long, value_name = "ID")]
    scenario: Option<String>,
    /// Language that a model must know, as in ISO 639-1: en, ko, ja, zh
    #[arg(long, value_name = "CODE")]
    language: Option<String>,
    /// What comes of it: a product that earns money, work inside a company, research for no business, or private use
    #[arg(long, value_name = "USE")]
    commercial: Option<Commercial>,
    /// Who sees what a model writes; public for revenue, else internal, unless said
    #[arg(long, value_name = "WHO")]
    exposure: Option<Seen>,
    /// Seat of the company, or home of the person, as a country code
    #[arg(long, value_name = "COUNTRY")]
    seat: Option<String>,
    /// Entity of the configuration, by which what the company has attested and agreed is found
    #[arg(long, value_name = "NAME", requires = "config")]
    entity: Option<String>,
    /// Memory of the GPU, or the unified memory of a Mac: 24GB, 80GB, 48GiB
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    gpu: Option<u64>,
    /// Tokens of context that have to fit: 32768, 32k
    #[arg(long, value_name = "TOKENS", value_parser = tokens)]
    context: Option<u64>,
    /// Only models whose data and code are open as well, so that others can repeat the training
    #[arg(long)]
    reproducible: bool,
    /// Say what stands in the way of this model, and what would change it
    #[arg(long, value_name = "MODEL")]
    why_not: Option<String>,
    /// Choices to print
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
    #[command(flatten)]
    config: ConfigFile,
    /// One JSON object with everything instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Commercial {
    Revenue,
    Internal,
    Research,
    Personal,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Seen {
    Public,
    Internal,
}

impl Advise {
    fn asks_nothing(&self) -> bool {
        let texts = [&self.scenario, &self.language, &self.seat, &self.entity, &self.why_not];
        texts.iter().all(|text| text.is_none())
            && (self.commercial.is_none() && self.exposure.is_none())
            && (self.gpu.is_none() && self.context.is_none() && !self.reproducible)
    }

    fn question(&self, catalog: &Catalog) -> anyhow::Result<Question> {
        let guide = Guide::builtin();
        let language = self.language.as_ref().map(|language| language.to_lowercase());
        if let Some(language) = &language
            && !catalog.models().any(|model| model.languages.contains(language))
        {
            let language = language.escape_debug();
            bail!("no model of the catalog lists the language `{language}`; codes are those of ISO 639-1, such as ko");
        }
        let scenario = match &self.scenario {
            Some(id) => guide.scenario(id).ok_or_else(|| {
                let ids: Vec<_> = guide.scenarios().iter().map(|scenario| scenario.id.as_str()).collect();
                anyhow::anyhow!("there is no scenario `{}`; there are {}", id.escape_debug(), ids.join(", "))
            })?,
            None => guide.scenario_for(language.as_deref(), self.reproducible, self.gpu.is_some()),
        };
        super::catalog::seat(self.seat.as_ref())?;
        let purpose = match self.commercial {
            None | Some(Commercial::Revenue) => Purpose::Revenue,
            Some(Commercial::Internal) => Purpose::Internal,
            Some(Commercial::Research) => Purpose::Research,
            Some(Commercial::Personal) => Purpose::Personal,
        };
        let exposure = match (self.exposure, purpose) {
            (Some(Seen::Public), _) | (None, Purpose::Revenue) => Exposure::Public,
            (Some(Seen::Internal), _) | (None, _) => Exposure::Internal,
        };
        Ok(Question {
            scenario,
            use_: Use {
                seat: self.seat.clone(),
                entity: self.entity.clone().or_else(|| Some(ASSUMED_ENTITY.to_owned())),
                ..Use::new(purpose, exposure)
            },
            today: settle::today(),
            language,
            memory_bytes: self.gpu,
            context_tokens: self.context,
            fully_open: self.reproducible,
        })
    }
}

/// False if nothing can be advised.
pub(super) fn run(args: &Advise) -> anyhow::Result<bool> {
    let guide = Guide::builtin();
    if args.asks_nothing() {
        match args.json {
            true => print_json(&json!({
                "questions": guide.questions(),
                "licenses": guide.licenses(),
                "scenarios": guide.scenarios(),
            }))?,
            false => print(&overview(guide))?,
        }
        return Ok(true);
    }
    let catalog = known(&args.config)?;
    let question = args.question(&catalog)?;
    let advice = catalog::advise(&catalog, &question);
    if let Some(name) = &args.why_not {
        let model = super::catalog::find(&catalog, name)?;
        // It is in one of the two, as every model of the catalog.
        let choice = advice.choices.iter().find(|choice| choice.model == model.id);
        let ruled_out = advice.ruled_out.iter().find(|ruled_out| ruled_out.model == model.id);
        let text = match (choice, ruled_out, args.json) {
            (_, _, true) => {
                let answer = json!({ "question": asked(&question), "choice": choice, "ruled_out": ruled_out });
                return print_json(&answer).map(|()| true);
            }
            (Some(choice), ..) => why(choice, usize::from(args.limit)),
            (None, Some(ruled_out), _) => why_not(ruled_out, advice.choices.first()),
            (None, None, _) => bail!("`{}` was not looked at", model.id),
        };
        let note = model.note.as_ref().map(|note| wrapped("note: ", note)).unwrap_or_default();
        print(&format!("{}\n{text}{note}", heading(&question)))?;
        return Ok(true);
    }
    match args.json {
        true => print_json(&json!({
            "question": asked(&question),
            "choices": advice.choices,
            "ruled_out": advice.ruled_out,
        }))?,
        false => print(&report(&question, &advice, usize::from(args.limit)))?,
    }
    Ok(!advice.choices.is_empty())
}

/// The question as it was understood, with what was assumed.
fn asked(question: &Question) -> Value {
    json!({
        "scenario": question.scenario,
        "use": question.use_,
        "language": question.language(),
        "memory_bytes": question.memory_bytes(),
        "context_tokens": question.context_tokens,
        "reproducible": question.fully_open || question.scenario.fully_open,
    })
}

/// The questions and scenarios, each with the command line that answers it.
fn overview(guide: &Guide) -> String {
    let mut text = "Five questions; each flag answers one, and they can be combined.\n".to_owned();
    for fork in guide.questions() {
        text.push_str(&format!("\n{}. {}\n", fork.n, fork.asks));
        let width = fork.answers.iter().map(|answer| answer.flags.len()).max().unwrap_or(0);
        text.extend(fork.answers.iter().map(|answer| {
            let command = format!("   pointsman advise {:<width$}  ", answer.flags);
            wrapped(&command, &answer.says)
        }));
    }
    text.push_str("\nScenarios, one for each row of the map's selection matrix:\n\n");
    let width = guide.scenarios().iter().map(|scenario| scenario.id.len()).max().unwrap_or(0);
    text.extend(
        guide
            .scenarios()
            .iter()
            .map(|scenario| format!("   pointsman advise --scenario {:<width$}  {}\n", scenario.id, scenario.title)),
    );
    text.push_str("\nWhich licences to look at first:\n\n");
    text.extend(guide.licenses().iter().map(|first| wrapped("   ", &format!("{}: {}", first.when, first.says))));
    text.push_str("\nWhy a model is not among the choices: add --why-not MODEL. More: pointsman advise --help\n");
    text
}

/// What was asked, in a few lines.
fn heading(question: &Question) -> String {
    let (scenario, use_) = (question.scenario, &question.use_);
    let exposure = if use_.exposure == Exposure::Public { "public" } else { "internal" };
    let seat = use_.seat.as_ref().map_or("seat not stated".to_owned(), |seat| format!("seat {seat}"));
    let mut text = format!("scenario  {}: {} (row {} of the map)\n", scenario.id, scenario.title, scenario.row);
    text.push_str(&format!("use       {}, {exposure} exposure, {seat}\n", use_.purpose.name()));
    text.push_str(&match use_.entity.as_deref() {
        Some(ASSUMED_ENTITY) => {
            wrapped("company   ", &format!("assumed to have {} (--config, --entity)", catalog::ASSUMED))
        }
        entity => format!("company   {}\n", entity.unwrap_or("not stated").escape_debug()),
    });
    if let Some(first) = Guide::builtin().license_first(use_.purpose) {
        text.push_str(&format!("licences  {}\n", first.says));
    }
    if let Some(language) = question.language() {
        text.push_str(&format!("language  {}\n", language.escape_debug()));
    }
    let context = match question.context_tokens {
        Some(tokens) => format!("{tokens} tokens of context"),
        None => format!("{CONTEXT_UNASKED} tokens of context, or the window where it is shorter"),
    };
    match question.memory_bytes() {
        Some(memory) if question.memory_bytes.is_none() => {
            text.push_str(&format!(
                "memory    {} GB, as the scenario takes it (--gpu); {context}\n",
                gigabytes(memory)
            ));
        }
        Some(memory) => text.push_str(&format!("memory    {} GB; {context}\n", gigabytes(memory))),
        None if scenario.trains => {}
        None => text.push_str(&format!("memory    not limited (--gpu); {context}\n")),
    }
    if question.fully_open || scenario.fully_open {
        text.push_str("openness  weights, code and data\n");
    }
    text
}

fn report(question: &Question, advice: &Advice, limit: usize) -> String {
    let mut text = heading(question);
    text.push('\n');
    let shown = &advice.choices[..advice.choices.len().min(limit)];
    if shown.is_empty() {
        text.push_str("No model of the catalog will do.\n");
    } else {
        text.push_str(&table(question, shown));
        text.push('\n');
        for choice in shown {
            let note = choice.note.as_ref().map(|note| format!(" Note: {note}")).unwrap_or_default();
            let why = format!("{}; {}.{note}", choice.why, choice.decision.reason);
            text.push_str(&wrapped(&format!("{:>3}  ", choice.rank), &why));
        }
        if advice.choices.len() > limit {
            text.push_str(&format!("\n{} more: --limit {}\n", advice.choices.len() - limit, advice.choices.len()));
        }
    }
    text.push_str(&ruled_out(advice));
    text.push_str("\nnote\n");
    text.push_str(&wrapped("  ", &question.scenario.note));
    text
}

fn table(question: &Question, choices: &[Choice]) -> String {
    let limited = question.memory_bytes().is_some();
    let rows: Vec<_> = choices
        .iter()
        .map(|choice| {
            let rung = choice.rung();
            let tokens = rung.and_then(|rung| if limited { rung.longest_context } else { Some(rung.context_tokens) });
            let total = rung.map(|rung| {
                let at_most = if rung.need.cache_from == ShapeSource::Bound { "<" } else { "" };
                format!("{at_most}{}", gigabytes(rung.need.total_bytes))
            });
            [
                choice.rank.to_string(),
                choice.model.clone(),
                format!("{} {}", choice.decision.tier.number(), choice.decision.license),
                choice.decision.obligations.len().to_string(),
                rung.map(|rung| rung.quantization.clone()).unwrap_or_default(),
                total.unwrap_or_default(),
                tokens.map(|tokens| tokens.to_string()).unwrap_or_default(),
                choice.offer.as_ref().map(price).unwrap_or_default(),
            ]
        })
        .collect();
    let tokens = if limited { "UP TO" } else { "CONTEXT" };
    let table = columns(["#", "MODEL", "TIER, LICENCE", "DUTIES", "STORED AS", "GB", tokens, "USD/M IN, OUT"], &rows);
    let is_bound = |choice: &Choice| choice.rung().is_some_and(|rung| rung.need.cache_from == ShapeSource::Bound);
    match choices.iter().any(is_bound) {
        true => table + "<  at most: the shape of the model is not known\n",
        false => table,
    }
}

fn price(offer: &Offer) -> String {
    let ends = offer.ends.as_ref().map(|ends| format!(" until {ends}")).unwrap_or_default();
    format!("{}, {} {}{ends}", offer.input_usd_per_million, offer.output_usd_per_million, offer.host)
}

/// What the map's row names and cannot be taken, and how many others of the kind.
fn ruled_out(advice: &Advice) -> String {
    let (of_row, others): (Vec<_>, Vec<_>) = advice
        .ruled_out
        .iter()
        .partition(|ruled_out| matches!(ruled_out.place, Place::First | Place::Second | Place::Fallback));
    let mut text = String::new();
    if !of_row.is_empty() {
        text.push_str("\nnamed in the row, and ruled out\n");
        for ruled_out in of_row {
            let reasons: Vec<_> = ruled_out.obstacles.iter().map(|obstacle| obstacle.reason.as_str()).collect();
            text.push_str(&wrapped("  ", &reasons.join("; ")));
        }
    }
    let mut counts: Vec<(&str, usize)> = Vec::new();
    // That a model is for other work surprises nobody.
    let expected = |obstacle: &Obstacle| {
        use Trouble::{Category, Host, Input, Language, Openness};
        matches!(obstacle.trouble, Category | Host | Input | Language | Openness)
    };
    for ruled_out in others.iter().filter(|ruled_out| !ruled_out.obstacles.iter().any(expected)) {
        let trouble = ruled_out.obstacles.first().map_or("", |obstacle| obstacle.trouble.as_str());
        match counts.iter_mut().find(|(known, _)| *known == trouble) {
            Some((_, count)) => *count += 1,
            None => counts.push((trouble, 1)),
        }
    }
    if !counts.is_empty() {
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let counts: Vec<_> = counts.iter().map(|(trouble, count)| format!("{trouble} {count}")).collect();
        let counts = counts.join(", ");
        text.push_str(&format!("\nothers for such work that are ruled out: {counts} (--why-not MODEL)\n"));
    }
    text
}

/// A model that is advised: its duties, and what its memory is made of.
fn why(choice: &Choice, limit: usize) -> String {
    let beyond = if choice.rank > limit { ", further down than the list goes" } else { "" };
    let place = format!("`{}` is advised: number {}{beyond}, {}", choice.model, choice.rank, choice.why);
    let mut text = wrapped("", &place);
    text.push_str(&wrapped("licence  ", &choice.decision.reason));
    text.extend(choice.decision.obligations.iter().map(|duty| wrapped("           - ", duty)));
    if let Some(rung) = choice.rung() {
        let need = &rung.need;
        text.push_str(&format!(
            "memory   {} GB at {}: weights {}, cache of {} tokens {}, overhead {}\n",
            gigabytes(need.total_bytes),
            rung.quantization,
            gigabytes(need.weights_bytes),
            rung.context_tokens,
            gigabytes(need.cache_bytes),
            gigabytes(need.overhead_bytes),
        ));
    }
    if let Some(offer) = &choice.offer {
        let (input, output) = (offer.input_usd_per_million, offer.output_usd_per_million);
        text.push_str(&format!(
            "price    {input} in and {output} out, in dollars for a million tokens, at {} ({})\n",
            offer.host, offer.as_of
        ));
    }
    text
}

/// A model that is not: what stands in its way, what would change that, and what to take instead.
fn why_not(ruled_out: &RuledOut, instead: Option<&Choice>) -> String {
    let mut text = format!("`{}` is not advised\n", ruled_out.model);
    for obstacle in &ruled_out.obstacles {
        let prefix = format!("{:<15}", obstacle.trouble.as_str());
        text.push_str(&wrapped(&prefix, &obstacle.reason));
        if let Some(change) = &obstacle.change {
            text.push_str(&wrapped("               what would change it: ", change));
        }
    }
    if let Some(choice) = instead {
        text.push_str(&format!("{:<15}`{}`, {}\n", "instead", choice.model, choice.why));
    }
    text
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e9)
}

/// A size of memory. A bare number is refused: nobody means bytes, and it is not clear what else.
fn memory(text: &str) -> Result<u64, String> {
    let (number, unit) = parts(text);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "mib" => f64::from(1 << 20),
        "gib" => f64::from(1 << 30),
        "tib" => f64::from(1 << 20) * f64::from(1 << 20),
        _ => return Err("expected a size such as 24GB, 80GB or 48GiB".to_owned()),
    };
    whole(number, unit).ok_or_else(|| "expected a size such as 24GB, up to 1000TB".to_owned())
}

/// A number of tokens. As in the catalog, k is 1024 and M a round million.
fn tokens(text: &str) -> Result<u64, String> {
    let (number, unit) = parts(text);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" => 1.0,
        "k" => 1024.0,
        "m" => 1e6,
        _ => return Err("expected a number of tokens such as 32768, 32k or 1M".to_owned()),
    };
    whole(number, unit).ok_or_else(|| "expected a number of tokens such as 32768, 32k or 1M".to_owned())
}

fn parts(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    (number, unit.trim())
}

/// `number` times `unit`, where that is more than nothing and exact in a float.
fn whole(number: &str, unit: f64) -> Option<u64> {
    let product = number.parse::<f64>().ok()? * unit;
    (1.0..=1e15).contains(&product).then_some(product.round() as u64)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        advise: Advise,
    }

    fn asked_with(line: &str) -> (Question, Advice) {
        let args = Line::parse_from(std::iter::once("advise").chain(line.split_whitespace())).advise;
        let catalog = catalog::Catalog::with_assumptions();
        let question = args.question(&catalog).unwrap_or_else(|error| panic!("{line}: {error}"));
        let advice = catalog::advise(&catalog, &question);
        (question, advice)
    }

    fn refused(line: &str) -> String {
        let args = Line::parse_from(std::iter::once("advise").chain(line.split_whitespace())).advise;
        args.question(&catalog::Catalog::builtin()).expect_err(line).to_string()
    }

    fn shown(line: &str) -> String {
        let (question, advice) = asked_with(line);
        report(&question, &advice, 500)
    }

    fn shown_for(line: &str, model: &str) -> String {
        let (_, advice) = asked_with(line);
        let ruled_out = advice.ruled_out.iter().find(|ruled_out| ruled_out.model == model);
        why_not(ruled_out.unwrap_or_else(|| panic!("{model} is advised")), advice.choices.first())
    }

    #[test]
    fn korean_for_revenue_on_one_gpu_never_shows_exaone_and_why_not_tells_the_licence() {
        let line = "--scenario korean --commercial revenue --gpu 24GB";
        let text = shown(line);
        assert!(text.contains("\n1  kanana-1.5-8b ") || text.contains("\n1   kanana-1.5-8b "), "{text}");
        assert!(!text.to_lowercase().contains("exaone"), "{text}");
        let text = shown_for(line, "exaone-3.5-7.8b");
        assert!(
            text.starts_with("`exaone-3.5-7.8b` is not advised\nlicence        `exaone-3.5-7.8b` is under"),
            "{text}"
        );
        assert!(text.contains("what would change it: a use that the licence allows: research"), "{text}");
        assert!(text.ends_with("instead        `kanana-1.5-8b`, the map's first choice\n"), "{text}");
        assert!(shown("--scenario korean --commercial research").contains("exaone-3.5-32b"));
    }

    #[test]
    fn a_model_that_is_advised_shows_its_duties_and_what_its_memory_is_made_of() {
        let (_, advice) = asked_with("--gpu 24GB");
        let gemma = advice.choices.iter().find(|choice| choice.model == "gemma-3-12b-it").unwrap();
        let text = why(gemma, 1);
        assert!(text.starts_with("`gemma-3-12b-it` is advised: number 2, further down than the list goes"), "{text}");
        assert_eq!(text.matches("\n           - ").count(), gemma.decision.obligations.len(), "{text}");
        assert!(
            text.contains("\nmemory   15.4 GB at q8_0: weights 13.0, cache of 8192 tokens 0.9, overhead 1.5\n"),
            "{text}"
        );
        assert!(
            text.contains("\nprice    0.05 in and 0.15 out, in dollars for a million tokens, at deepinfra"),
            "{text}"
        );
    }

    #[test]
    fn no_line_of_a_report_is_wider_than_120_columns() {
        let guide = Guide::builtin();
        let reports = guide.scenarios().iter().flat_map(|scenario| {
            let line = format!("--scenario {}", scenario.id);
            [shown(&line), shown(&format!("{line} --gpu 24GB --seat US"))]
        });
        for text in reports.chain([overview(guide)]) {
            for line in text.lines() {
                assert!(line.chars().count() <= 120, "{line}");
            }
        }
    }

    #[test]
    fn every_command_of_the_overview_can_be_given() {
        let guide = Guide::builtin();
        let flags = guide.questions().iter().flat_map(|fork| &fork.answers).map(|answer| answer.flags.clone());
        let scenarios = guide.scenarios().iter().map(|scenario| format!("--scenario {}", scenario.id));
        for line in flags.chain(scenarios) {
            let (_, advice) = asked_with(&line);
            assert!(!advice.choices.is_empty(), "{line}");
        }
        let text = overview(guide);
        assert_eq!(text.matches("pointsman advise --scenario ").count(), guide.scenarios().len() + 2, "{text}");
        assert!((1..=5).all(|n| text.contains(&format!("\n{n}. "))), "{text}");
    }

    #[test]
    fn what_is_not_said_is_taken_strictly() {
        let use_of = |line| asked_with(line).0.use_;
        let strictest = use_of("--gpu 24GB");
        assert_eq!((strictest.purpose, strictest.exposure, strictest.seat), (Purpose::Revenue, Exposure::Public, None));
        assert_eq!(use_of("--commercial internal").exposure, Exposure::Internal);
        assert_eq!(use_of("--commercial research --exposure public").exposure, Exposure::Public);
        assert_eq!(use_of("--commercial revenue --exposure internal --seat DE").exposure, Exposure::Internal);
    }

    #[test]
    fn a_flag_that_cannot_be_right_is_refused_with_what_is() {
        assert!(refused("--scenario krean").starts_with("there is no scenario `krean`; there are english, "));
        assert_eq!(
            refused("--seat UK"),
            "`UK` is not a country code of ISO 3166, such as DE or KR: did you mean `GB`?"
        );
        assert!(refused("--language korean").contains("codes are those of ISO 639-1"));
        assert_eq!(asked_with("--language KO").0.scenario.id, "korean");
    }

    #[test]
    fn sizes_of_memory_have_a_unit_and_tokens_may() {
        assert_eq!(memory("24GB"), Ok(24_000_000_000));
        assert_eq!(memory("24 GiB"), Ok(24 << 30));
        assert_eq!((memory("0.5gb"), memory("512MiB")), (Ok(500_000_000), Ok(512 << 20)));
        for text in ["24", "GB", "-1GB", "1e3GB", "24XB", "", "0GB", "1.2.3GB", "99999999TB"] {
            assert!(memory(text).is_err(), "{text}");
        }
        assert_eq!((tokens("32k"), tokens("32768"), tokens("1M")), (Ok(32_768), Ok(32_768), Ok(1_000_000)));
        for text in ["k", "32kb", "-1", "0", "inf", "nan"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }
}
