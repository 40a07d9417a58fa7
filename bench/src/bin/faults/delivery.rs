//! The agent is killed or leaves, its backend fails, refuses or is slow.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use endspan_testkit::{FakeBackend, Protocol, Reply};

use crate::agent::{Agent, End, Said};
use crate::{Case, Outcome};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "SIGKILL right after the last span, then a restart",
        spans: 5000,
        to_reach: Some(0),
        peers: "100 / 904 / 20",
        run: |setting| {
            with_backend(|backend, spool| {
                let url = backend.url();
                let mut agent = Agent::new(&url, spool, setting.spans, 0, End::Hang).start()?;
                agent.wait_for_last_span()?;
                agent.kill()?;
                let before = stored(backend);
                let said = Agent::new(&url, spool, 0, 0, End::Shutdown).finish()?;
                Ok(Said { text: format!("{before} before the kill; restart: {}", said.text), ..said })
            })
        },
    },
    Case {
        name: "backend answers 503 for 10 s, 200 spans/s",
        spans: 4000,
        to_reach: Some(0),
        peers: "1,762 / 512 / 25",
        run: |setting| {
            with_backend(|backend, spool| {
                backend.always(Reply::status(503));
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        std::thread::sleep(Duration::from_secs(10));
                        backend.always(Reply::Serve);
                    });
                    Agent::new(&backend.url(), spool, setting.spans, 200, End::Shutdown).finish()
                })
            })
        },
    },
    Case {
        name: "backend refuses connections for 10 s, 200 spans/s",
        spans: 4000,
        to_reach: Some(0),
        peers: "1,742 / 512 / 27",
        run: |setting| {
            with_backend(|backend, spool| {
                let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
                let target: SocketAddr = backend.url().trim_start_matches("http://").parse()?;
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_secs(10));
                    forward(address, target)
                });
                Agent::new(&format!("http://{address}"), spool, setting.spans, 200, End::Shutdown).finish()
            })
        },
    },
    Case {
        name: "one refused span in 1,000",
        spans: 1000,
        to_reach: Some(1),
        peers: "100 / 512 / 1",
        run: |setting| {
            with_backend(|backend, spool| {
                backend.refuse(|span| span["name"] == "step-500");
                let said = Agent::new(&backend.url(), spool, setting.spans, 0, End::Shutdown).finish()?;
                Ok(Said { text: format!("{} requests; {}", backend.requests().len(), said.text), ..said })
            })
        },
    },
    Case {
        name: "shutdown with 10,000 queued, 1,000 ms a request, 30 s",
        spans: 10_000,
        to_reach: Some(0),
        peers: "700 / – / –",
        run: |setting| {
            with_backend(|backend, spool| {
                backend.always(slow(1000));
                Agent::new(&backend.url(), spool, setting.spans, 0, End::Shutdown).finish()
            })
        },
    },
    Case {
        name: "exit without shutdown, 10,000 queued, 150 ms a request",
        spans: 10_000,
        to_reach: Some(0),
        peers: "5,400 / 5,904 / 0",
        run: |setting| {
            with_backend(|backend, spool| {
                let url = backend.url();
                backend.always(slow(150));
                Agent::new(&url, spool, setting.spans, 0, End::Exit).finish()?;
                let before = stored(backend);
                let said = Agent::new(&url, spool, 0, 0, End::Shutdown).finish()?;
                Ok(Said { text: format!("{before} at the exit; next start: {}", said.text), ..said })
            })
        },
    },
];

/// Runs a case against a backend and a spool of its own.
pub(crate) fn with_backend(run: impl FnOnce(&FakeBackend, &Path) -> Result<Said>) -> Result<Outcome> {
    let backend = FakeBackend::start();
    let spool = tempfile::tempdir()?;
    let said = run(&backend, spool.path())?;
    Ok(Outcome { stored: stored(&backend), dropped: said.dropped, account: said.text })
}

fn stored(backend: &FakeBackend) -> u64 {
    backend.stored(Protocol::Sgp).len() as u64
}

fn slow(latency_ms: u64) -> Reply {
    Reply::After(Duration::from_millis(latency_ms), Box::new(Reply::Serve))
}

/// Listens on an address and hands every connection on.
fn forward(address: SocketAddr, target: SocketAddr) -> Result<()> {
    for stream in TcpListener::bind(address)?.incoming() {
        let (client, server) = (stream?, TcpStream::connect(target)?);
        for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Both);
            });
        }
    }
    Ok(())
}
