//! `endspan export`, `import` and `redact`, and what a server redacts.

use std::path::PathBuf;

use clap::Args;

use super::{ImportSource, ServerArguments};

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// The file to write; its name may end in .zst, which compresses it [default: standard output]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Only the spans of this trace
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<String>,
    /// Write over a file that exists
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ImportArguments {
    #[command(subcommand)]
    pub(crate) source: Option<ImportSource>,
    /// The file to read, plain or compressed by zstd [default: standard input]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RedactArguments {
    /// The file to read [default: standard input]
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Say only what was found, by pattern
    #[arg(long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) redaction: RedactionArguments,
}

/// What counts as a credential.
#[derive(Clone, Debug, Args)]
pub(crate) struct RedactionArguments {
    /// File of patterns in addition to the built-in ones; docs/security.md shows one
    #[arg(long, env = "ENDSPAN_REDACTION", value_name = "FILE")]
    pub(crate) redaction: Option<PathBuf>,
    /// Built-in patterns not to look for, or `all` to redact nothing; several with commas
    #[arg(long, env = "ENDSPAN_NO_REDACT", value_delimiter = ',', value_name = "PATTERN")]
    pub(crate) no_redact: Vec<String>,
}
