//! Runs every target on its corpus, and on mutations of it for as long as asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a broken promise fails the test")]

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use endspan_fuzz::mutate::mutate;
use endspan_fuzz::targets::ALL;
use endspan_server::{Config, Server};
use endspan_store::memory::MemoryStore;
use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long each target runs.
fn time() -> Duration {
    let seconds = std::env::var("ENDSPAN_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(1.0))
}

fn random() -> (u64, Rng) {
    let seed = std::env::var("ENDSPAN_FUZZ_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(0);
    (seed, Rng::with_seed(seed))
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.into_iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(!corpus.is_empty(), "{} is empty", folder.display());
    corpus
}

#[test]
fn every_decoder_keeps_its_promises() {
    for (name, target) in ALL {
        let corpus = corpus(name);
        corpus.iter().for_each(|bytes| target(bytes));
        let (seed, mut random) = random();
        let (start, mut runs) = (Instant::now(), 0_u64);
        while start.elapsed() < time() {
            let mut bytes = corpus[random.usize(0..corpus.len())].clone();
            mutate(&mut bytes, &corpus, &mut random);
            let run = std::panic::catch_unwind(AssertUnwindSafe(|| target(&bytes)));
            if let Err(panic) = run {
                eprintln!("{name}, seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
                std::panic::resume_unwind(panic);
            }
            runs += 1;
        }
        println!("{name}: {runs} runs from seed {seed}");
    }
}

/// Reads one answer; returns its status, and whether the connection goes on.
async fn answer(stream: &mut TcpStream) -> Option<(u16, bool)> {
    let mut read = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let (head, length) = loop {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let line = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            break (head.clone(), line.and_then(|line| line.parse::<usize>().ok()));
        }
    };
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let start = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    // An answer without a length is a stream: no more of it is read.
    let Some(length) = length else { return Some((status, false)) };
    while read.len() < start + length {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&buffer[..count]);
    }
    Some((status, !head.contains("connection: close")))
}

/// Each file of the corpus is a request line and a content type, a blank line, and a body. All are mutated; the server must
/// answer without a failure of its own, or refuse and close.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_answers_whatever_comes() {
    let corpus = corpus("server");
    let config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() };
    let server = Server::bind(config, Arc::new(MemoryStore::new())).await.unwrap();
    let address = server.addr();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    let (seed, mut random) = random();
    let (start, mut runs) = (Instant::now(), 0_u64);
    let mut stream = None;
    while start.elapsed() < time() || runs < corpus.len() as u64 {
        let mut bytes = match usize::try_from(runs) {
            Ok(run) if run < corpus.len() => corpus[run].clone(),
            _ => corpus[random.usize(0..corpus.len())].clone(),
        };
        if runs >= corpus.len() as u64 {
            mutate(&mut bytes, &corpus, &mut random);
        }
        runs += 1;
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
        let (head, body) = (&bytes[..end], bytes.get(end + 2..).unwrap_or_default());
        let mut request: Vec<u8> = Vec::new();
        for line in head.split(|byte| *byte == b'\n') {
            request.extend_from_slice(line);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(
            format!("host: localhost\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(),
        );
        request.extend_from_slice(body);
        let mut connection = match stream.take() {
            Some(stream) => stream,
            None => TcpStream::connect(address).await.unwrap(),
        };
        if connection.write_all(&request).await.is_err() {
            continue;
        }
        // Bytes that are no whole request leave both sides waiting.
        let answered = tokio::time::timeout(Duration::from_secs(2), answer(&mut connection)).await;
        let Ok(Some((status, goes_on))) = answered else { continue };
        assert!(status < 500, "seed {seed}: {status} to {:?}", String::from_utf8_lossy(&request));
        if goes_on {
            stream = Some(connection);
        }
    }
    drop(stream);
    let mut last = TcpStream::connect(address).await.unwrap();
    last.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut last).await.unwrap().0, 200);
    drop(last);
    let _ = stop.send(());
    running.await.unwrap().unwrap();
    println!("server: {runs} requests from seed {seed}");
}
