//! The file of API keys: read by a server while it runs, changed by `endspan keys`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use endspan_model::Timestamp;
use endspan_server::access::{ApiKey, KeyRing, Role, Secret, format_keys, parse_keys};

use crate::args::ServeArguments;
use crate::error::{CliError, Exit};
use crate::reread::Asked;

/// The file's name in a data directory.
pub(crate) const FILE_NAME: &str = "keys.json";

/// How often a server looks whether the keys have changed.
const LOOK: Duration = Duration::from_millis(400);

/// Most bytes of a file of keys; some 100,000 keys.
const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// The keys of a server in this process.
pub(crate) struct Keys {
    path: PathBuf,
    ring: Arc<KeyRing>,
    /// Keys of this process's own, which are in no file.
    own: Vec<ApiKey>,
    /// The file's text as it was taken over.
    text: Option<String>,
}

impl Keys {
    /// Names the file that the arguments mean; reads nothing yet.
    pub(crate) fn of(arguments: &ServeArguments, data: &Path) -> Self {
        let path = arguments.keys.clone().unwrap_or_else(|| data.join(FILE_NAME));
        Self { path, ring: Arc::new(KeyRing::open()), own: Vec::new(), text: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring)
    }

    /// Adds a key for this process itself, which opens everything that a file of keys closes.
    pub(crate) fn add_own(&mut self) -> Result<Secret, CliError> {
        let secret = generate()?;
        self.own.push(ApiKey {
            id: secret.id().to_owned(),
            name: "this process".to_owned(),
            account: None,
            roles: vec![Role::Admin],
            hash: secret.hash(),
            last_four: secret.last_four().to_owned(),
            created: Timestamp::now(),
            expires: None,
        });
        Ok(secret)
    }

    /// Reads the file, if there is one.
    pub(crate) fn load(&mut self) -> Result<(), CliError> {
        if let Some(text) = read(&self.path)? {
            self.take_over(text)?;
        }
        Ok(())
    }

    fn take_over(&mut self, text: String) -> Result<(), CliError> {
        let mut keys = parse(&self.path, &text)?;
        keys.extend(self.own.iter().cloned());
        self.ring.replace(keys);
        self.text = Some(text);
        Ok(())
    }

    /// Looks again and again. A file that cannot be read or understood changes nothing, and is complained about once.
    pub(crate) async fn watch(mut self, mut asked: Asked) {
        let mut complained = None;
        loop {
            if asked.within(LOOK).await {
                tracing::info!(file = %self.path.display(), "reads API keys again, as it was told to");
                complained = None;
            }
            let path = self.path.clone();
            let Ok(found) = tokio::task::spawn_blocking(move || read(&path)).await else { return };
            let result = match found {
                Ok(Some(text)) if self.text.as_ref() == Some(&text) => Ok(()),
                Ok(Some(text)) => self.take_over(text).map(|()| {
                    tracing::info!(file = %self.path.display(), keys = self.ring.len(), "took over changed API keys");
                }),
                Ok(None) if self.text.is_none() => Ok(()),
                Ok(None) => Err(CliError::new(Exit::Local, format!("{} is gone", self.path.display()))),
                Err(error) => Err(error),
            };
            let complaint = result.err().map(|error| error.to_string());
            if complaint != complained {
                if let Some(error) = &complaint {
                    tracing::error!(%error, "cannot take over API keys; those known before go on to count");
                }
                complained = complaint;
            }
        }
    }
}

/// Returns the text of a file of keys; `None` when there is none.
fn read(path: &Path) -> Result<Option<String>, CliError> {
    let cannot =
        |error: io::Error| CliError::new(Exit::Local, format!("cannot read {}: {error}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        // A file in the directory's place is for the store to complain about.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(cannot(error)),
    };
    refuse_shared(path, &file.metadata().map_err(cannot)?)?;
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, MAX_FILE_BYTES), &mut text).map_err(cannot)?;
    Ok(Some(text))
}

/// Who may write the file may open the server.
#[cfg(unix)]
fn refuse_shared(path: &Path, metadata: &fs::Metadata) -> Result<(), CliError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode();
    if mode & 0o022 == 0 {
        return Ok(());
    }
    let message = format!("{} can be written by others (mode {:03o})", path.display(), mode & 0o777);
    Err(CliError::new(Exit::Local, message).with_hint(format!("chmod 600 {}", path.display())))
}

#[cfg(not(unix))]
fn refuse_shared(_: &Path, _: &fs::Metadata) -> Result<(), CliError> {
    Ok(())
}

fn parse(path: &Path, text: &str) -> Result<Vec<ApiKey>, CliError> {
    parse_keys(text).map_err(|error| CliError::new(Exit::Local, format!("{}: {error}", path.display())))
}

/// Returns the keys in a file.
pub(crate) fn list(path: &Path) -> Result<Vec<ApiKey>, CliError> {
    read(path)?.map_or_else(|| Ok(Vec::new()), |text| parse(path, &text))
}

/// Changes the keys in a file, one process at a time, and puts the new file in the old one's place at once.
pub(crate) fn change<T>(
    path: &Path,
    work: impl FnOnce(&mut Vec<ApiKey>) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let cannot =
        |error: io::Error| CliError::new(Exit::Local, format!("cannot write {}: {error}", path.display()));
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_private(directory).map_err(cannot)?;
    let lock = private().create(true).truncate(false).open(beside(path, "lock")).map_err(cannot)?;
    lock.lock().map_err(cannot)?;
    let mut keys = list(path)?;
    let result = work(&mut keys)?;
    let new = beside(path, "new");
    // A file that a killed process left behind.
    let _ = fs::remove_file(&new);
    let mut file = private().create_new(true).open(&new).map_err(cannot)?;
    file.write_all(format_keys(&keys).as_bytes()).map_err(cannot)?;
    file.sync_all().map_err(cannot)?;
    fs::rename(&new, path).map_err(cannot)?;
    #[cfg(unix)]
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(cannot)?;
    Ok(result)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn make_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// Makes a secret.
pub(crate) fn generate() -> Result<Secret, CliError> {
    Secret::generate().map_err(|error| CliError::new(Exit::Local, error.to_string()))
}
