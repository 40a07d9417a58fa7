//! `endspan delete`, and how long a server keeps spans.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::ServerArguments;
use crate::when::parse_moment;

/// How long a server keeps spans.
#[derive(Clone, Debug, Args)]
pub(crate) struct RetentionArguments {
    /// Delete a trace when all of its spans started more than this many days ago [default: never]
    #[arg(long, env = "ENDSPAN_RETAIN_DAYS", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) retain_days: Option<u32>,
    /// Delete an account's oldest traces while its spans take more than this on disk, like 500MB or 20GB
    /// [default: never]
    #[arg(long, env = "ENDSPAN_RETAIN_BYTES", value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) retain_bytes: Option<u64>,
    /// File with limits of accounts of their own; docs/security.md shows one
    #[arg(long, env = "ENDSPAN_RETENTION", value_name = "FILE")]
    pub(crate) retention: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").args(["traces", "until"]).required(true))]
pub(crate) struct DeleteArguments {
    /// The ids of traces
    #[arg(value_name = "TRACE")]
    pub(crate) traces: Vec<String>,
    /// Every trace whose spans all started before this moment: a time, a date, or how long ago, like 30d
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    pub(crate) until: Option<String>,
    /// Of these, only traces whose spans all started at this moment or later
    #[arg(long, value_name = "WHEN", value_parser = parse_moment, requires = "until")]
    pub(crate) since: Option<String>,
    /// Delete without asking
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// Reads a number of bytes: `1500`, `500MB`, `20GB`, `1.5TB`, or with binary units `512MiB`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let expected = || "expected a size like 500MB, 20GB or 512MiB".to_owned();
    let split = text.find(|byte: char| byte.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        "tib" => 1_099_511_627_776.0,
        _ => return Err(expected()),
    };
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| plain).ok_or_else(expected)?;
    let bytes = number * unit;
    // Exact far beyond any disk.
    if bytes <= 9_007_199_254_740_992.0 { Ok(bytes as u64) } else { Err(expected()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in
            [("0", 0), ("1500", 1500), ("500MB", 500_000_000), ("1.5gb", 1_500_000_000), ("2KiB", 2048)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "-1", "1XB", "1e9", "1 GB", "99999TB", "9..9"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
