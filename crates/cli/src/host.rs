//! A span server in this process: where it keeps spans, where it listens, when it stops.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use endspan_otlp::cost::PriceTable;
use endspan_server::{Config, Server};
use endspan_store::SpanStore;
use endspan_store_embedded::{EmbeddedStore, OpenError, Options};

use crate::args::ServeArguments;
use crate::certificate::Certificate;
use crate::error::{CliError, Exit};
use crate::keys::Keys;
use crate::reread::Reread;
use crate::{postgres, redaction, retention};

/// A server that listens but does not answer yet.
pub(crate) struct Host {
    server: Server,
    /// Where the spans are, in words.
    kept_in: String,
    keys: Keys,
    certificate: Option<Certificate>,
    reread: Reread,
}

impl Host {
    /// Opens the store in a directory and listens.
    pub(crate) async fn start(
        arguments: &ServeArguments,
        data: &Path,
        mut keys: Keys,
    ) -> Result<Self, CliError> {
        raise_file_limit();
        keys.load()?;
        refuse_strangers(arguments, &keys)?;
        let certificate = Certificate::load(arguments)?;
        let mut config = Config {
            listen: arguments.listen,
            grpc_listen: arguments.otlp_grpc,
            keys: keys.ring(),
            tls: certificate.as_ref().map(Certificate::tls),
            hosts: (!arguments.insecure_no_keys).then(|| arguments.host.clone()),
            ..Config::default()
        };
        arguments.limits.apply(&mut config);
        config.retention = retention::read(&arguments.retention)?;
        config.redactor = redaction::read(&arguments.redaction)?.1.map(Arc::new);
        if let Some(file) = &arguments.prices {
            config.prices = Arc::new(read_prices(file)?);
        }
        let store: Arc<dyn SpanStore> = match &arguments.store.store {
            Some(url) => Arc::new(postgres::open(arguments, url).await?),
            None => {
                Arc::new(EmbeddedStore::open(data, Options::default()).map_err(|error| cannot_open(&error))?)
            }
        };
        let server = Server::bind(config, store).await.map_err(|error| {
            let cannot = CliError::new(Exit::Local, error.to_string());
            match error.source.kind() {
                std::io::ErrorKind::AddrInUse => cannot.with_hint(
                    "is endspan running already? `endspan ls` shows what it holds; --listen 127.0.0.1:0 picks a free port",
                ),
                _ => cannot.with_hint("--listen ADDR:PORT names another address"),
            }
        })?;
        let kept_in = match &arguments.store.store {
            Some(_) => format!("Postgres, schema {}", arguments.store.store_schema),
            None => data.display().to_string(),
        };
        Ok(Self { server, kept_in, keys, certificate, reread: Reread::default() })
    }

    /// Reads keys and certificate again at once whenever the process is told so (SIGHUP).
    pub(crate) fn reread_on_hangup(&self) -> Result<(), CliError> {
        self.reread.on_hangup()
    }

    /// Returns the address for clients.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.server.addr())
    }

    /// Returns the line that says what is listening where.
    pub(crate) fn banner(&self) -> String {
        let grpc = self.server.grpc_addr().map(|address| format!(" and {address} (OTLP over gRPC)"));
        format!(
            "endspan {} listening on {}{}, data in {}",
            env!("CARGO_PKG_VERSION"),
            self.url(),
            grpc.unwrap_or_default(),
            self.kept_in
        )
    }

    /// Serves until `shutdown`, then finishes what was received.
    pub(crate) async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), CliError> {
        let mut watches = tokio::task::JoinSet::new();
        watches.spawn(self.keys.watch(self.reread.subscribe()));
        if let Some(certificate) = self.certificate {
            watches.spawn(certificate.watch(self.reread.subscribe()));
        }
        let served = self.server.run(shutdown).await;
        watches.shutdown().await;
        served.map_err(|error| CliError::new(Exit::Local, error.to_string()))
    }
}

/// Opens the store in a directory.
pub(crate) fn open_directory(data: &Path) -> Result<EmbeddedStore, CliError> {
    EmbeddedStore::open(data, Options::default()).map_err(|error| cannot_open(&error))
}

fn read_prices(file: &Path) -> Result<PriceTable, CliError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        CliError::new(Exit::Usage, format!("cannot read the prices in {}: {error}", file.display()))
    })?;
    PriceTable::parse(&text).map_err(|error| {
        CliError::new(Exit::Usage, format!("cannot use the prices in {}: {error}", file.display()))
            .with_hint("without --prices the built-in list is used")
    })
}

/// Lets this process have as many open files, and so connections, as the system allows it. Systems start programs with
/// few, for the sake of programs that are very old.
fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current != maximum {
            // Without it the server works, with fewer connections.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        }
    }
}

fn cannot_open(error: &OpenError) -> CliError {
    let cannot = CliError::new(Exit::Local, format!("cannot open the store: {error}"));
    cannot.with_hint(match error {
        OpenError::Locked { .. } => "stop the other one, or use another directory (--data DIR)",
        OpenError::NewerSchema { .. } => "run the newer endspan, or use another directory (--data DIR)",
        _ => "--data DIR names another directory",
    })
}

/// While the server knows no keys, everyone who reaches it may read and write every span.
fn refuse_strangers(arguments: &ServeArguments, keys: &Keys) -> Result<(), CliError> {
    let addresses = [Some(arguments.listen), arguments.otlp_grpc];
    let reachable = addresses.into_iter().flatten().find(|address| !address.ip().is_loopback());
    let Some(address) = reachable.filter(|_| !keys.ring().is_closed()) else { return Ok(()) };
    if arguments.insecure_no_keys {
        eprintln!(
            "warning: {address} can be reached from other machines and there are no API keys: \
             whoever reaches it can read and write all spans"
        );
        return Ok(());
    }
    Err(CliError::new(
        Exit::Usage,
        format!("{address} can be reached from other machines, and there are no API keys to ask for"),
    )
    .with_hint(format!(
        "make one: `endspan keys create --role ingest,read --keys {}`; \
         or listen on 127.0.0.1 behind a proxy that asks; or say --insecure-no-keys if everyone may read everything",
        keys.path().display()
    )))
}

/// Returns the directory of this user's for data, by the custom of the system.
pub(crate) fn data_directory() -> Result<PathBuf, CliError> {
    let from = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let parent = if cfg!(windows) {
        from("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        from("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        from("XDG_DATA_HOME").or_else(|| from("HOME").map(|home| home.join(".local/share")))
    };
    parent.map(|parent| parent.join("endspan")).ok_or_else(|| {
        CliError::new(Exit::Local, "this user has no home directory to keep spans in")
            .with_hint("--data DIR names a directory")
    })
}

/// Ctrl-c and the polite kill, caught from the moment this is made: make it before the line that tells others
/// that the server is there.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    pub(crate) fn catch() -> Result<Self, CliError> {
        use tokio::signal::unix::{SignalKind, signal};
        let catch = |kind| {
            signal(kind).map_err(|error| CliError::new(Exit::Local, format!("cannot catch signals: {error}")))
        };
        Ok(Self { interrupt: catch(SignalKind::interrupt())?, terminate: catch(SignalKind::terminate())? })
    }

    #[cfg(not(unix))]
    pub(crate) fn catch() -> Result<Self, CliError> {
        Ok(Self {})
    }

    /// Waits for the first signal. A second one then ends the process at once.
    pub(crate) async fn shutdown_requested(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            eprintln!("stopped without finishing");
            std::process::exit(130);
        });
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        drop(tokio::signal::ctrl_c().await);
    }
}
