//! What gateways that serve together share. No address is asked here whether anybody is there.

use std::str::FromStr as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use remote::Secret;
use sqlx::postgres::PgConnectOptions;
use url::Url;

use super::{AnswersKey, Fleet, contexts, decode::Spanned, load::Reading, raw::RawFleet, report::Problem, yaml::Node};

/// What the entries of a fleet are named by unless the configuration says otherwise.
const NAME: &str = "pointsman";
/// The most gateways of a fleet.
const MOST: u64 = 1_000;

/// The fleet, if it is in order.
pub(super) fn check(reading: &mut Reading<'_>, raw: Option<&Spanned<RawFleet>>, tree: &Node) -> Option<Fleet> {
    let Spanned { value: raw, at, .. } = raw?;
    let is_whole = !tree.get("fleet").is_some_and(Node::has_broken);
    if is_whole && raw.valkey.is_none() && raw.postgres.is_none() {
        let problem = Problem::error("no-store", "`fleet` names no place where its gateways could share anything");
        let problem = problem.hint("give it `valkey` for limits and answers, or `postgres` for budgets and keys");
        reading.note(problem, at.clone());
    }
    let valkey = raw.valkey.as_ref().and_then(|written| {
        let why = |text: &str| redis::Client::open(text).err().map(|error| error.category().to_owned());
        address(reading, ("valkey", "the fleet"), written, why, "redis://localhost:6379, or rediss:// for one with TLS")
    });
    let postgres = raw.postgres.as_ref().and_then(|written| postgres(reading, ("postgres", "the fleet"), written));
    let name = raw.name.as_ref().map_or(NAME, |name| {
        if !contexts::is_name(&name.value) {
            reading.note(contexts::bad_name("fleet", &name.value), name.at.clone());
        }
        &name.value
    });
    let gateways = raw.gateways.as_ref().map_or(1, |gateways| {
        if !(1..=MOST).contains(&gateways.value) {
            let problem = Problem::error("out-of-range", "`gateways` cannot be that");
            reading.note(problem.label(format!("expected 1 to {MOST}")), gateways.at.clone());
        }
        gateways.value.min(MOST) as u32
    });
    let answers_key =
        raw.answers_key.as_ref().and_then(|key| answers_key(reading, key, raw.valkey.is_some() || !is_whole));
    Some(Fleet { valkey, postgres, name: name.to_owned(), gateways, answers_key })
}

/// The address of a PostgreSQL: what a key of something says.
pub(super) fn postgres(reading: &mut Reading<'_>, key: (&str, &str), written: &Spanned<String>) -> Option<Secret> {
    let why = |text: &str| match text.split_once("://") {
        Some(("postgres" | "postgresql", _)) => {
            PgConnectOptions::from_str(text).err().map(|_| "not an address of a PostgreSQL".to_owned())
        }
        _ => Some("not an address of a PostgreSQL".to_owned()),
    };
    address(reading, key, written, why, "postgres://localhost/pointsman")
}

/// An address that `why` finds nothing wrong with, and whose password nobody reads in the file.
fn address(
    reading: &mut Reading<'_>,
    (key, of): (&str, &str),
    written: &Spanned<String>,
    why: impl Fn(&str) -> Option<String>,
    example: &str,
) -> Option<Secret> {
    let text = written.value.trim();
    let has_password = Url::parse(text).is_ok_and(|url| url.password().is_some());
    let problem = match why(text) {
        Some(why) => Problem::error("bad-url", format!("`{key}` of {of} is not an address")).label(why),
        None if has_password && !written.from_environment => {
            let problem = Problem::error("literal-key", "a password may not stand in a configuration file");
            let problem = problem.label("not from the environment");
            let problem = problem.hint(format!("write `{key}: \"${{NAME}}\"` and set the variable"));
            reading.note(problem, written.at.clone());
            return None;
        }
        None => return Some(Secret::new(text)),
    };
    reading.note(problem.hint(format!("for example {example}")), written.at.clone());
    None
}

/// The key of shared answers.
fn answers_key(reading: &mut Reading<'_>, key: &Spanned<String>, has_valkey: bool) -> Option<AnswersKey> {
    let bytes = STANDARD.decode(key.value.trim()).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let problem = match bytes {
        _ if !key.from_environment => Problem::error("literal-key", "a secret may not stand in a configuration file")
            .label("not from the environment")
            .hint("write `answers_key: \"${NAME}\"` and set the variable"),
        None => Problem::error("bad-key", "`answers_key` is not 32 bytes in Base64")
            .hint("for example the output of `openssl rand -base64 32`"),
        Some(_) if !has_valkey => Problem::error("no-store", "`answers_key` is of no use without `valkey`")
            .hint("name the Valkey that the gateways share answers in, or leave the key out"),
        Some(bytes) => return Some(AnswersKey(bytes)),
    };
    reading.note(problem, key.at.clone());
    None
}
