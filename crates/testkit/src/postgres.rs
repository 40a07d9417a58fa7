//! A Postgres server for tests: its own data folder and socket, no port, never as root, and stopped whatever happens.
//!
//! Nothing is installed here; the test suites do that. Where there is no Postgres, [`TestPostgres::shared`] says so on
//! standard error and gives `None`.

use std::{
    fs::{self, File},
    io,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

/// The port that names the socket where nothing listens on it: the socket's folder is what tells servers apart.
const SOCKET_PORT: u16 = 5432;

/// A running server. The last one who holds a shared server stops it some seconds after letting go.
#[derive(Debug)]
pub struct TestPostgres {
    folder: PathBuf,
    binaries: PathBuf,
    owner: Option<Owner>,
    is_private: bool,
    /// Where it listens on 127.0.0.1, if it does; names the socket, too.
    port: Option<u16>,
    settings: Vec<String>,
    /// Held shared for as long as the server is needed; the watcher waits for it.
    _lease: File,
}

/// The user who runs the server when the tests run as root.
#[derive(Clone, Copy, Debug)]
struct Owner {
    user: u32,
    group: u32,
}

static PRIVATE_COUNT: AtomicU32 = AtomicU32::new(0);

impl TestPostgres {
    /// Returns the server that all tests of this machine share, and starts it if it does not run. It is not durable.
    ///
    /// `None`, with a word on standard error, where there is no Postgres.
    ///
    /// # Panics
    /// When there is one that does not start.
    pub fn shared() -> Option<Self> {
        let settings = ["fsync=off", "full_page_writes=off", "synchronous_commit=off"];
        Self::start_in(std::env::temp_dir().join("endspan-test-postgres"), false, None, &settings)
    }

    /// Starts a server for one test that stops and kills it. It is durable, like one that matters.
    ///
    /// `None`, with a word on standard error, where there is no Postgres.
    ///
    /// # Panics
    /// When there is one that does not start.
    pub fn private() -> Option<Self> {
        Self::private_with(&[])
    }

    /// Starts a server of one's own with settings in the form `name=value`.
    ///
    /// `None`, with a word on standard error, where there is no Postgres.
    ///
    /// # Panics
    /// When there is one that does not start.
    pub fn private_with(settings: &[&str]) -> Option<Self> {
        Self::start_in(private_folder(), true, None, settings)
    }

    /// Starts a server of one's own that also listens on a free port of 127.0.0.1.
    ///
    /// `None`, with a word on standard error, where there is no Postgres.
    ///
    /// # Panics
    /// When there is one that does not start.
    pub fn private_on_a_port(settings: &[&str]) -> Option<Self> {
        // Bound for a moment, to learn of a port that is free.
        let listener =
            std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = listener.ok()?.port();
        Self::start_in(private_folder(), true, Some(port), settings)
    }

    #[expect(clippy::panic, reason = "a test fails by panicking")]
    fn start_in(folder: PathBuf, is_private: bool, port: Option<u16>, settings: &[&str]) -> Option<Self> {
        let Some(binaries) = find_binaries() else {
            eprintln!("SKIPPED: there is no Postgres here (pg_ctl and initdb are not found)");
            return None;
        };
        let started = (|| {
            let owner = owner()?;
            fs::create_dir_all(&folder)?;
            let lease = open_lock(&folder.join("lease"))?;
            lease.lock_shared()?;
            let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
            let server = Self { folder, binaries, owner, is_private, port, settings, _lease: lease };
            let turn = open_lock(&server.folder.join("turn"))?;
            turn.lock()?;
            if !server.is_up() {
                server.create()?;
                server.watch()?;
                server.start()?;
            }
            io::Result::Ok(server)
        })();
        Some(started.unwrap_or_else(|error| panic!("Postgres does not start: {error}")))
    }

    /// Returns the URL of the database, for its superuser.
    pub fn url(&self) -> String {
        let host = self.sockets().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{host}:{}/postgres", self.socket_port())
    }

    /// Returns the port on 127.0.0.1, if it listens on one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Writes a file into the data folder that only the server reads.
    ///
    /// # Errors
    /// What the system says.
    pub fn place(&self, name: &str, content: &str) -> io::Result<PathBuf> {
        let file = self.data().join(name);
        fs::write(&file, content)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        if let Some(Owner { user, group }) = self.owner {
            chown(&file, Some(user), Some(group))?;
        }
        Ok(file)
    }

    fn socket_port(&self) -> u16 {
        self.port.unwrap_or(SOCKET_PORT)
    }

    /// Returns whether the server takes connections.
    pub fn is_up(&self) -> bool {
        UnixStream::connect(self.sockets().join(format!(".s.PGSQL.{}", self.socket_port()))).is_ok()
    }

    /// Starts the server, and waits until it has recovered.
    ///
    /// # Errors
    /// What the system or Postgres says.
    pub fn start(&self) -> io::Result<()> {
        let settings: String = self.settings.iter().map(|setting| format!(" -c {setting}")).collect();
        let options = format!(
            "-c listen_addresses='{}' -c unix_socket_directories='{}' -c port={} -c max_connections=200 \
             -c shared_buffers=128MB -c max_wal_size=2GB -c max_locks_per_transaction=512{settings}",
            if self.port.is_some() { "127.0.0.1" } else { "" },
            self.sockets().display(),
            self.socket_port()
        );
        let log = self.data().join("server.log");
        self.control(&["start", "-w", "-t", "120", "-l", &log.display().to_string(), "-o", &options])
    }

    /// Stops the server the way a power cut does: nothing is finished or written.
    ///
    /// # Errors
    /// What the system or Postgres says.
    pub fn crash(&self) -> io::Result<()> {
        self.control(&["stop", "-m", "immediate", "-w", "-t", "120"])
    }

    /// Returns the seconds of processor time that the server and its processes have taken so far.
    ///
    /// # Errors
    /// What the system says.
    pub fn cpu_seconds(&self) -> io::Result<f64> {
        // Clock ticks a second, the same on every Linux.
        const TICKS: f64 = 100.0;
        let file = fs::read_to_string(self.data().join("postmaster.pid"))?;
        let first = file.lines().next().unwrap_or_default();
        let mut ticks = 0.0;
        for entry in fs::read_dir("/proc")?.flatten() {
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            let fields: Vec<&str> = match stat.rsplit_once(") ") {
                Some((_, rest)) => rest.split(' ').collect(),
                None => continue,
            };
            // utime and stime; of the parent also those of the processes that it has buried.
            let number = |at: usize| fields.get(at).and_then(|text| text.parse().ok()).unwrap_or(0.0);
            if entry.file_name() == first {
                ticks += number(11) + number(12) + number(13) + number(14);
            } else if fields.get(1) == Some(&first) {
                ticks += number(11) + number(12);
            }
        }
        Ok(ticks / TICKS)
    }

    fn sockets(&self) -> PathBuf {
        self.folder.join("sockets")
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn create(&self) -> io::Result<()> {
        // What a server that was killed has left is of no use.
        for folder in [self.data(), self.sockets()] {
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            fs::create_dir(&folder)?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
            if let Some(Owner { user, group }) = self.owner {
                chown(&folder, Some(user), Some(group))?;
            }
        }
        fs::set_permissions(self.sockets(), fs::Permissions::from_mode(0o755))?;
        let data = self.data().display().to_string();
        let mut initdb = self.command("initdb");
        initdb.args(["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        run(initdb)
    }

    fn control(&self, arguments: &[&str]) -> io::Result<()> {
        let mut command = self.command("pg_ctl");
        command.arg("-D").arg(self.data()).args(arguments);
        run(command)
    }

    fn command(&self, name: &str) -> Command {
        let program = self.binaries.join(name);
        let mut command = match self.owner {
            Some(Owner { user, group }) => {
                let mut command = Command::new("setpriv");
                command.args([
                    format!("--reuid={user}"),
                    format!("--regid={group}"),
                    "--clear-groups".into(),
                ]);
                command.arg("--").arg(program);
                command
            }
            None => Command::new(program),
        };
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    /// Starts a process that stops the server when nobody holds the lease any more, however they ended.
    fn watch(&self) -> io::Result<()> {
        let quiet_rounds = if self.is_private { 1 } else { 5 };
        let user = self.owner.map(|Owner { user, group }| {
            format!("setpriv --reuid={user} --regid={group} --clear-groups -- ")
        });
        let (folder, binaries) = (self.folder.display(), self.binaries.display());
        let script = format!(
            "cd /; quiet=0; while sleep 2; do \
               [ -e '{folder}/lease' ] || exit 0; \
               if flock -n -x '{folder}/lease' true; then quiet=$((quiet + 1)); else quiet=0; fi; \
               if [ $quiet -ge {quiet_rounds} ] && flock -n -x '{folder}/lease' sh -c \
                 \"{}'{binaries}/pg_ctl' -D '{folder}/data' stop -m immediate; rm -rf '{folder}/data' '{folder}/sockets'\"; \
               then {} exit 0; fi; \
             done",
            user.unwrap_or_default(),
            if self.is_private { format!("rm -rf '{folder}';") } else { String::new() }
        );
        Command::new("setsid")
            .args(["sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(drop)
    }
}

impl Drop for TestPostgres {
    fn drop(&mut self) {
        if self.is_private {
            let _ = self.crash();
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn private_folder() -> PathBuf {
    let number = PRIVATE_COUNT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("endspan-pg-{}-{number}", std::process::id()))
}

fn open_lock(path: &Path) -> io::Result<File> {
    File::options().create(true).truncate(false).write(true).open(path)
}

/// Runs a command and gives what it says when it fails.
fn run(mut command: Command) -> io::Result<()> {
    // Not through a pipe: the server would inherit it and keep it open.
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(io::Error::other(format!("{command:?}: {status}"))),
            None if begun.elapsed() > Duration::from_secs(180) => {
                let _ = child.kill();
                return Err(io::Error::other(format!("{command:?} does not end")));
            }
            None => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Finds the newest Postgres: Debian's and Red Hat's places, then the search path.
fn find_binaries() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-"), ("/usr/local", "pgsql")] {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.strip_prefix(prefix).and_then(|version| version.parse().ok());
            if let Some(version) = version {
                found.push((version, entry.path().join("bin")));
            }
        }
    }
    found.sort();
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    found
        .into_iter()
        .rev()
        .map(|(_, folder)| folder)
        .chain(on_path)
        .find(|folder| ["initdb", "pg_ctl", "postgres"].iter().all(|name| folder.join(name).exists()))
}

/// Returns whom to run the server as: Postgres refuses to run as root.
fn owner() -> io::Result<Option<Owner>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    for name in ["postgres", "nobody"] {
        let line = users.lines().find(|line| line.split(':').next() == Some(name));
        let mut numbers = line.into_iter().flat_map(|line| line.split(':').skip(2)).map(str::parse);
        if let (Some(Ok(user)), Some(Ok(group))) = (numbers.next(), numbers.next()) {
            return Ok(Some(Owner { user, group }));
        }
    }
    Err(io::Error::other("no user to run Postgres as"))
}
