//! Spans kept in Postgres.

use endspan_store_postgres::{OpenError, Options, PostgresStore, migrate};

use crate::args::{MigrateArguments, ServeArguments};
use crate::error::{CliError, Exit};
use crate::output::Output;

/// Opens the store in Postgres, after making its schema when told to.
pub(crate) async fn open(arguments: &ServeArguments, url: &str) -> Result<PostgresStore, CliError> {
    let mut options = Options::new(url);
    options.schema.clone_from(&arguments.store.store_schema);
    if arguments.migrate {
        migrate(&options).await.map_err(|error| cannot_open(&error))?;
    }
    PostgresStore::open(options).await.map_err(|error| cannot_open(&error))
}

/// `endspan migrate`.
pub(crate) async fn run_migrate(arguments: MigrateArguments, mut output: Output) -> Result<(), CliError> {
    let mut options = Options::new(arguments.store);
    options.schema.clone_from(&arguments.store_schema);
    options.partition_days = arguments.partition_days;
    let migrated = migrate(&options).await.map_err(|error| cannot_open(&error))?;
    if migrated.from == migrated.to {
        output.line(format!("schema {} has version {} already", options.schema, migrated.to))?;
    } else {
        output.line(format!(
            "schema {} is at version {} now, from {}",
            options.schema, migrated.to, migrated.from
        ))?;
    }
    Ok(())
}

pub(crate) fn cannot_open(error: &OpenError) -> CliError {
    let (exit, hint) = match error {
        OpenError::Settings(_) => (Exit::Usage, "the form is postgres://user:password@host:5432/database"),
        OpenError::NotMigrated { .. } => {
            (Exit::Local, "`endspan migrate --store URL` makes the schema, as does `serve --migrate`")
        }
        OpenError::NewerSchema { .. } => (Exit::Local, "run the newer endspan"),
        _ => (Exit::Unreachable, "is Postgres running, and may this user use the database?"),
    };
    CliError::new(exit, format!("cannot open the store: {error}")).with_hint(hint)
}
