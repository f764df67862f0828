//! The PostgreSQL of a fleet: its connections, and its tables, which the first gateway that connects makes.

use std::{borrow::Cow, str::FromStr as _, time::Duration};

use remote::Secret;
use sqlx::{
    PgPool,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// The most connections of a gateway.
const CONNECTIONS: u32 = 4;
/// How long a connection, or one of them to be free, is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The steps that made the tables what they are, each done once.
const STEPS: [(i64, &str, &str); 1] = [(1, "budgets and keys", include_str!("tables.sql"))];

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
        let options = PgConnectOptions::from_str(address.expose())?
            .application_name("pointsman")
            // A server that hangs must not hold what waits for it.
            .options([("statement_timeout", "5s"), ("lock_timeout", "5s"), ("client_min_messages", "warning")]);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
        Ok(Self { pool: pool.connect_lazy_with(options), fleet: fleet.to_owned() })
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
        let steps = STEPS.map(|(number, what, sql)| {
            let sql = sqlx::SqlStr::from_static(sql);
            Migration::new(number, Cow::Borrowed(what), MigrationType::Simple, sql, false)
        });
        let mut migrator = Migrator::with_migrations(steps.into());
        migrator.dangerous_set_table_name("pointsman_migrations");
        migrator.run(&self.pool).await
    }
}
