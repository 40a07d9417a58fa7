use std::io;

use deadpool_postgres::{PoolError, TimeoutType};
use endspan_store::{StoreError, engine::block::DamagedBlock};
use tokio_postgres::error::SqlState;

/// Why a store in Postgres could not be opened or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL or a setting cannot be understood.
    #[error("{0}")]
    Settings(String),
    /// The schema is not there, or is older than this program's.
    #[error(
        "schema {schema} has version {found}, this program needs {needed}: run `endspan migrate` (0 is no schema at all)"
    )]
    NotMigrated {
        /// The schema.
        schema: String,
        /// Its version.
        found: u32,
        /// The version that is needed.
        needed: u32,
    },
    /// The schema was written by a later version of this program.
    #[error("schema {schema} has version {found}, newer than {supported}, the newest this program knows")]
    NewerSchema {
        /// The schema.
        schema: String,
        /// Its version.
        found: u32,
        /// The newest version that can be opened.
        supported: u32,
    },
    /// The database cannot be reached, or refuses.
    #[error("{0}")]
    Database(String),
}

/// What can go wrong inside the engine, on the way to a [`StoreError`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error("{}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error("{}", describe_pool(.0))]
    Pool(#[from] PoolError),
    /// Bytes in the database that no version of the engine writes. Names the place, never the content.
    #[error("{0}")]
    Damaged(String),
    #[error("the database is an earlier one than before")]
    WentBack,
    #[error("the store is closed")]
    Closed,
    #[error("compression: {0}")]
    Compression(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(crate) type Result<T> = std::result::Result<T, EngineError>;

/// What to do about a failure of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The database is away or busy: the same again later.
    Retry,
    /// Something in the data is not to its taste: each request by itself.
    Isolate,
    /// Neither helps.
    GiveUp,
}

impl EngineError {
    pub(crate) fn damaged(place: impl Into<String>) -> Self {
        Self::Damaged(place.into())
    }

    pub(crate) fn remedy(&self) -> Remedy {
        let error = match self {
            Self::Pool(PoolError::Backend(error)) | Self::Postgres(error) => error,
            Self::Pool(_) | Self::WentBack => return Remedy::Retry,
            _ => return Remedy::GiveUp,
        };
        let Some(state) = error.code() else { return Remedy::Retry };
        let code = state.code();
        match code.get(..2) {
            _ if *state == SqlState::READ_ONLY_SQL_TRANSACTION => Remedy::Retry,
            Some("08" | "40" | "53" | "55" | "57") => Remedy::Retry,
            Some("21" | "22" | "23" | "54") => Remedy::Isolate,
            _ => Remedy::GiveUp,
        }
    }
}

/// Says what Postgres said without its details, which quote values.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} (SQLSTATE {})", error.message(), error.code().code()),
        None => {
            let mut text = error.to_string();
            if let Some(source) = std::error::Error::source(error) {
                text = format!("{text}: {source}");
            }
            text
        }
    }
}

fn describe_pool(error: &PoolError) -> String {
    match error {
        PoolError::Backend(error) => describe(error),
        PoolError::Timeout(TimeoutType::Wait) => "no connection became free".to_owned(),
        PoolError::Timeout(_) => "the database did not answer in time".to_owned(),
        other => other.to_string(),
    }
}

impl From<DamagedBlock> for EngineError {
    fn from(damage: DamagedBlock) -> Self {
        Self::Damaged(damage.to_string())
    }
}

impl From<EngineError> for StoreError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => error,
            EngineError::Damaged(place) => Self::Damaged(place),
            EngineError::Pool(PoolError::Timeout(TimeoutType::Wait)) => Self::Overloaded(error.to_string()),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<EngineError> for OpenError {
    fn from(error: EngineError) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<tokio_postgres::Error> for OpenError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(describe(&error))
    }
}
