//! `endspan migrate`, `endspan import agentex`, and where spans are kept when not in a directory.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// A store that is no directory of this machine's.
#[derive(Clone, Debug, Args)]
pub(crate) struct StoreArguments {
    /// Postgres that keeps the spans, as `postgres://user:password@host/database`; several servers may share it
    /// [default: the data directory]
    #[arg(long, env = "ENDSPAN_STORE", hide_env_values = true, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// Schema of the tables in Postgres
    #[arg(long, env = "ENDSPAN_STORE_SCHEMA", default_value = "endspan", value_name = "NAME")]
    pub(crate) store_schema: String,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArguments {
    /// Postgres whose schema to make or to bring to this version
    #[arg(long, env = "ENDSPAN_STORE", hide_env_values = true, value_name = "URL")]
    pub(crate) store: String,
    /// Schema of the tables
    #[arg(long, env = "ENDSPAN_STORE_SCHEMA", default_value = "endspan", value_name = "NAME")]
    pub(crate) store_schema: String,
    /// Days that one partition takes spans; used when the schema is made
    #[arg(long, default_value_t = 7, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) partition_days: u32,
}

/// Where spans come from that are in no file.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportSource {
    /// Copies the `spans` table of an Agentex out of its Postgres, straight into a store
    Agentex(ImportAgentexArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ImportAgentexArguments {
    /// The Postgres of the Agentex, as `postgres://user:password@host/database`; it is only read
    #[arg(env = "ENDSPAN_IMPORT_SOURCE", hide_env_values = true, value_name = "URL")]
    pub(crate) source: String,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    /// Directory of the store, without --store; no server may be running on it [default: a directory of this user's]
    #[arg(long, env = "ENDSPAN_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The account that gets the spans
    #[arg(long, default_value = "default", value_name = "ID")]
    pub(crate) account: String,
    /// Schema of the table
    #[arg(long, default_value = "public", value_name = "NAME")]
    pub(crate) schema: String,
    /// The table
    #[arg(long, default_value = "spans", value_name = "NAME")]
    pub(crate) table: String,
    /// Most rows a second [default: as fast as both sides are]
    #[arg(long, value_name = "ROWS")]
    pub(crate) rate: Option<u32>,
    /// Go on behind this id, as an import that was stopped has said
    #[arg(long, value_name = "ID")]
    pub(crate) after: Option<String>,
    /// Copy nothing, only compare
    #[arg(long, conflicts_with = "after")]
    pub(crate) compare: bool,
}
