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
    row("append, mapped file, 2 threads", sizes.map(|size| contended(size, directory.clone(), 2)));
    for (size, pause) in [(300, 300), (10_000, 6000)] {
        let (append, unspooled) = paced(size, pause, &directory);
        println!(
            "{size} B after {pause} ns of other work, consumer on a 1 ms tick: {append:.1} ns, \
             {unspooled:.2} % first in memory"
        );
    }
    println!("maintain() with nothing to do: {:.0} ns", idle(&directory));
    let _ = std::fs::remove_dir_all(&directory);
}

/// Several threads append at once; a burst is one segment. Wall time per record of one thread.
fn contended(size: usize, directory: PathBuf, threads: usize) -> f64 {
    let options = Options { directory: Some(directory), prepared_segments: 4, ..Options::default() };
    let Ok(Opened { log, mut consumer }) = Log::open(options) else { return 0.0 };
    let count = burst(size) / threads;
    let mut samples = Vec::new();
    let mut out = Vec::new();
    for _ in 0..BURSTS {
        let barrier = std::sync::Barrier::new(threads);
        let slowest = std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|_| {
                    scope.spawn(|| {
                        let source = source(size);
                        barrier.wait();
                        let start = Instant::now();
                        for _ in 0..count {
                            let _ = black_box(log.append(Meta::kind(1), &[black_box(&source)]));
                        }
                        start.elapsed()
                    })
                })
                .collect();
            running.into_iter().filter_map(|thread| thread.join().ok()).max().unwrap_or_default()
        });
        samples.push(slowest);
        out.clear();
        while consumer.poll(1000, usize::MAX, &mut out) > 0 {}
        for record in &out {
            record.mark(0);
        }
        consumer.maintain();
    }
    median(samples, count)
}

/// A producer that works `pause_ns` between appends, and a consumer as the SDK has it: on a tick, woken when a segment is
/// used up. Returns what an append cost and how many records went to memory first because no file was ready.
fn paced(size: usize, pause_ns: u64, directory: &std::path::Path) -> (f64, f64) {
    let options = Options { directory: Some(directory.to_path_buf()), ..Options::default() };
    let Ok(Opened { log, mut consumer }) = Log::open(options) else { return (0.0, 0.0) };
    let count = 300_000_000 / (size as u64 + 300);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let mut out = Vec::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(1));
                while consumer.maintain().more {}
                out.clear();
                while consumer.poll(10_000, usize::MAX, &mut out) > 0 {}
                for record in &out {
                    record.mark(0);
                }
            }
        });
        let source = source(size);
        let mut appending = Duration::ZERO;
        let mut appended = 0;
        let mut woken = false;
        while appended < count {
            let start = Instant::now();
            // Timed in small groups, for the clock's own cost.
            for _ in 0..10 {
                appended += u64::from(log.append(Meta::kind(1), &[black_box(&source)]).is_ok());
            }
            appending += start.elapsed();
            let wanted = log.wants_maintenance();
            if wanted && !woken {
                worker.thread().unpark();
            }
            woken = wanted;
            let until = Duration::from_nanos(pause_ns * 10);
            let start = Instant::now();
            while start.elapsed() < until {}
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let unspooled = log.stats().unspooled_records as f64 / appended as f64 * 100.0;
        (appending.as_nanos() as f64 / appended as f64, unspooled)
    })
}

fn idle(directory: &std::path::Path) -> f64 {
    let options = Options { directory: Some(directory.to_path_buf()), ..Options::default() };
    let Ok(Opened { log: _log, mut consumer }) = Log::open(options) else { return 0.0 };
    let start = Instant::now();
    for _ in 0..10_000 {
        black_box(consumer.maintain());
    }
    start.elapsed().as_nanos() as f64 / 10_000.0
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
