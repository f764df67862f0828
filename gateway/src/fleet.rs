//! What gateways that serve together share, and where: limits and answers in a Valkey, budgets and keys in a PostgreSQL.
//!
//! Each gateway decides with what it has: a part of every limit, a part of every budget, the keys as they were last heard.
//! What is here fetches and returns those parts beside the requests, and says in the log and the metrics when it cannot.
//! No request waits for a store, except for its first money in a period (`quota::book`) and, on a route that gives answers
//! again, for a moment to see whether another gateway has one (`answers::shared`).
//!
//! | store is gone | what happens |
//! |---|---|
//! | Valkey | each gateway keeps to its part of the limits; answers are its own; nothing is refused for it |
//! | PostgreSQL | budgets: what was drawn is spent, then 503; keys: as last heard, changes are refused |

mod budgets;
pub mod keys;
mod limits;
mod postgres;
pub mod valkey;

use std::{sync::Arc, time::Duration};

use redis::RedisResult;

use self::{postgres::Postgres, valkey::Valkey};
use crate::{answers::shared::Shared, config::Fleet, runtime::Gateway};

/// How long a gateway that stops takes to give back what it has drawn.
const CLOSED: Duration = Duration::from_secs(2);

/// Where a fleet keeps what outlives its gateways.
#[derive(Debug)]
pub struct Address<'a>(&'a Fleet);

impl<'a> Address<'a> {
    /// That of a fleet, where it has one.
    pub fn of(fleet: Option<&'a Fleet>) -> Option<Self> {
        fleet.filter(|fleet| fleet.postgres.is_some()).map(Self)
    }

    fn postgres(&self) -> anyhow::Result<Postgres> {
        let address = self.0.postgres.as_ref().ok_or_else(|| anyhow::anyhow!("the fleet has no PostgreSQL"))?;
        Ok(Postgres::new(address, &self.0.name)?)
    }
}

/// What a gateway has to give back when it stops.
#[derive(Debug)]
pub struct Joined {
    postgres: Option<Postgres>,
}

/// Starts whatever a gateway shares.
///
/// # Errors
/// When an address is none.
pub fn join(gateway: &Arc<Gateway>) -> anyhow::Result<Joined> {
    let runtime = gateway.runtime();
    let fleet = runtime.config.fleet.as_ref();
    if let (Some(Fleet { valkey: Some(address), name, .. }), Some((others, calls))) = (fleet, runtime.quotas.others()) {
        tokio::spawn(limits::keep(Valkey::new(address, name)?, others, calls));
    }
    let postgres = Address::of(fleet).map(|address| address.postgres()).transpose()?;
    if let Some(postgres) = &postgres {
        tokio::spawn(budgets::keep(postgres.clone(), Arc::clone(runtime.quotas.book()), Arc::clone(gateway)));
        if let Some(file) = &runtime.config.keys_file {
            tokio::spawn(keys::follow(postgres.clone(), file.clone()));
        }
    }
    Ok(Joined { postgres })
}

impl Joined {
    /// Gives back what is not needed any more.
    pub async fn leave(self, gateway: &Gateway) {
        let Some(postgres) = self.postgres else { return };
        let runtime = gateway.runtime();
        let closed = tokio::time::timeout(CLOSED, budgets::close(&postgres, runtime.quotas.book())).await;
        if !matches!(closed, Ok(Ok(()))) {
            tracing::warn!(
                "what was drawn of budgets and not spent could not be given back; it is gone for this period"
            );
        }
    }
}

/// The answers that the gateways share, if they do.
///
/// # Errors
/// When the address of the Valkey is none.
pub fn answers(fleet: Option<&Fleet>) -> RedisResult<Option<Arc<Shared>>> {
    let Some(Fleet { valkey: Some(address), answers_key: Some(key), name, .. }) = fleet else { return Ok(None) };
    let failed = |_| redis::RedisError::from((redis::ErrorKind::InvalidClientConfig, "the key cannot be used"));
    Ok(Some(Arc::new(Shared::new(Valkey::new(address, name)?, key).map_err(failed)?)))
}
