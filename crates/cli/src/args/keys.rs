//! `endspan keys`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Makes a key and prints its secret, once; a running server knows it within a second
    Create(CreateKeyArguments),
    /// Lists the keys, without their secrets
    List(ListKeysArguments),
    /// Takes a key away; a running server refuses it within a second
    Revoke(RevokeKeyArguments),
}

/// Where the keys are.
#[derive(Debug, Args)]
pub(crate) struct KeyFileArguments {
    /// File of API keys [default: keys.json in the data directory]
    #[arg(long, env = "ENDSPAN_KEYS", value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Directory that keeps the spans [default: a directory of this user's]
    #[arg(long, env = "ENDSPAN_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// What a key may do; see docs/security.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyRole {
    /// Write spans
    Ingest,
    /// Read, search and follow spans
    Read,
    /// Read /metrics, which counts all accounts
    Metrics,
    /// Everything, deleting included
    Admin,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("owner").args(["account", "all_accounts"]))]
pub(crate) struct CreateKeyArguments {
    /// What the key may do; several with commas
    #[arg(long, required = true, value_enum, value_delimiter = ',', value_name = "ROLE")]
    pub(crate) role: Vec<KeyRole>,
    /// The account that the key is bound to
    #[arg(long, default_value = "default", value_name = "ID")]
    pub(crate) account: String,
    /// Do not bind the key: its holder names any account in x-selected-account-id
    #[arg(long)]
    pub(crate) all_accounts: bool,
    /// What the key is for, in your words
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) name: String,
    /// When the key ends: after a time like 90d, 12h or 30m, or at a moment like 2027-01-31 or 2027-01-31T12:00Z
    /// [default: never]
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires: Option<String>,
    /// Print JSON for machines
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) file: KeyFileArguments,
}

#[derive(Debug, Args)]
pub(crate) struct ListKeysArguments {
    /// Print JSON for machines
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) file: KeyFileArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeKeyArguments {
    /// The key's id, as `endspan keys list` shows it
    #[arg(value_name = "KEY")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) file: KeyFileArguments,
}
