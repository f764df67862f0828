//! The table of an index in its PostgreSQL: records in, and back out to be compared.
//!
//! A batch is one statement that leaves out what is there already, so whoever dies before, in or after it may begin again anywhere,
//! and several may be at it. Nothing that a record may hold is refused by the table: what PostgreSQL's texts, times and indexes
//! cannot hold is fitted ([`fitted`]), and the record itself is kept as bytes.

use remote::Secret;
use sqlx::{PgPool, Row as _, migrate::MigrateError, postgres::PgRow};

use super::log::Entry;
use crate::{
    postgres::{Step, connections, migrate},
    settle::{LAST_MS, row::Row},
};

/// Nobody waits for an index, so a large table may take its time.
const STATEMENTS: &str = "60s";
/// The most connections: whoever follows a ledger does one thing at a time.
const CONNECTIONS: u32 = 1;
/// The most bytes of a text, of which three columns are parts of indexes.
const MOST_TEXT: usize = 500;
/// So many rows of pruned records are removed by one statement.
const FORGOTTEN_AT_ONCE: i64 = 10_000;

/// The steps that made the tables what they are.
const STEPS: [Step; 1] = [(1, "records and requests", include_str!("tables.sql"))];

const INSERT: &str = "INSERT INTO pointsman_records (log, number, kind, time, request, team, key, context, route, asked, verdict, \
         deployment, model, license, tier, outcome, rule, rests_on, status, prompt_tokens, completion_tokens, cost_usd, \
         leaf_hash, record) \
     SELECT $1, n.number, n.kind, timestamptz 'epoch' + n.ms * interval '1 millisecond', n.request, n.team, n.key, n.context, \
         n.route, n.asked, n.verdict, n.deployment, n.model, n.license, n.tier, n.outcome, n.rule, \
         ARRAY(SELECT jsonb_array_elements_text(n.rests_on::jsonb)), n.status, n.prompt_tokens, n.completion_tokens, \
         n.cost_usd, n.leaf_hash, n.record \
     FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], \
         $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::smallint[], $16::text[], $17::text[], \
         $18::text[], $19::text[], $20::bigint[], $21::bigint[], $22::double precision[], $23::bytea[], $24::bytea[]) \
         AS n (number, kind, ms, request, team, key, context, route, asked, verdict, deployment, model, license, tier, \
               outcome, rule, rests_on, status, prompt_tokens, completion_tokens, cost_usd, leaf_hash, record) \
     ON CONFLICT DO NOTHING";

/// A time with less than milliseconds is none that was put there.
const ROWS: &str = "SELECT number, kind, CASE WHEN time = date_trunc('milliseconds', time) \
         THEN (extract(epoch FROM time) * 1000)::bigint WHEN time IS NOT NULL THEN -1 END AS ms, request, team, key, context, \
         route, asked, verdict, deployment, model, license, tier, outcome, rule, rests_on, status, prompt_tokens, \
         completion_tokens, cost_usd, leaf_hash, sha256('\\x00'::bytea || record) AS hashed \
     FROM pointsman_records WHERE log = $1 AND number >= $2 AND number < $3 ORDER BY number";

/// See the module.
#[derive(Clone, Debug)]
pub struct Table {
    pool: PgPool,
    log: String,
}

/// Which records of a log a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The number of the first one.
    pub first: u64,
    /// The number after the last one.
    pub next: u64,
}

/// A row as it was found.
#[derive(Debug)]
pub struct Found {
    /// The number of its record.
    pub number: u64,
    columns: Row,
    leaf: Vec<u8>,
    hashed: Vec<u8>,
}

