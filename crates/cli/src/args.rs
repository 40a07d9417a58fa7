//! The command line: what can be asked for, and nothing of how it is done.

mod keys;
mod limits;
mod postgres;
mod reading;
mod retention;
mod transfer;

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use keys::{
    CreateKeyArguments, KeyFileArguments, KeyRole, KeysCommand, ListKeysArguments, RevokeKeyArguments,
};
pub(crate) use limits::LimitArguments;
pub(crate) use postgres::{ImportAgentexArguments, ImportSource, MigrateArguments, StoreArguments};
pub(crate) use reading::{LsArguments, SearchArguments, ShowArguments, TailArguments};
pub(crate) use retention::{DeleteArguments, RetentionArguments, parse_bytes};
pub(crate) use transfer::{ExportArguments, ImportArguments, RedactArguments, RedactionArguments};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  not found, or a check failed
  2  wrong usage
  3  the server cannot be reached
  4  the server answered with an error
  5  this machine is in the way: an address in use, a directory that cannot be written

Data goes to standard output, everything else to standard error.";

/// Spans of AI agents: a server that keeps them, and readers for the terminal.
#[derive(Debug, Parser)]
#[command(name = "endspan", version, about, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// When to use colours; `auto` means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub(crate) color: ColorChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the span server
    Serve(ServeArguments),
    /// Runs the span server with a demo agent that sends it traces
    Demo(DemoArguments),
    /// Lists traces, newest first
    Ls(LsArguments),
    /// Shows one trace as a tree
    Show(ShowArguments),
    /// Finds spans by what they are and what they say
    Search(Box<SearchArguments>),
    /// Shows spans as they arrive
    Tail(TailArguments),
    /// Writes spans to a file, one JSON object a line
    Export(ExportArguments),
    /// Stores the spans of a file that `endspan export` wrote
    Import(ImportArguments),
    /// Deletes traces for good
    Delete(DeleteArguments),
    /// Shows how a server is doing, what is wrong, and where its settings come from
    Doctor(DoctorArguments),
    /// Shows what would be taken out of a text before it is stored
    Redact(RedactArguments),
    /// Creates, lists and revokes the API keys of a server
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Makes the schema of a store in Postgres, or brings it to this version
    Migrate(MigrateArguments),
    /// Prints what a shell needs to complete this command line
    Completions(CompletionsArguments),
    /// Prints the manual page
    Man(ManArguments),
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArguments {
    /// Address and port to listen on; port 0 picks a free one
    #[arg(
        long,
        env = "ENDSPAN_LISTEN",
        default_value = "127.0.0.1:5003",
        value_name = "ADDR",
        value_parser = parse_listen
    )]
    pub(crate) listen: SocketAddr,
    /// Address and port to take OTLP over gRPC on, for example 127.0.0.1:4317 [default: none]
    #[arg(long, env = "ENDSPAN_OTLP_GRPC", value_name = "ADDR", value_parser = parse_listen)]
    pub(crate) otlp_grpc: Option<SocketAddr>,
    /// Directory that keeps the spans [default: a directory of this user's]
    #[arg(long, env = "ENDSPAN_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    /// Make the schema in Postgres or bring it to this version before serving
    #[arg(long, env = "ENDSPAN_MIGRATE", requires = "store")]
    pub(crate) migrate: bool,
    /// Prices of model calls, in place of the built-in list; `docs/otlp-mapping.md` says in what form
    #[arg(long, env = "ENDSPAN_PRICES", value_name = "FILE")]
    pub(crate) prices: Option<PathBuf>,
    /// File of API keys, made by `endspan keys create`; while there is none, nobody is asked for a key
    /// [default: keys.json in the data directory]
    #[arg(long, env = "ENDSPAN_KEYS", value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,
    /// Certificate of the server with its chain, PEM; it is read again when it changes [default: no TLS]
    #[arg(long, env = "ENDSPAN_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key of the certificate, PEM
    #[arg(long, env = "ENDSPAN_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) retention: RetentionArguments,
    #[command(flatten)]
    pub(crate) redaction: RedactionArguments,
    /// Listen beyond this machine without keys: everyone who reaches the port can read and write all spans
    #[arg(long, alias = "allow-remote")]
    pub(crate) insecure_no_keys: bool,
    /// Names beside `localhost` that a request may be for while nobody is asked for a key, as behind a proxy
    #[arg(long, env = "ENDSPAN_HOSTS", value_name = "NAME", value_delimiter = ',')]
    pub(crate) host: Vec<String>,
    /// What to log on standard error: a level, or directives like `info,endspan_server=debug`
    #[arg(long, env = "ENDSPAN_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// How log lines look
    #[arg(long, env = "ENDSPAN_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    #[command(flatten)]
    pub(crate) serve: ServeArguments,
    /// Send one trace, check that every span is stored exactly once, print its tree and exit
    #[arg(long)]
    pub(crate) once: bool,
    /// Print each trace as JSON, one trace a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArguments {
    /// The server to ask
    #[arg(long, env = "ENDSPAN_SERVER", default_value = "http://127.0.0.1:5003", value_name = "URL")]
    pub(crate) server: String,
    /// The API key, if the server asks for one
    #[arg(long, env = "ENDSPAN_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub(crate) api_key: Option<String>,
    /// Read only this account's spans [default: every account that may be read]
    #[arg(long, env = "ENDSPAN_ACCOUNT", value_name = "ID")]
    pub(crate) account: Option<String>,
    /// Print JSON for machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
For example:
  endspan completions bash > ~/.local/share/bash-completion/completions/endspan
  endspan completions zsh > \"${fpath[1]}/_endspan\"
  endspan completions fish > ~/.config/fish/completions/endspan.fish")]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
For example:
  endspan man | man -l -
  endspan man --to ~/.local/share/man/man1")]
pub(crate) struct ManArguments {
    /// Write the pages of all commands into this directory, which is made if there is none
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
}

/// Parses `ADDR:PORT`, `HOST:PORT`, `:PORT` or `PORT`.
fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let port_only = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port_only.parse::<u16>() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let mut addresses = text.to_socket_addrs().map_err(|error| format!("expected ADDR:PORT ({error})"))?;
    addresses.next().ok_or_else(|| "the name has no address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn listen_takes_short_forms() {
        for (text, address) in [
            ("127.0.0.1:5003", "127.0.0.1:5003"),
            (":8080", "127.0.0.1:8080"),
            ("0", "127.0.0.1:0"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(parse_listen(text), Ok(address.parse().unwrap()), "{text}");
        }
        assert!(parse_listen("5003x").is_err());
        assert!(parse_listen("").is_err());
    }
}
