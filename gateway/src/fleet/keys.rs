//! The admission keys of a fleet: one text in its PostgreSQL, of which every gateway has the last it heard as its keys file.
//!
//! `pointsman keys` changes the text in one transaction and tells all gateways, which write their keys files anew and follow
//! them as they always do; so a key that is revoked at one is refused at all within about a second. While the PostgreSQL is
//! gone, keys stay as they are and cannot be changed. The first change puts there what the keys file of that machine has.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use sqlx::{PgConnection, postgres::PgListener};

use super::postgres::Postgres;
use crate::keys::replace_file;

/// What a change is told on.
const CHANNEL: &str = "pointsman_keys";
/// How often the text is looked at where no change is told: telling may get lost with a connection.
const EVERY: Duration = Duration::from_secs(5);

/// Follows the text for as long as the process runs.
pub(super) async fn follow(postgres: Postgres, file: PathBuf) {
    let (mut listener, mut known, mut failed) = (None, None, false);
    loop {
        let followed = async {
            if listener.is_none() {
                postgres.prepare().await?;
                let mut new = PgListener::connect_with(postgres.pool()).await?;
                new.listen(CHANNEL).await?;
                listener = Some(new);
            }
            heard(&postgres, &file, &mut known).await
        };
        match followed.await {
            Ok(()) => failed = false,
            Err(error) => {
                if !std::mem::replace(&mut failed, true) {
                    tracing::error!(%error, "the keys of the fleet cannot be heard; they stay as they are");
                }
                listener = None;
            }
        }
        let told = async {
            match &mut listener {
                Some(listener) => listener.recv().await.map(|_| ()),
                None => std::future::pending().await,
            }
        };
        if let Ok(Err(_)) = tokio::time::timeout(EVERY, told).await {
            listener = None;
        }
    }
}

/// Writes the keys file where the text is another than it was.
async fn heard(postgres: &Postgres, file: &Path, known: &mut Option<i64>) -> anyhow::Result<()> {
    let now = "SELECT version, file FROM pointsman_keys WHERE fleet = $1";
    let now: Option<(i64, String)> = sqlx::query_as(now).bind(postgres.fleet()).fetch_optional(postgres.pool()).await?;
    if let Some((version, text)) = now
        && *known != Some(version)
    {
        let file = file.to_owned();
        tokio::task::spawn_blocking(move || write(&file, &text)).await??;
        *known = Some(version);
    }
    Ok(())
}

/// Changes the keys of a fleet: brings the keys file up to date, lets `change` change it, and tells all gateways. A change
/// that cannot be told is taken back.
///
/// # Errors
/// That of the change, or when the PostgreSQL cannot be asked.
pub fn change<T>(
    postgres: &super::Address<'_>,
    file: &Path,
    change: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let postgres = postgres.postgres()?;
        let gone = "the PostgreSQL of the fleet cannot be asked, so its keys cannot be changed";
        postgres.prepare().await.context(gone)?;
        let mut transaction = postgres.pool().begin().await.context(gone)?;
        let before = held(&mut transaction, postgres.fleet(), file).await.context(gone)?;
        write(file, &before)?;
        let changed = change()?;
        let now = read(file)?;
        if now != before {
            let told = tell(&mut transaction, postgres.fleet(), &now).await;
            let told = match told {
                Ok(()) => transaction.commit().await,
                Err(error) => Err(error),
            };
            if told.is_err() {
                write(file, &before)?;
            }
            told.context("the change could not be told to the gateways of the fleet, and is taken back")?;
        }
        Ok(changed)
    })
}

/// The text, which nobody else changes until the transaction ends.
async fn held(transaction: &mut PgConnection, fleet: &str, file: &Path) -> anyhow::Result<String> {
    let first = "INSERT INTO pointsman_keys VALUES ($1, 0, $2) ON CONFLICT DO NOTHING";
    sqlx::query(first).bind(fleet).bind(read(file)?).execute(&mut *transaction).await?;
    let text = "SELECT file FROM pointsman_keys WHERE fleet = $1 FOR UPDATE";
    Ok(sqlx::query_scalar(text).bind(fleet).fetch_one(transaction).await?)
}

async fn tell(transaction: &mut PgConnection, fleet: &str, text: &str) -> sqlx::Result<()> {
    let change = "UPDATE pointsman_keys SET version = version + 1, file = $2 WHERE fleet = $1";
    sqlx::query(change).bind(fleet).bind(text).execute(&mut *transaction).await?;
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(fleet).execute(transaction).await?;
    Ok(())
}

/// Nothing where there is no file.
fn read(file: &Path) -> io::Result<String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    if text.is_empty() || read(file)? == text {
        return Ok(());
    }
    replace_file(file, text.as_bytes())
}
