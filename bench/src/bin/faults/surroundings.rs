//! The agent's disk is full; clocks jump.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use endspan_testkit::Reply;

use crate::agent::{Agent, End};
use crate::delivery::with_backend;
use crate::place::{Place, in_own_mounts};
use crate::{Case, Outcome};

const HOUR: i64 = 3600;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "agent's disk full while the backend is away",
        spans: 30_000,
        to_reach: None,
        peers: "– / – / –",
        run: |setting| {
            with_backend(|backend, spool| {
                backend.always(Reply::status(503));
                let mut command =
                    in_own_mounts("mount -t tmpfs -o size=4m tmpfs \"$1\" && shift && exec \"$@\"");
                command.arg(spool);
                let url = backend.url();
                let agent = Agent::new(&url, spool, setting.spans, 0, End::Shutdown);
                let mut agent = agent.start_by(command)?;
                agent.wait_for_last_span()?;
                backend.always(Reply::Serve);
                agent.finish_ended()
            })
        },
    },
    Case {
        name: "agent's clock jumps by -1 h, +48 h, -48 h; backend away for 6 s",
        spans: 4000,
        to_reach: Some(0),
        peers: "– / – / –",
        run: |setting| {
            let home = tempfile::tempdir()?;
            let clock = Clock::new(home.path())?;
            with_backend(|backend, spool| {
                backend.always(Reply::status(503));
                let url = backend.url();
                let mut agent = Agent::new(&url, spool, setting.spans, 500, End::Shutdown);
                agent.variables = clock.variables();
                let agent = agent.start()?;
                clock.jump_about(Duration::from_secs(2))?;
                backend.always(Reply::Serve);
                let said = agent.finish()?;
                for (_, stored) in backend.stored(endspan_testkit::Protocol::Sgp) {
                    let span = stored.json;
                    let (start, end) = (span["start_timestamp"].as_str(), span["end_timestamp"].as_str());
                    ensure!(start.is_some() && start <= end, "a span ends before it begins: {span}");
                }
                Ok(said)
            })
        },
    },
    Case {
        name: "server's clock jumps by -1 h, +48 h, -48 h",
        spans: 4000,
        to_reach: Some(0),
        peers: "– / – / –",
        run: |setting| {
            let home = tempfile::tempdir()?;
            let clock = Clock::new(home.path())?;
            let place = Place::new(setting, home.path())?;
            let mut command = Command::new(&setting.binary);
            command.envs(clock.variables());
            let server = place.start_command(command, &home.path().join("data"), &[])?;
            let spool = home.path().join("spool");
            let agent = Agent::new(&place.url(), &spool, setting.spans, 500, End::Shutdown).start()?;
            clock.jump_about(Duration::from_secs(2))?;
            let said = agent.finish()?;
            let stored = place.stored()?;
            server.stop()?;
            Ok(Outcome { stored, dropped: said.dropped, account: said.text })
        },
    },
];

/// The wall clock of a process, to be moved.
struct Clock {
    library: PathBuf,
    shift: PathBuf,
}

impl Clock {
    fn new(home: &Path) -> Result<Self> {
        let clock = Self { library: home.join("clock.so"), shift: home.join("shift") };
        let source = home.join("clock.c");
        std::fs::write(&source, include_str!("clock.c"))?;
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&clock.library)
            .arg(&source)
            .status()?;
        ensure!(compiled.success(), "cc failed");
        clock.set(0)?;
        Ok(clock)
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("ENDSPAN_CLOCK", self.shift.display().to_string()),
        ]
    }

    fn set(&self, seconds: i64) -> Result<()> {
        // In place: the process has the file mapped.
        let mut file =
            std::fs::OpenOptions::new().create(true).write(true).truncate(false).open(&self.shift)?;
        std::io::Write::write_all(&mut file, &seconds.to_ne_bytes()).context("moving the clock")
    }

    fn jump_about(&self, pause: Duration) -> Result<()> {
        for seconds in [-HOUR, 47 * HOUR, -HOUR] {
            std::thread::sleep(pause);
            self.set(seconds)?;
        }
        Ok(())
    }
}
