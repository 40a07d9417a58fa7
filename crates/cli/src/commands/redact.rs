//! `endspan redact`: what would be taken out of a text before it is stored.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use endspan_redaction::{Counts, Pattern, RedactionConfig, Redactor};

use crate::args::RedactArguments;
use crate::error::{CliError, Exit};
use crate::format;
use crate::output::Output;
use crate::redaction;

pub(crate) fn run(arguments: RedactArguments, mut output: Output) -> Result<(), CliError> {
    let (config, redactor) = redaction::read(&arguments.redaction)?;
    let Some(redactor) = redactor else {
        return Err(CliError::new(Exit::Usage, "--no-redact all leaves nothing to look for"));
    };
    let mut input = open(arguments.file.as_deref())?;
    let mut counts = Counts::default();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        let redacted = redact_line(&redactor, &line, &mut counts);
        if !arguments.quiet {
            output.line(redacted)?;
        }
        line.clear();
    }
    output.flush()?;
    report(&config, &counts);
    Ok(())
}

/// A line of JSON is read as a payload, with keys and escapes; any other as plain text.
fn redact_line(redactor: &Redactor, line: &[u8], counts: &mut Counts) -> Vec<u8> {
    if serde_json::from_slice::<&serde_json::value::RawValue>(line).is_ok() {
        let Some((redacted, found)) = redactor.redact_json(line) else { return line.to_vec() };
        counts.add(&found);
        return redacted;
    }
    let mut text = String::from_utf8_lossy(line).into_owned();
    redactor.redact_text(&mut text, counts);
    text.into_bytes()
}

fn report(config: &RedactionConfig, counts: &Counts) {
    eprintln!("found {}", format::count(counts.total(), "credential"));
    for pattern in Pattern::ALL {
        if counts.of(pattern) > 0 {
            eprintln!("{:>7}  {}", counts.of(pattern), pattern.as_str());
        }
    }
    for (index, name) in redaction::custom_names(config).enumerate() {
        if counts.of_custom(index) > 0 {
            eprintln!("{:>7}  {name}", counts.of_custom(index));
        }
    }
}

fn open(path: Option<&Path>) -> Result<Box<dyn BufRead>, CliError> {
    let raw: Box<dyn Read> = match path.filter(|path| *path != Path::new("-")) {
        Some(path) => Box::new(File::open(path).map_err(|error| {
            CliError::new(Exit::Local, format!("cannot read {}: {error}", path.display()))
        })?),
        None => Box::new(io::stdin()),
    };
    Ok(Box::new(BufReader::new(raw)))
}
