//! The PostgreSQL of a fleet: its connections, and its tables, which the first gateway that connects makes.

use remote::Secret;
use sqlx::{PgPool, migrate::MigrateError};

use crate::postgres::{Step, connections, migrate};

/// The most connections of a gateway.
const CONNECTIONS: u32 = 4;

/// The steps that made the tables what they are.
const STEPS: [Step; 1] = [(1, "budgets and keys", include_str!("tables.sql"))];

/// See the module. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Postgres {
    pool: PgPool,
    fleet: String,
}

impl Postgres {
    /// That of a fleet at an address. It is connected to when something is asked.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(address: &Secret, fleet: &str) -> sqlx::Result<Self> {
        Ok(Self { pool: connections(address, CONNECTIONS, "5s")?, fleet: fleet.to_owned() })
    }

    /// The connections.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The name of the fleet.
    pub fn fleet(&self) -> &str {
        &self.fleet
    }

    /// Makes the tables what this version needs. Gateways that do so at once wait for each other.
    ///
    /// # Errors
    /// When it cannot be asked, or its tables are those of a later version.
    pub async fn prepare(&self) -> Result<(), MigrateError> {
        migrate(&self.pool, "pointsman_migrations", &STEPS).await
    }
}
