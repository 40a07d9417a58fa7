//! A minimal HTTP/1.1 sink: reads whole requests, answers 200, counts bytes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// Prints its address, then serves until killed.
pub fn serve(delay_ms: u64) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || answer(stream, Duration::from_millis(delay_ms)));
    }
    Ok(())
}

fn answer(mut stream: TcpStream, delay: Duration) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 1 << 20];
    let mut filled = 0;
    loop {
        let head_end = loop {
            if let Some(at) = buffer[..filled].windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let read = stream.read(&mut buffer[filled..])?;
            if read == 0 {
                return Ok(());
            }
            filled += read;
        };
        let head = std::str::from_utf8(&buffer[..head_end])?.to_ascii_lowercase();
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .context("content-length")?
            .trim()
            .parse()?;
        let mut left = (head_end + length).saturating_sub(filled);
        filled = filled.saturating_sub(head_end + length);
        while left > 0 {
            let room = left.min(buffer.len());
            let read = stream.read(&mut buffer[..room])?;
            if read == 0 {
                return Ok(());
            }
            left -= read;
        }
        std::thread::sleep(delay);
        let (kind, body) = if head.contains("application/x-protobuf") {
            ("application/x-protobuf", "")
        } else {
            ("application/json", "{}")
        };
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}
