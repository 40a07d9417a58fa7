//! "Read your files again now": what operators say with SIGHUP. Files are looked at anyway; this is for who will not wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::CliError;

/// Says it to everyone who watches files.
#[derive(Clone, Debug)]
pub(crate) struct Reread(Arc<watch::Sender<u64>>);

impl Default for Reread {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Reread {
    pub(crate) fn subscribe(&self) -> Asked {
        let mut heard = self.0.subscribe();
        // What was said before anyone listened counts too.
        if *heard.borrow() > 0 {
            heard.mark_changed();
        }
        Asked(heard)
    }

    /// Says it at each SIGHUP, which would otherwise end the process.
    #[cfg(unix)]
    pub(crate) fn on_hangup(&self) -> Result<(), CliError> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup()).map_err(|error| {
            CliError::new(crate::error::Exit::Local, format!("cannot catch signals: {error}"))
        })?;
        let sender = Arc::clone(&self.0);
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                sender.send_modify(|times| *times += 1);
            }
        });
        Ok(())
    }

    #[cfg(not(unix))]
    pub(crate) fn on_hangup(&self) -> Result<(), CliError> {
        Ok(())
    }
}

/// Hears it.
#[derive(Debug)]
pub(crate) struct Asked(watch::Receiver<u64>);

impl Asked {
    /// Waits so long, or until it is said. Returns whether it was said.
    pub(crate) async fn within(&mut self, time: Duration) -> bool {
        // Whoever says it may be gone: then only time passes.
        let changed = async {
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::time::timeout(time, changed).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_said_before_anyone_listens_is_heard_once() {
        let reread = Reread::default();
        let mut early = reread.subscribe();
        reread.0.send_modify(|times| *times += 1);
        let mut late = reread.subscribe();
        for asked in [&mut early, &mut late] {
            assert!(asked.within(Duration::ZERO).await);
            assert!(!asked.within(Duration::ZERO).await);
        }
    }
}
