//! More than a server can take, from many connections at once: its memory stays bounded, whoever is refused is told when to
//! come again, and what it acknowledged is there. `bench/src/bin/soak.rs` does the same for as long as one likes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step fails the test")]
#![cfg(target_os = "linux")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use support::Served;

const CONNECTIONS: usize = 150;
/// Halves of more of them than fit into 8 MiB.
const HOLDERS: usize = 24;
const BODY_BYTES: usize = 1024 * 1024;

/// The most memory that a process ever held, in bytes.
fn peak_bytes(served: &Served) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn body(index: usize) -> Vec<u8> {
    let mut body = format!(
        r#"{{"items":[{{"id":"s{index}","trace_id":"t{index}","name":"n","start_timestamp":0,"input":{{"t":""#
    )
    .into_bytes();
    let end = BODY_BYTES - 8;
    let mut state = index as u64 * 2 + 1;
    while body.len() < end - 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        body.extend_from_slice(format!("{state:016x} ").as_bytes());
    }
    body.extend_from_slice(br#""}}]}"#);
    body
}

/// A request of which half is sent.
struct Begun {
    stream: TcpStream,
    second: Vec<u8>,
}

fn begin(address: &str, index: usize) -> Begun {
    let body = body(index);
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "PUT /v5/spans/batch HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         prefer: return=minimal\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let (first, second) = body.split_at(body.len() / 2);
    // Who is refused may find the connection closed before it has sent everything.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(first));
    Begun { stream, second: second.to_vec() }
}

impl Begun {
    /// Sends the rest and returns status and text of the answer; 0 if there is none.
    fn finish(mut self) -> (u16, String) {
        let _ = self.stream.write_all(&self.second);
        let mut answer = Vec::new();
        let _ = self.stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, answer)
    }
}

#[test]
fn memory_is_bounded_at_overload_and_nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--max-in-flight-bytes", "8MiB", "--body-timeout", "1h"];
    let served = Served::start_with_more("127.0.0.1:0", directory.path(), &arguments);
    let before = peak_bytes(&served);
    // Halves of bodies take nearly all of the room, and stay.
    let holders: Vec<Begun> = (0..HOLDERS).map(|index| begin(served.address(), index)).collect();
    while metric(&served, "endspan_in_flight_bytes") < 7_400_000 {
        std::thread::yield_now();
    }
    // No whole body finds room now, however many come at once.
    let clients: Vec<_> = (HOLDERS..CONNECTIONS)
        .map(|index| {
            let address = served.address().to_owned();
            std::thread::spawn(move || begin(&address, index).finish())
        })
        .collect();
    let refused: Vec<(u16, String)> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    for (status, answer) in &refused {
        match status {
            503 => assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}"),
            // The connection was closed while the client was still sending.
            0 => assert_eq!(answer, ""),
            other => panic!("{other}: {answer}"),
        }
    }
    assert!(refused.iter().any(|(status, _)| *status == 503), "nobody was told why");
    let grown = peak_bytes(&served) - before;
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes more than at rest, of {CONNECTIONS} MiB that were sent");
    // There is room for half of the rest of those who hold it.
    let answers: Vec<(u16, String)> = holders.into_iter().map(Begun::finish).collect();
    let stored: Vec<usize> = (0..HOLDERS).filter(|index| answers[*index].0 == 200).collect();
    assert!(!stored.is_empty(), "{answers:?}");
    for index in stored {
        assert!(served.get(&format!("/api/spans/t{index}/s{index}")).contains("\"input\""));
    }
    // And then it goes on.
    served.put(
        "default",
        &[serde_json::json!({"id": "after", "trace_id": "t", "name": "n", "start_timestamp": 0})],
    );
    assert_eq!(metric(&served, "endspan_in_flight_bytes"), 0);
}

fn metric(served: &Served, name: &str) -> u64 {
    let page = served.get("/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no metric {name}"))
}
