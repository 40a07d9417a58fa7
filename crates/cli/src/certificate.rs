//! The certificate of a server, read from files and read again when they change.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use endspan_server::Tls;

use crate::args::ServeArguments;
use crate::error::{CliError, Exit};
use crate::reread::Asked;

/// How often a server looks whether its certificate has changed.
const LOOK: Duration = Duration::from_secs(2);

/// A certificate in files.
pub(crate) struct Certificate {
    paths: (PathBuf, PathBuf),
    /// The files as they were taken over.
    texts: (Vec<u8>, Vec<u8>),
    tls: Arc<Tls>,
}

impl Certificate {
    /// Reads the files that the arguments name, if they name any.
    pub(crate) fn load(arguments: &ServeArguments) -> Result<Option<Self>, CliError> {
        let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else {
            return Ok(None);
        };
        let paths = (certificate.clone(), key.clone());
        let texts = read(&paths)?;
        let tls = Tls::from_pem(&texts.0, &texts.1)
            .map_err(|error| CliError::new(Exit::Usage, format!("--tls-cert, --tls-key: {error}")))?;
        Ok(Some(Self { paths, texts, tls: Arc::new(tls) }))
    }

    pub(crate) fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls)
    }

    /// Looks again and again. Files that do not fit together (yet) change nothing, and are complained about once.
    pub(crate) async fn watch(mut self, mut asked: Asked) {
        let mut complained = None;
        loop {
            if asked.within(LOOK).await {
                tracing::info!(file = %self.paths.0.display(), "reads the certificate again, as it was told to");
                complained = None;
            }
            let paths = self.paths.clone();
            let Ok(found) = tokio::task::spawn_blocking(move || read(&paths)).await else { return };
            let complaint = match found {
                Ok(texts) if texts == self.texts => None,
                Ok(texts) => match self.tls.replace_pem(&texts.0, &texts.1) {
                    Ok(()) => {
                        self.texts = texts;
                        tracing::info!(file = %self.paths.0.display(), "took over a changed certificate");
                        None
                    }
                    Err(error) => Some(error.to_string()),
                },
                Err(error) => Some(error.to_string()),
            };
            if complaint != complained {
                if let Some(error) = &complaint {
                    tracing::error!(%error, "cannot take over the certificate; the one before goes on to count");
                }
                complained = complaint;
            }
        }
    }
}

fn read((certificate, key): &(PathBuf, PathBuf)) -> Result<(Vec<u8>, Vec<u8>), CliError> {
    let file = |path: &PathBuf| {
        fs::read(path)
            .map_err(|error| CliError::new(Exit::Local, format!("cannot read {}: {error}", path.display())))
    };
    Ok((file(certificate)?, file(key)?))
}
