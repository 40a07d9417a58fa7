//! Spans a second from one producer, flat out, until a local sink has acknowledged all of them.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};

use crate::payload::chat;

/// The pipelines.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Who {
    /// endspan, PUT /v5/spans/batch, spool on.
    Endspan,
    /// endspan, PUT /v5/spans/batch, spool off.
    EndspanMemory,
    /// OpenTelemetry, OTLP/HTTP protobuf, batches of 512.
    OpenTelemetry,
    /// No pipeline at all: as many bytes written to a file, which any spool does at least.
    BareFile,
}

/// Bytes of a span's record beside its payloads.
const RECORD_BYTES: usize = 256;

/// Memory that is touched and given back before each cell. A virtual machine may have lent it to its host, and getting it
/// back takes ten times as long as anything measured here.
const WARM_BYTES: usize = 400 << 20;

/// Prints the table.
pub fn run(runs: usize) -> Result<()> {
    println!("| pipeline | payload | sink delay | spans/s | CPU s per 100,000 |");
    println!("|---|---|---|---|---|");
    for (bytes, spans, delay_ms) in [(300, 200_000, 0), (10_000, 20_000, 0), (300, 20_000, 150)] {
        for who in ["endspan", "endspan-memory", "open-telemetry", "bare-file"] {
            if who == "bare-file" && delay_ms > 0 {
                continue;
            }
            let mut cells = Vec::new();
            for _ in 0..runs {
                if delay_ms == 0 {
                    warm();
                }
                cells.push(one(who, bytes, spans, delay_ms)?);
            }
            let middle = |column: fn(&(f64, f64)) -> f64| {
                let mut values: Vec<f64> = cells.iter().map(column).collect();
                values.sort_by(f64::total_cmp);
                values[values.len() / 2]
            };
            println!(
                "| {who} | {bytes} B | {delay_ms} ms | {:.0} | {:.3} |",
                middle(|cell| cell.0),
                middle(|cell| cell.1)
            );
        }
    }
    Ok(())
}

fn warm() {
    let mut memory = vec![0_u8; WARM_BYTES];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&memory);
}

struct Sink(Child);

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn one(who: &str, bytes: usize, spans: usize, delay_ms: u64) -> Result<(f64, f64)> {
    let program = std::env::current_exe()?;
    let child = Command::new(&program)
        .args(["sink", "--delay-ms", &delay_ms.to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut sink = Sink(child);
    let mut address = String::new();
    BufReader::new(sink.0.stdout.take().context("stdout")?).read_line(&mut address)?;
    let cell = Command::new(&program)
        .args(["cell", who, &bytes.to_string(), &spans.to_string(), address.trim()])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(cell.status.success(), "{who} failed");
    let text = String::from_utf8(cell.stdout)?;
    let mut numbers = text.split_whitespace().map(str::parse::<f64>);
    Ok((numbers.next().context("rate")??, numbers.next().context("cpu")??))
}

/// Runs one cell and prints spans a second and CPU seconds per 100,000 spans.
pub fn cell(who: Who, bytes: usize, spans: usize, address: &str) -> Result<()> {
    let half = chat(bytes / 2);
    let (begin, wall) = match who {
        Who::Endspan | Who::EndspanMemory => {
            let spool = tempfile::tempdir()?;
            let exporter = endspan::SgpExporter::builder()
                .api_key("bench")
                .account_id("bench")
                .base_url(format!("http://{address}"))
                .build();
            let mut builder =
                endspan::Tracer::builder().exporter(exporter).queue_bytes(1 << 30).spool_bytes(1 << 30);
            builder = match who {
                Who::Endspan => builder.spool_directory(spool.path()),
                _ => builder.spool(false),
            };
            let tracer = builder.build();
            let trace = tracer.new_trace();
            let begin = (cpu_seconds(), Instant::now());
            for _ in 0..spans {
                let mut span = trace.span("child").start();
                span.set_input(&half);
                span.set_output(&half);
                span.end();
            }
            let report = tracer.flush(Duration::from_secs(300));
            let wall = begin.1.elapsed();
            ensure!(report.delivered() == spans as u64, "not all delivered: {report}");
            (begin.0, wall)
        }
        Who::OpenTelemetry => {
            // The exporter's HTTP client asks for a provider even where it never speaks TLS.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let exporter = opentelemetry_otlp::SpanExporter::builder()
                .with_http()
                .with_endpoint(format!("http://{address}/v1/traces"))
                .with_headers(Default::default())
                .build()?;
            let config = BatchConfigBuilder::default().with_max_queue_size(spans + 1).build();
            let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
            let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
            let tracer = provider.tracer("bench");
            let begin = (cpu_seconds(), Instant::now());
            for _ in 0..spans {
                let mut span = tracer.start("child");
                span.set_attribute(KeyValue::new("input", half.to_string()));
                span.set_attribute(KeyValue::new("output", half.to_string()));
                span.end();
            }
            // Gives up after five seconds, which a slow backend takes longer than; what is left goes on.
            while let Err(error) = provider.force_flush() {
                ensure!(begin.1.elapsed() < Duration::from_secs(60), "{error}");
            }
            (begin.0, begin.1.elapsed())
        }
        Who::BareFile => {
            let mut file = tempfile::tempfile()?;
            let piece = vec![1_u8; 2 << 20];
            let begin = (cpu_seconds(), Instant::now());
            let mut left = spans * (bytes + RECORD_BYTES);
            while left > 0 {
                let some = left.min(piece.len());
                file.write_all(&piece[..some])?;
                left -= some;
            }
            (begin.0, begin.1.elapsed())
        }
    };
    let cpu = cpu_seconds() - begin;
    println!("{} {}", spans as f64 / wall.as_secs_f64(), cpu * 1e5 / spans as f64);
    Ok(())
}

fn cpu_seconds() -> f64 {
    // SAFETY: getrusage fills the struct that it is given, which may be all zeros before.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
