use std::{io, path::PathBuf};

use endspan_store::{StoreError, engine::block::DamagedBlock};
use rusqlite::ErrorCode;

/// Why a store directory could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory or a file in it cannot be created, read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The place.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process (or another store of this one) has the directory open.
    #[error("{} is in use by another server", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A file is no store of ours, or is damaged.
    #[error("{}: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The store was written by a later version of this program.
    #[error("{}: schema version {found} is newer than {supported}, the newest this program knows", path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The newest version that can be opened.
        supported: u32,
    },
    /// The engine failed for another reason, for example a full disk.
    #[error("{}: {message}", path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// What the engine said.
        message: String,
    },
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Damaged { .. } | OpenError::NewerSchema { .. } => Self::Damaged(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// What can go wrong inside the engine, on the way to a [`StoreError`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// Bytes on disk that no version of the engine writes. Names the place, never the content.
    #[error("{0}")]
    Damaged(String),
    /// The store is closed, or one of its threads is gone.
    #[error("the store is closed")]
    Closed,
    #[error("compression: {0}")]
    Compression(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(crate) type Result<T> = std::result::Result<T, EngineError>;

impl EngineError {
    pub(crate) fn damaged(place: impl Into<String>) -> Self {
        Self::Damaged(place.into())
    }
}

/// Returns whether SQLite found the file itself broken, rather than failing to use it.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::Error;
    match error {
        Error::SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        }
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => true,
        _ => false,
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
            EngineError::Sql(error) if is_damage(&error) => Self::Damaged(error.to_string()),
            EngineError::Damaged(place) => Self::Damaged(place),
            error => Self::Unavailable(error.to_string()),
        }
    }
}
