//! Draws from the budgets that a fleet shares, in its PostgreSQL.
//!
//! What a gateway may spend it draws ahead, a hundredth of a budget by all gateways together, and gives back what it does not
//! use; so the sum of what all have drawn is at least what they spent, and never more than there is, but for what answers cost
//! beyond what was foreseen. A gateway that dies takes what it had drawn with it. One statement in a transaction draws for
//! all budgets; gateways take turns at it.

use std::sync::Arc;

use sqlx::Row as _;

use super::postgres::Postgres;
use crate::{
    observe,
    quota::{
        book::{Account, Book, Crossed, Draw, Key, NanoUsd},
        unix_now,
    },
    runtime::Gateway,
};

/// How long rows of periods that are over are kept, in seconds.
const KEPT: i64 = 62 * 86_400;
/// How many rounds there are between two times that those are removed: about an hour.
const ROUNDS: u32 = 3_600;

/// What came of a draw.
struct Drew {
    nth: usize,
    given: NanoUsd,
    drawn: NanoUsd,
    crossed: Vec<Crossed>,
}

/// Draws for as long as the process runs.
pub(super) async fn keep(postgres: Postgres, book: Arc<Book>, gateway: Arc<Gateway>) {
    let me = uuid::Uuid::new_v4().simple().to_string();
    let (mut heard, mut prepared, mut round) = (None, false, 0_u32);
    loop {
        let regularly = !book.woken().await;
        let done = async {
            if !prepared {
                postgres.prepare().await.map_err(|error| sqlx::Error::Migrate(Box::new(error)))?;
                prepared = true;
            }
            if regularly || heard != Some(true) {
                round = round.wrapping_add(1);
                book.heard(hello(&postgres, &me, round.is_multiple_of(ROUNDS)).await?);
            }
            let now = unix_now();
            let asked = book.accounts().into_iter();
            let asked = asked.filter_map(|(key, account)| Some((key, account.draw(regularly, now)?, account)));
            for (key, crossed) in draw(&postgres, &asked.collect::<Vec<_>>()).await? {
                gateway.runtime().quotas.tell(&key, crossed);
            }
            book.drawn();
            Ok::<(), sqlx::Error>(())
        };
        match done.await {
            Ok(()) => {
                if heard.replace(true) == Some(false) {
                    tracing::info!("the PostgreSQL of the fleet is heard; budgets are drawn from again");
                }
            }
            Err(error) => {
                if heard.replace(false) != Some(false) {
                    tracing::error!(%error, "the PostgreSQL of the fleet cannot be asked; budgets last as far as they were drawn");
                }
                // Those that wait keep it from being asked again and again.
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        }
        observe::fleet_store("postgres", heard == Some(true));
    }
}

/// Gives back all that was drawn and not spent.
///
/// # Errors
/// When it cannot be asked: that much is not there in this period then.
pub(super) async fn close(postgres: &Postgres, book: &Book) -> sqlx::Result<()> {
    let now = unix_now();
    let asked = book.accounts().into_iter();
    let asked = asked.filter_map(|(key, account)| Some((key, account.close(now)?, account)));
    draw(postgres, &asked.collect::<Vec<_>>()).await.map(|_| ())
}

/// Says that this gateway is there; how many there are.
async fn hello(postgres: &Postgres, me: &str, tidies: bool) -> sqlx::Result<u32> {
    if tidies {
        let over = "DELETE FROM pointsman_budgets WHERE fleet = $1 AND ends < $2";
        sqlx::query(over).bind(postgres.fleet()).bind(unix_now() - KEPT).execute(postgres.pool()).await?;
        let gone = "DELETE FROM pointsman_gateways WHERE fleet = $1 AND heard < now() - interval '1 hour'";
        sqlx::query(gone).bind(postgres.fleet()).execute(postgres.pool()).await?;
    }
    let says = "INSERT INTO pointsman_gateways AS g VALUES ($1, $2, now()) \
                ON CONFLICT (fleet, gateway) DO UPDATE SET heard = now()";
    sqlx::query(says).bind(postgres.fleet()).bind(me).execute(postgres.pool()).await?;
    let count = "SELECT count(*) FROM pointsman_gateways WHERE fleet = $1 AND heard > now() - interval '5 seconds'";
    let count: i64 = sqlx::query_scalar(count).bind(postgres.fleet()).fetch_one(postgres.pool()).await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Draws what was asked for; which shares of budgets were crossed by it.
async fn draw(postgres: &Postgres, asked: &[(Key, Draw, Arc<Account>)]) -> sqlx::Result<Vec<(Key, Crossed)>> {
    let mut news = Vec::new();
    if asked.is_empty() {
        return Ok(news);
    }
    for Drew { nth, given, drawn, crossed } in drew(postgres, asked).await? {
        let Some((key, draw, account)) = asked.get(nth) else { continue };
        account.drew(*draw, given, drawn);
        news.extend(crossed.into_iter().map(|crossed| (key.clone(), crossed)));
    }
    Ok(news)
}

async fn drew(postgres: &Postgres, asked: &[(Key, Draw, Arc<Account>)]) -> sqlx::Result<Vec<Drew>> {
    let texts = |of: fn(&Key) -> &str| asked.iter().map(|(key, ..)| of(key).to_owned()).collect::<Vec<_>>();
    let numbers = |of: fn(&Draw) -> i64| asked.iter().map(|(_, draw, _)| of(draw)).collect::<Vec<_>>();
    let mut transaction = postgres.pool().begin().await?;
    // One after the other, so that none holds a row that another waits for, and each sees what the others did.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('pointsman budgets ' || $1))")
        .bind(postgres.fleet())
        .execute(&mut *transaction)
        .await?;
    let opened = "INSERT INTO pointsman_budgets (fleet, quota, subject, every, begins, ends) \
                  SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[]) \
                  ON CONFLICT DO NOTHING";
    sqlx::query(opened)
        .bind(postgres.fleet())
        .bind(texts(|key| &key.quota))
        .bind(texts(|key| &key.subject))
        .bind(texts(|key| key.every.as_str()))
        .bind(numbers(|draw| draw.period.begins))
        .bind(numbers(|draw| draw.period.ends))
        .execute(&mut *transaction)
        .await?;
    let drawn = "WITH asked AS ( \
                     SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], \
                                          $8::bigint[], $9::bigint[], $10::bool[]) WITH ORDINALITY \
                         AS a (quota, subject, every, begins, fixed, wanted, most, warn, refused, nth) \
                 ), given AS ( \
                     SELECT a.*, greatest(0, least(a.wanted, a.most - b.drawn - a.fixed)) AS given, b.told AS told_before \
                     FROM asked a JOIN pointsman_budgets b USING (quota, subject, every, begins) WHERE b.fleet = $1 \
                 ) \
                 UPDATE pointsman_budgets b SET \
                     drawn = greatest(0, b.drawn + g.fixed + g.given), \
                     told = b.told | (b.drawn + g.fixed + g.given >= g.warn)::int::smallint \
                                   | (2 * g.refused::int)::smallint \
                 FROM given g WHERE b.fleet = $1 AND b.quota = g.quota AND b.subject = g.subject \
                     AND b.every = g.every AND b.begins = g.begins \
                 RETURNING g.nth, g.given, b.drawn, b.told & ~g.told_before AS news";
    let rows = sqlx::query(drawn)
        .bind(postgres.fleet())
        .bind(texts(|key| &key.quota))
        .bind(texts(|key| &key.subject))
        .bind(texts(|key| key.every.as_str()))
        .bind(numbers(|draw| draw.period.begins))
        .bind(numbers(|draw| signed(draw.owed) - signed(draw.returned)))
        .bind(numbers(|draw| signed(draw.wanted)))
        .bind(numbers(|draw| signed(draw.most)))
        .bind(numbers(|draw| signed(draw.warn)))
        .bind(asked.iter().map(|(_, draw, _)| draw.refused).collect::<Vec<_>>())
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    rows.iter()
        .map(|row| {
            let (nth, given, drawn): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let news: i16 = row.try_get(3)?;
            let crossed = [Crossed::Warn, Crossed::Stop].into_iter().filter(|crossed| news & *crossed as i16 != 0);
            let nth = usize::try_from(nth - 1).unwrap_or(usize::MAX);
            Ok(Drew { nth, given: given.unsigned_abs(), drawn: drawn.unsigned_abs(), crossed: crossed.collect() })
        })
        .collect()
}

fn signed(amount: NanoUsd) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX / 4)
}
