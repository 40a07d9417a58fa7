//! A lean HTTP/1.1 client: requests are bytes made before the clock starts, so that the server is measured
//! and not the client. Keep-alive, `Content-Length` answers only.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Returns the bytes of one request.
pub fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}").into_bytes();
    if method != "GET" {
        bytes.extend_from_slice(b"content-type: application/json\r\n");
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    head_bytes: usize,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connect")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4 * 1024), head_bytes: 0 })
    }

    /// Sends a request and reads its whole answer; returns status and body length.
    pub async fn send(&mut self, request: &[u8]) -> Result<(u16, usize)> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (head_end, status, length) = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("connection closed by the server");
            }
            if let Some(head) = parse_head(&self.buffer)? {
                break head;
            }
        };
        self.head_bytes = head_end;
        while self.buffer.len() < head_end + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("answer cut short");
            }
        }
        Ok((status, length))
    }

    /// Wraps a stream that is connected.
    pub fn of(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new(), head_bytes: 0 }
    }

    /// Returns whether the last answer has a header, of which the name is given in lower case.
    pub fn has_header(&self, name: &str) -> bool {
        let head = String::from_utf8_lossy(&self.buffer[..self.head_bytes]).to_ascii_lowercase();
        head.contains(&format!("\r\n{name}:"))
    }

    /// Returns the body of the last answer.
    pub fn body(&self, length: usize) -> &[u8] {
        &self.buffer[self.buffer.len() - length..]
    }
}

fn parse_head(buffer: &[u8]) -> Result<Option<(usize, u16, usize)>> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&buffer[..end])?;
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).context("status line")?;
    let length = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, value)| value.trim().parse())?;
    Ok(Some((end + 4, status, length)))
}

/// The requests of a load, made before the clock starts.
pub type Requests = Rc<[Vec<u8>]>;

/// What a load did.
#[derive(Debug)]
pub struct Load {
    /// From the first request to the last answer.
    pub wall: Duration,
    /// Milliseconds of each request.
    pub latencies_ms: Vec<f64>,
}

/// Sends every request once over `connections` keep-alive connections as fast as the answers come.
pub fn run_closed(address: SocketAddr, requests: &Requests, connections: usize) -> Result<Load> {
    run(address, requests, connections, None)
}

/// Sends requests at a fixed rate; latency counts from the moment a request was due.
pub fn run_paced(
    address: SocketAddr,
    requests: &Requests,
    connections: usize,
    per_second: f64,
) -> Result<Load> {
    run(address, requests, connections, Some(Duration::from_secs_f64(1.0 / per_second)))
}

fn run(
    address: SocketAddr,
    requests: &Requests,
    connections: usize,
    interval: Option<Duration>,
) -> Result<Load> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let requests = requests.clone();
    let next = Rc::new(std::cell::Cell::new(0_usize));
    local.block_on(&runtime, async move {
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(Connection::open(address).await?);
        }
        let begin = Instant::now();
        let mut tasks = Vec::new();
        for mut connection in open {
            let (requests, next) = (requests.clone(), next.clone());
            tasks.push(tokio::task::spawn_local(async move {
                let mut latencies = Vec::new();
                loop {
                    let index = next.get();
                    let Some(request) = requests.get(index) else { return anyhow::Ok(latencies) };
                    next.set(index + 1);
                    let mut due = Instant::now();
                    if let Some(interval) = interval {
                        due = begin + interval * index as u32;
                        tokio::time::sleep_until(due.into()).await;
                    }
                    let (status, length) = connection.send(request).await?;
                    if !(200..300).contains(&status) {
                        bail!("status {status}: {}", String::from_utf8_lossy(connection.body(length)));
                    }
                    latencies.push(due.elapsed().as_secs_f64() * 1e3);
                }
            }));
        }
        let mut latencies_ms = Vec::with_capacity(requests.len());
        for task in tasks {
            latencies_ms.extend(task.await??);
        }
        Ok(Load { wall: begin.elapsed(), latencies_ms })
    })
}
