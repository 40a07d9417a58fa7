//! `endspan export` and `endspan import`: spans as lines of JSON.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use crate::args::{ExportArguments, ImportArguments};
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::format;
use crate::output::printable;
use crate::progress::Progress;

/// Most lines and bytes sent at once; a single line may be longer.
const BATCH_LINES: usize = 1000;
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Compresses about as fast as spans come, to a tenth.
const ZSTD_LEVEL: i32 = 3;

/// How every zstd frame begins.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

pub(crate) async fn export(arguments: ExportArguments) -> Result<(), CliError> {
    let client = Client::new(&arguments.server)?;
    let mut response = client.export(arguments.trace.as_deref()).await?;
    let mut sink = Sink::create(arguments.file.as_deref(), arguments.force)?;
    let progress = Progress::of_unknown_length("spans");
    let mut lines = 0_u64;
    loop {
        progress.at(lines);
        match response.chunk().await {
            Ok(Some(bytes)) => {
                lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
                sink.write(&bytes)?;
            }
            Ok(None) => break,
            Err(error) => return Err(client.unreachable(&error).with_hint("what was written is not whole")),
        }
    }
    sink.finish()?;
    progress.finish();
    eprintln!("exported {}", format::count(lines, "span"));
    Ok(())
}

/// Where an export goes.
enum Sink {
    Plain(Box<dyn Write>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Box<dyn Write>>>),
}

impl Sink {
    fn create(path: Option<&Path>, force: bool) -> Result<Self, CliError> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Plain(Box::new(BufWriter::new(io::stdout()))));
        };
        let mut options = File::options();
        options.write(true).create(true).truncate(true).create_new(!force);
        // Spans hold what people said to agents.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| {
            let cannot = CliError::new(Exit::Local, format!("cannot write {}: {error}", path.display()));
            match error.kind() {
                io::ErrorKind::AlreadyExists => cannot.with_hint("--force writes over it"),
                _ => cannot,
            }
        })?;
        let plain: Box<dyn Write> = Box::new(BufWriter::new(file));
        if path.extension().is_none_or(|extension| extension != "zst") {
            return Ok(Self::Plain(plain));
        }
        Ok(Self::Zstd(Box::new(zstd::stream::write::Encoder::new(plain, ZSTD_LEVEL)?)))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(plain) => plain.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut plain) => plain.flush(),
            Self::Zstd(encoder) => encoder.finish()?.flush(),
        }
    }
}

pub(crate) async fn import(arguments: ImportArguments) -> Result<(), CliError> {
    let client = Client::new(&arguments.server)?;
    let mut input = open(arguments.file.as_deref())?;
    let progress = Progress::of_unknown_length("spans");
    let cannot = |error: io::Error| CliError::new(Exit::Local, format!("cannot read: {error}"));
    let mut totals = Totals::default();
    let mut line = Vec::new();
    let mut batch = Batch::default();
    loop {
        line.clear();
        let end = input.read_until(b'\n', &mut line).map_err(cannot)? == 0;
        let full = batch.lines >= BATCH_LINES || batch.text.len() + line.len() > BATCH_BYTES;
        if batch.lines > 0 && (end || full) {
            totals.send(&client, std::mem::take(&mut batch), &progress).await?;
        }
        if end {
            break;
        }
        totals.lines += 1;
        progress.at(totals.lines);
        if batch.lines == 0 {
            batch.first = totals.lines;
        }
        batch.lines += 1;
        batch.text.extend_from_slice(&line);
    }
    progress.finish();
    eprintln!(
        "imported: {} stored, {} already there in a better version, {} refused",
        totals.stored, totals.superseded, totals.rejected
    );
    if totals.assessments_refused > 0 {
        return Err(CliError::new(
            Exit::NotFound,
            format!("{} could not be stored", format::count(totals.assessments_refused, "assessment")),
        ));
    }
    if totals.rejected > 0 {
        return Err(CliError::new(
            Exit::NotFound,
            format!("{} could not be stored", format::count(totals.rejected, "line")),
        ));
    }
    Ok(())
}

fn open(path: Option<&Path>) -> Result<Box<dyn BufRead>, CliError> {
    let raw: Box<dyn Read> = match path.filter(|path| *path != Path::new("-")) {
        Some(path) => Box::new(File::open(path).map_err(|error| {
            CliError::new(Exit::Local, format!("cannot read {}: {error}", path.display()))
        })?),
        None => Box::new(io::stdin()),
    };
    let mut raw = BufReader::with_capacity(256 * 1024, raw);
    let compressed = raw.fill_buf().is_ok_and(|begin| begin.starts_with(&ZSTD_MAGIC));
    if !compressed {
        return Ok(Box::new(raw));
    }
    let decoder = zstd::stream::read::Decoder::with_buffer(raw)
        .map_err(|error| CliError::new(Exit::Local, format!("cannot read: {error}")))?;
    Ok(Box::new(BufReader::new(decoder)))
}

#[derive(Default)]
struct Batch {
    text: Vec<u8>,
    lines: usize,
    /// The number of its first line in the file.
    first: u64,
}

#[derive(Default)]
struct Totals {
    lines: u64,
    stored: u64,
    superseded: u64,
    rejected: u64,
    assessments_refused: u64,
}

impl Totals {
    async fn send(&mut self, client: &Client, batch: Batch, progress: &Progress) -> Result<(), CliError> {
        let answer = client.import(batch.text).await?;
        self.stored += answer.stored;
        self.superseded += answer.superseded;
        self.rejected += answer.rejected;
        self.assessments_refused += answer.assessments_refused;
        for error in &answer.errors {
            progress.say(&format!("line {}: {}", batch.first + error.line - 1, printable(&error.message)));
        }
        Ok(())
    }
}
