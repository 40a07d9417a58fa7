//! The server is killed, its Postgres is, or its disk is full, while an agent writes to it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use endspan_testkit::TestPostgres;

use crate::agent::{Agent, End};
use crate::place::{Place, in_own_mounts};
use crate::{Case, Outcome, Setting};

/// Spans a second of the agent.
const RATE: u64 = 2000;

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "server killed four times under load, embedded store",
        spans: 30_000,
        to_reach: Some(0),
        peers: "– / – / –",
        run: |setting| {
            let home = tempfile::tempdir()?;
            let place = Place::new(setting, home.path())?;
            killed_again_and_again(setting, &place, home.path(), &[])
        },
    },
    Case {
        name: "server killed four times under load, Postgres",
        spans: 30_000,
        to_reach: Some(0),
        peers: "– / – / –",
        run: |setting| {
            let postgres = TestPostgres::private().context("there is no Postgres here")?;
            let home = tempfile::tempdir()?;
            let place = Place::new(setting, home.path())?;
            killed_again_and_again(setting, &place, home.path(), &["--store", &postgres.url(), "--migrate"])
        },
    },
    Case {
        name: "Postgres killed four times under load",
        spans: 30_000,
        to_reach: Some(0),
        peers: "– / – / –",
        run: |setting| {
            let postgres = TestPostgres::private().context("there is no Postgres here")?;
            let home = tempfile::tempdir()?;
            let place = Place::new(setting, home.path())?;
            let server = place.start(&["--store", &postgres.url(), "--migrate"])?;
            let spool = home.path().join("spool");
            let agent = Agent::new(&place.url(), &spool, setting.spans, RATE, End::Shutdown).start()?;
            for _ in 0..4 {
                std::thread::sleep(Duration::from_secs(2));
                postgres.crash()?;
                std::thread::sleep(Duration::from_secs(1));
                postgres.start()?;
            }
            let said = agent.finish()?;
            let stored = place.stored()?;
            server.stop()?;
            Ok(Outcome { stored, dropped: said.dropped, account: said.text })
        },
    },
    Case {
        name: "server's disk full for some seconds, embedded store",
        spans: 30_000,
        to_reach: Some(0),
        peers: "– / – / –",
        run: |setting| {
            let home = tempfile::tempdir()?;
            let place = Place::new(setting, home.path())?;
            let disk = home.path().join("disk");
            std::fs::create_dir(&disk)?;
            // The disk is seen by the server alone. It begins with 2 MB of room.
            let script = "mount -t tmpfs -o size=64m tmpfs \"$1\" && head -c 62m /dev/zero > \"$1/ballast\" && shift && exec \"$@\"";
            let mut command = in_own_mounts(script);
            command.arg(&disk);
            let server = place.start_command(command, &disk.join("data"), &[])?;
            let ballast = format!("/proc/{}/root{}/ballast", server.id(), disk.display());
            let spool = home.path().join("spool");
            let mut agent = Agent::new(&place.url(), &spool, setting.spans, RATE, End::Shutdown).start()?;
            agent.wait_for_last_span()?;
            std::thread::sleep(Duration::from_secs(1));
            let full = place.stored()?;
            ensure!(full < setting.spans, "the disk was never full: {full} spans stored");
            std::fs::remove_file(ballast).context("making room")?;
            let said = agent.finish_ended()?;
            let stored = place.stored()?;
            server.stop()?;
            let account = format!("{full} stored while it was full; then {}", said.text);
            Ok(Outcome { stored, dropped: said.dropped, account })
        },
    },
];

fn killed_again_and_again(
    setting: &Setting,
    place: &Place<'_>,
    home: &Path,
    arguments: &[&str],
) -> Result<Outcome> {
    let mut server = place.start(arguments)?;
    let spool = home.join("spool");
    let agent = Agent::new(&place.url(), &spool, setting.spans, RATE, End::Shutdown).start()?;
    for _ in 0..4 {
        std::thread::sleep(Duration::from_secs(2));
        server.kill()?;
        std::thread::sleep(Duration::from_secs(1));
        server = place.start(arguments)?;
    }
    let said = agent.finish()?;
    let stored = place.stored()?;
    server.stop()?;
    Ok(Outcome { stored, dropped: said.dropped, account: said.text })
}