impl Table {
    /// That of a log at an address. It is connected to when something is asked.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(address: &Secret, log: &str) -> sqlx::Result<Self> {
        Ok(Self { pool: connections(address, CONNECTIONS, STATEMENTS)?, log: log.to_owned() })
    }

    /// Makes the tables what this version needs.
    ///
    /// # Errors
    /// When it cannot be asked, or its tables are those of a later version.
    pub async fn prepare(&self) -> Result<(), MigrateError> {
        migrate(&self.pool, "pointsman_index_migrations", &STEPS).await
    }

    /// Which records it has; `None` where it has none.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn extent(&self) -> sqlx::Result<Option<Extent>> {
        let extent = "SELECT min(number), max(number) FROM pointsman_records WHERE log = $1";
        let extent = sqlx::query(extent).bind(&self.log).fetch_one(&self.pool).await?;
        let (first, last): (Option<i64>, Option<i64>) = (extent.try_get(0)?, extent.try_get(1)?);
        Ok(first.zip(last).map(|(first, last)| Extent { first: first.unsigned_abs(), next: last.unsigned_abs() + 1 }))
    }

    /// How many records it has from one on to before another, and the first of them.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn count(&self, from: u64, until: u64) -> sqlx::Result<(u64, Option<u64>)> {
        let count =
            "SELECT count(*), min(number) FROM pointsman_records WHERE log = $1 AND number >= $2 AND number < $3";
        let count = sqlx::query(count).bind(&self.log).bind(signed(from)).bind(signed(until));
        let count = count.fetch_one(&self.pool).await?;
        let (count, first): (i64, Option<i64>) = (count.try_get(0)?, count.try_get(1)?);
        Ok((count.unsigned_abs(), first.map(i64::unsigned_abs)))
    }

    /// Puts those of some records there that it lacks: how many they were.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn insert(&self, batch: &[Entry]) -> sqlx::Result<u64> {
        fn all<'a, T>(batch: &'a [Entry], of: impl Fn(&'a Row) -> T) -> Vec<T> {
            batch.iter().map(|entry| of(&entry.row)).collect()
        }
        let rests_on = |row: &Row| serde_json::Value::from(row.rests_on.as_slice()).to_string();
        let done = sqlx::query(INSERT)
            .bind(&self.log)
            .bind(batch.iter().map(|entry| signed(entry.number)).collect::<Vec<_>>())
            .bind(all(batch, |row| row.kind.as_deref()))
            .bind(all(batch, |row| row.time))
            .bind(all(batch, |row| row.request.as_deref()))
            .bind(all(batch, |row| row.team.as_deref()))
            .bind(all(batch, |row| row.key.as_deref()))
            .bind(all(batch, |row| row.context.as_deref()))
            .bind(all(batch, |row| row.route.as_deref()))
            .bind(all(batch, |row| row.asked.as_deref()))
            .bind(all(batch, |row| row.verdict.as_deref()))
            .bind(all(batch, |row| row.deployment.as_deref()))
            .bind(all(batch, |row| row.model.as_deref()))
            .bind(all(batch, |row| row.license.as_deref()))
            .bind(all(batch, |row| row.tier))
            .bind(all(batch, |row| row.outcome.as_deref()))
            .bind(all(batch, |row| row.rule.as_deref()))
            .bind(all(batch, rests_on))
            .bind(all(batch, |row| row.status.as_deref()))
            .bind(all(batch, |row| row.prompt_tokens))
            .bind(all(batch, |row| row.completion_tokens))
            .bind(all(batch, |row| row.cost_usd))
            .bind(batch.iter().map(|entry| entry.leaf.as_slice()).collect::<Vec<_>>())
            .bind(batch.iter().map(|entry| entry.record.as_slice()).collect::<Vec<_>>())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected())
    }

    /// Removes the records before one: they were pruned.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn forget(&self, before: u64) -> sqlx::Result<()> {
        let forget = "DELETE FROM pointsman_records WHERE log = $1 AND number < $2 AND number < $3 + \
                      (SELECT min(number) FROM pointsman_records WHERE log = $1)";
        loop {
            let forget = sqlx::query(forget).bind(&self.log).bind(signed(before)).bind(FORGOTTEN_AT_ONCE);
            if forget.execute(&self.pool).await?.rows_affected() == 0 {
                return Ok(());
            }
        }
    }

    /// The rows from one number on to before another, in order.
    ///
    /// # Errors
    /// When it cannot be asked, or a row is none that it could have been given.
    pub async fn rows(&self, from: u64, until: u64) -> sqlx::Result<Vec<Found>> {
        let rows = sqlx::query(ROWS).bind(&self.log).bind(signed(from)).bind(signed(until));
        rows.fetch_all(&self.pool).await?.iter().map(Found::read).collect()
    }
}

impl Found {
    fn read(row: &PgRow) -> sqlx::Result<Self> {
        let number: i64 = row.try_get("number")?;
        let rests_on: Vec<Option<String>> = row.try_get("rests_on")?;
        let columns = Row {
            kind: row.try_get("kind")?,
            time: row.try_get("ms")?,
            request: row.try_get("request")?,
            team: row.try_get("team")?,
            key: row.try_get("key")?,
            context: row.try_get("context")?,
            route: row.try_get("route")?,
            asked: row.try_get("asked")?,
            verdict: row.try_get("verdict")?,
            deployment: row.try_get("deployment")?,
            model: row.try_get("model")?,
            license: row.try_get("license")?,
            tier: row.try_get("tier")?,
            outcome: row.try_get("outcome")?,
            rule: row.try_get("rule")?,
            // A null, which only a hand put there, is what no text of a PostgreSQL is.
            rests_on: rests_on.into_iter().map(|id| id.unwrap_or_else(|| "\0".to_owned())).collect(),
            status: row.try_get("status")?,
            prompt_tokens: row.try_get("prompt_tokens")?,
            completion_tokens: row.try_get("completion_tokens")?,
            cost_usd: row.try_get("cost_usd")?,
        };
        Ok(Self {
            number: number.unsigned_abs(),
            columns,
            leaf: row.try_get("leaf_hash")?,
            hashed: row.try_get("hashed")?,
        })
    }

