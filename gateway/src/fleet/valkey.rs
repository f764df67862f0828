//! The Valkey or Redis of a fleet: its connection, the names of its entries, its scripts.
//!
//! One connection for the limits and one for the answers of a gateway, each made anew when it breaks. Nothing waits for it longer than half a second.
//! All entries of a fleet have one hash tag, so that a cluster keeps them at one of its servers, as the scripts need.

use std::{sync::Arc, time::Duration};

use redis::{
    Client, Pipeline, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use remote::Secret;

use crate::quota::{Ask, Claim};

/// How long anything is waited for.
pub const PATIENCE: Duration = Duration::from_millis(500);

const HELLO: &str = include_str!("hello.lua");
const RATE: &str = include_str!("rate.lua");
const PLACES: &str = include_str!("places.lua");

/// See the module. Clones share the connection.
#[derive(Clone)]
pub struct Valkey {
    connection: ConnectionManager,
    fleet: Arc<str>,
    /// This gateway, as the others see it.
    gateway: Arc<str>,
}

impl std::fmt::Debug for Valkey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Valkey").field("fleet", &self.fleet).field("gateway", &self.gateway).finish_non_exhaustive()
    }
}

impl Valkey {
    /// The entries of a fleet at an address. It is connected to when something is asked.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(address: &Secret, fleet: &str) -> RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_lazy_with_config(Client::open(address.expose())?, config)?;
        let gateway = uuid::Uuid::new_v4().simple().to_string();
        Ok(Self { connection, fleet: fleet.into(), gateway: gateway.into() })
    }

    /// The name of an entry.
    pub fn entry(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.fleet)
    }

    /// The connection.
    pub fn connection(&self) -> ConnectionManager {
        self.connection.clone()
    }

    /// Says that this gateway is there, and which epoch it knows; the epoch, and how many gateways there are.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn hello(&self, known: Option<&str>) -> RedisResult<(String, u32)> {
        let new = uuid::Uuid::new_v4().simple().to_string();
        let mut command = redis::cmd("EVAL");
        command.arg(HELLO).arg(2).arg(self.entry("gateways")).arg(self.entry("epoch"));
        command.arg(&*self.gateway).arg(known.unwrap_or_default()).arg(new);
        command.query_async(&mut self.connection()).await
    }

    /// Adds a question about a rate; its answer is how many were given and how full the bucket is.
    pub fn ask_rate(&self, questions: &mut Pipeline, name: &str, most: u64, ask: Ask) {
        let Ask { owed, wanted, returned } = ask;
        questions.cmd("EVAL").arg(RATE).arg(2).arg(self.entry(name)).arg(self.entry("epoch"));
        questions.arg(most).arg(owed).arg(wanted).arg(returned);
    }

    /// Adds a question about places; its answer is how many are claimed and how many nobody has.
    pub fn ask_places(&self, questions: &mut Pipeline, name: &str, most: u32, claim: Claim) {
        let Claim { taken, wanted, held } = claim;
        questions.cmd("EVAL").arg(PLACES).arg(2).arg(self.entry(name)).arg(self.entry("epoch"));
        questions.arg(&*self.gateway).arg(most).arg(taken).arg(wanted).arg(held);
    }
}
