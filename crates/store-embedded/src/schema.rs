//! The schema, its versions, and how a connection is set up.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, functions::FunctionFlags};

use crate::{OpenError, Options, backfill, compact_id, error::EngineError, error::is_damage};

/// `PRAGMA application_id` of our files: "ESPN" in ASCII.
const APPLICATION_ID: i32 = 0x4553_504e;

/// How long a statement waits for a lock that another connection holds.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a database page.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// What takes a database from version n to n + 1, at index n. Never edited once released, only added to;
/// `fixtures/store` holds a file of every version, and a test opens them all.
const MIGRATIONS: &[&str] = &[
    include_str!("schema_v1.sql"),
    include_str!("schema_v2.sql"),
    include_str!("schema_v3.sql"),
    include_str!("schema_v4.sql"),
    include_str!("schema_v5.sql"),
    include_str!("schema_v6.sql"),
];

/// The version that this program writes.
pub(crate) const SCHEMA_VERSION: u32 = MIGRATIONS.len() as u32;

/// Which work a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Writes and commits; checkpoints are somebody else's work.
    Writer,
    /// Only reads.
    Reader,
    /// Carries the log into the file.
    Checkpointer,
}

/// Opens a connection for a role.
pub(crate) fn connect(path: &Path, role: Role, options: &Options) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let flags = if role == Role::Writer { flags | OpenFlags::SQLITE_OPEN_CREATE } else { flags };
    // SQLite follows no link in the whole path with NOFOLLOW, so that the directory itself is resolved first.
    let resolved = path
        .parent()
        .and_then(|parent| parent.canonicalize().ok())
        .and_then(|parent| Some(parent.join(path.file_name()?)))
        .unwrap_or_else(|| path.to_owned());
    let connection = match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(&resolved, flags, vfs.as_str())?,
        None => Connection::open_with_flags(&resolved, flags)?,
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    let cache_bytes = match role {
        Role::Writer => options.writer_cache_bytes,
        Role::Reader => options.reader_cache_bytes,
        Role::Checkpointer => 64 * 1024,
    };
    connection.pragma_update(None, "cache_size", -(cache_bytes as i64 / 1024))?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    if role == Role::Reader {
        connection.pragma_update(None, "query_only", true)?;
    }
    if role != Role::Checkpointer {
        add_functions(&connection)?;
    }
    Ok(connection)
}

/// `id_text(id)` gives a stored id in its text form, for sorting.
fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("id_text", 1, flags, |context| {
        let value = context.get_raw(0);
        match value {
            rusqlite::types::ValueRef::Null => Ok(None),
            value => compact_id::to_text(value)
                .map(Some)
                .map_err(|error| rusqlite::Error::UserFunctionError(Box::new(error))),
        }
    })
}

/// Opens the writer's connection: creates the file or brings it to the current version.
pub(crate) fn open_writer(path: &Path, options: &Options) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| describe(path, &error);
    let mut connection = connect(path, Role::Writer, options).map_err(failed)?;
    prepare(&mut connection, path)?;
    Ok(connection)
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| describe(path, &error);
    let number = |connection: &Connection, name: &str| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0))
    };
    let found = number(connection, "user_version").map_err(failed)?;
    let application = number(connection, "application_id").map_err(failed)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let fresh = tables == 0 && found == 0;
    if !fresh && application != APPLICATION_ID {
        return Err(OpenError::Damaged {
            path: path.to_owned(),
            message: "a database, but not one of this program".to_owned(),
        });
    }
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    if found > SCHEMA_VERSION {
        return Err(OpenError::NewerSchema { path: path.to_owned(), found, supported: SCHEMA_VERSION });
    }
    if fresh {
        connection.pragma_update(None, "page_size", PAGE_BYTES as i64).map_err(failed)?;
        // Lets deleted space be given back later without rewriting the file.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    // FULL: the log is synced before a commit is answered.
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    for (version, migration) in (1_u32..).zip(MIGRATIONS).skip(found as usize) {
        migrate(connection, migration, version).map_err(|error| match error {
            EngineError::Sql(error) => failed(error),
            EngineError::Damaged(message) => OpenError::Damaged { path: path.to_owned(), message },
            error => OpenError::Engine { path: path.to_owned(), message: error.to_string() },
        })?;
    }
    Ok(())
}

/// One version step is one transaction: after a crash the file has the old version or the new one.
fn migrate(connection: &mut Connection, migration: &str, version: u32) -> Result<(), EngineError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(migration)?;
    transaction.pragma_update(None, "user_version", version)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    if version == 1 {
        let mut key = [0_u8; 16];
        getrandom::fill(&mut key).map_err(|error| rusqlite::Error::UserFunctionError(Box::new(error)))?;
        transaction.execute("INSERT INTO meta (name, value) VALUES ('hash_key', ?1)", [key])?;
    }
    if version == 3 {
        // Also for what version 2 keeps, which only later versions can lack.
        backfill::facets(&transaction)?;
    }
    Ok(transaction.commit()?)
}

/// Returns a value of the `meta` table.
pub(crate) fn meta<T: rusqlite::types::FromSql>(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<T>> {
    connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

/// Turns a failure to open into words.
pub(crate) fn describe(path: &Path, error: &rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    let message = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "not a database file".to_owned(),
        _ => error.to_string(),
    };
    if is_damage(error) { OpenError::Damaged { path, message } } else { OpenError::Engine { path, message } }
}