    /// A row of a record, under some number.
    #[cfg(test)]
    pub(super) fn of(number: u64, entry: &Entry) -> Self {
        Self { number, columns: entry.row.clone(), leaf: entry.leaf.to_vec(), hashed: entry.leaf.to_vec() }
    }

    /// The columns that say something else than a record does.
    pub fn differing(&self, entry: &Entry) -> Vec<&'static str> {
        let (is, should) = (&self.columns, &entry.row);
        let columns = [
            ("kind", is.kind == should.kind),
            ("time", is.time == should.time),
            ("request", is.request == should.request),
            ("team", is.team == should.team),
            ("key", is.key == should.key),
            ("context", is.context == should.context),
            ("route", is.route == should.route),
            ("asked", is.asked == should.asked),
            ("verdict", is.verdict == should.verdict),
            ("deployment", is.deployment == should.deployment),
            ("model", is.model == should.model),
            ("license", is.license == should.license),
            ("tier", is.tier == should.tier),
            ("outcome", is.outcome == should.outcome),
            ("rule", is.rule == should.rule),
            ("rests_on", is.rests_on == should.rests_on),
            ("status", is.status == should.status),
            ("prompt_tokens", is.prompt_tokens == should.prompt_tokens),
            ("completion_tokens", is.completion_tokens == should.completion_tokens),
            ("cost_usd", is.cost_usd == should.cost_usd),
            ("leaf_hash", self.leaf == entry.leaf),
            ("record", self.hashed == entry.leaf),
        ];
        columns.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }
}

/// A row as a table holds it: no text has a NUL or is longer than an index takes, no time is beyond the calendar.
pub fn fitted(row: Row) -> Row {
    let texts = |text: Option<String>| text.map(text_fitted);
    Row {
        kind: texts(row.kind),
        time: row.time.filter(|time| *time <= signed(LAST_MS)),
        request: texts(row.request),
        team: texts(row.team),
        key: texts(row.key),
        context: texts(row.context),
        route: texts(row.route),
        asked: texts(row.asked),
        verdict: texts(row.verdict),
        deployment: texts(row.deployment),
        model: texts(row.model),
        license: texts(row.license),
        tier: row.tier,
        outcome: texts(row.outcome),
        rule: texts(row.rule),
        rests_on: row.rests_on.into_iter().map(text_fitted).collect(),
        status: texts(row.status),
        prompt_tokens: row.prompt_tokens,
        completion_tokens: row.completion_tokens,
        cost_usd: row.cost_usd,
    }
}

fn text_fitted(mut text: String) -> String {
    if text.contains('\0') {
        text = text.replace('\0', "\u{fffd}");
    }
    text.truncate(text.floor_char_boundary(MOST_TEXT));
    text
}

/// Numbers as PostgreSQL has them: no log has so many records that one is beyond them.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_table_cannot_hold_is_fitted_and_everything_else_is_as_it_was() {
        let row = Row::of(
            br#"{"kind":"decision","time":253402300800000,"request":"a\u0000b","team":"desk","model":"auto","candidates":[{"rests_on":["x\u0000"],"tier":2}],"cost_usd":0.5}"#,
        );
        assert_eq!(row.request.as_deref(), Some("a\0b"));
        let expected = Row {
            time: None,
            request: Some("a\u{fffd}b".to_owned()),
            rests_on: vec!["x\u{fffd}".to_owned()],
            ..row.clone()
        };
        assert_eq!(fitted(row), expected);
        let latest = Row { time: Some(signed(LAST_MS)), ..Row::default() };
        assert_eq!(fitted(latest.clone()), latest);
    }

    #[test]
    fn a_long_text_ends_where_a_character_does() {
        let long = |text: &str| fitted(Row { team: Some(text.repeat(400)), ..Row::default() }).team.unwrap();
        assert_eq!(long("ab").len(), MOST_TEXT);
        assert_eq!(long("\u{20ac}").len(), 498);
        assert_eq!(long("\0").len(), 498, "also of what was replaced");
    }

    #[test]
    fn every_column_that_differs_is_named() {
        let record = br#"{"kind":"outcome","request":"r","cost_usd":0.5}"#.to_vec();
        let entry = Entry { number: 3, leaf: audit::tree::leaf(&record), row: Row::of(&record), record };
        assert!(Found::of(3, &entry).differing(&entry).is_empty());
        let columns = Row {
            team: Some("other".to_owned()),
            cost_usd: Some(0.25),
            rests_on: vec!["w".to_owned()],
            ..entry.row.clone()
        };
        let found = Found { columns, hashed: Vec::new(), ..Found::of(3, &entry) };
        assert_eq!(found.differing(&entry), ["team", "rests_on", "cost_usd", "record"]);
    }
}
