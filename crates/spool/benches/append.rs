//! What one append costs the caller, against a bare copy and a plain queue, in one run.
//!
//! `cargo bench -p endspan-spool`. A burst fills about one segment and is timed; what the consumer does between bursts
//! (read, resolve, maintain) is timed apart. Medians over bursts, nanoseconds per record.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use endspan_spool::{Log, Meta, Opened, Options, Record};
use parking_lot::Mutex;

const SEGMENT_BYTES: usize = 2 << 20;
const BURSTS: usize = 300;

fn main() {
    let sizes = [0usize, 300, 10_000];
    println!("{:<44} {:>9} {:>9} {:>9}", "ns per record (median of bursts)", "0 B", "300 B", "10 kB");
    row("copy to a buffer", sizes.map(copy));
    row("plain queue: move a Vec into Mutex<Vec>", sizes.map(queue));
    row("append, anonymous memory", sizes.map(|size| append(size, None).0));
    let base = std::env::var_os("SPOOL_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = base.join(format!("endspan-spool-bench-{}", std::process::id()));
    let spooled = sizes.map(|size| append(size, Some(directory.clone())));
    row("append, mapped file", spooled.map(|(append, _)| append));
    row("consumer: poll, resolve, maintain (file)", spooled.map(|(_, consume)| consume));
    row("append, mapped file, given time", sizes.map(|size| timed(size, Some(directory.clone()), 1).0));
    let _ = std::fs::remove_dir_all(&directory);
}

fn row(name: &str, values: [f64; 3]) {
    println!("{name:<44} {:>9.1} {:>9.1} {:>9.1}", values[0], values[1], values[2]);
}

fn burst(size: usize) -> usize {
    (SEGMENT_BYTES - 4096) / (size + 32)
}

fn median(mut samples: Vec<Duration>, per: usize) -> f64 {
    samples.sort_unstable();
    samples[samples.len() / 2].as_nanos() as f64 / per as f64
}

/// Sources that differ, so that not only one cache line is read; like a buffer into which spans are encoded.
fn source(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 7) as u8).collect()
}

fn copy(size: usize) -> f64 {
    let source = source(size);
    let count = burst(size);
    let mut target = vec![0u8; SEGMENT_BYTES];
    let samples = (0..BURSTS)
        .map(|_| {
            let start = Instant::now();
            for chunk in target.chunks_exact_mut(size + 32).take(count) {
                chunk[..size].copy_from_slice(black_box(&source));
            }
            let time = start.elapsed();
            black_box(&target);
            time
        })
        .collect();
    median(samples, count)
}

fn queue(size: usize) -> f64 {
    let count = burst(size);
    let queue = Mutex::new(Vec::with_capacity(count));
    let samples = (0..BURSTS)
        .map(|_| {
            let payloads: Vec<Vec<u8>> = (0..count).map(|_| source(size)).collect();
            let start = Instant::now();
            for payload in payloads {
                queue.lock().push(payload);
            }
            let time = start.elapsed();
            queue.lock().clear();
            time
        })
        .collect();
    median(samples, count)
}

fn append(size: usize, directory: Option<PathBuf>) -> (f64, f64) {
    timed(size, directory, 0)
}

fn timed(size: usize, directory: Option<PathBuf>, appended_unix_nanos: u64) -> (f64, f64) {
    let source = source(size);
    let options =
        Options { directory, segment_bytes: SEGMENT_BYTES, prepared_segments: 2, ..Options::default() };
    let Ok(Opened { log, mut consumer }) = Log::open(options) else { return (0.0, 0.0) };
    let count = burst(size);
    let mut out: Vec<Record> = Vec::with_capacity(count);
    let mut appends = Vec::new();
    let mut consumptions = Vec::new();
    let meta = Meta { appended_unix_nanos, ..Meta::kind(1) };
    for _ in 0..BURSTS {
        let start = Instant::now();
        for _ in 0..count {
            let _ = black_box(log.append(meta, &[black_box(&source)]));
        }
        appends.push(start.elapsed());
        let start = Instant::now();
        out.clear();
        while consumer.poll(1000, usize::MAX, &mut out) > 0 {}
        assert_eq!(out.len(), count);
        for record in &out {
            record.mark(0);
        }
        consumer.maintain();
        consumptions.push(start.elapsed());
    }
    assert_eq!(log.stats().unspooled_records, 0);
    (median(appends, count), median(consumptions, count))
}
