//! How a PostgreSQL is talked to: connections that are made when something is asked, each with an end to all that it waits for, and
//! tables that whoever connects first makes.

use std::{borrow::Cow, str::FromStr as _, time::Duration};

use remote::Secret;
use sqlx::{
    PgPool,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// How long a connection, or one of them to be free, is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// A step that made tables what they are, done once: its number, what it is about, and its statements.
pub type Step = (i64, &'static str, &'static str);

/// At most so many connections to an address, of whose statements none takes longer than `statements` says.
///
/// # Errors
/// When the address is none.
pub fn connections(address: &Secret, most: u32, statements: &str) -> sqlx::Result<PgPool> {
    let options = PgConnectOptions::from_str(address.expose())?
        .application_name("pointsman")
        // A server that hangs must not hold what waits for it.
        .options([("statement_timeout", statements), ("lock_timeout", "5s"), ("client_min_messages", "warning")]);
    Ok(PgPoolOptions::new().max_connections(most).acquire_timeout(PATIENCE).connect_lazy_with(options))
}

/// Takes the steps that were not taken yet, of which `table` has a list. Several processes that do so at once wait for each other.
///
/// # Errors
/// When it cannot be asked, or its tables are those of a later version.
pub async fn migrate(pool: &PgPool, table: &'static str, steps: &[Step]) -> Result<(), MigrateError> {
    let steps = steps.iter().map(|(number, what, sql)| {
        let sql = sqlx::SqlStr::from_static(sql);
        Migration::new(*number, Cow::Borrowed(*what), MigrationType::Simple, sql, false)
    });
    let mut migrator = Migrator::with_migrations(steps.collect());
    migrator.dangerous_set_table_name(table);
    migrator.run(pool).await
}
