//! `endspan doctor`: how a server is doing, and what it would be told here.

use std::time::Instant;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};
use serde_json::Value;

use crate::args::{Arguments, DoctorArguments};
use crate::client::Client;
use crate::error::{CliError, Exit};
use crate::format;
use crate::metrics::Metrics;
use crate::output::{Output, Style, printable};

/// What is worth a word.
const SLOW_WRITE_SECONDS: f64 = 1.0;
const SLOW_READ_SECONDS: f64 = 2.5;
/// Share of stored payload that waits for compaction.
const MUCH_SUPERSEDED: f64 = 0.5;

pub(crate) async fn run(arguments: DoctorArguments, output: Output) -> Result<(), CliError> {
    let client = Client::new(&arguments.server)?;
    let mut doctor = Doctor { output, problems: Vec::new() };
    let start = Instant::now();
    let info: Value = client.figures("info").await?;
    let round_trip = start.elapsed();
    let stats: Value = client.figures("stats").await?;
    let metrics = client.metrics().await.map(|text| Metrics::parse(&text));
    if arguments.server.json {
        let configuration: serde_json::Map<String, Value> = configuration()
            .into_iter()
            .map(|(name, value, origin)| (name, serde_json::json!({"value": value, "origin": origin})))
            .collect();
        doctor.look(&stats, metrics.as_ref().ok());
        let report = serde_json::json!({"info": info, "stats": stats, "problems": doctor.problems,
            "configuration": configuration});
        doctor.output.line(report.to_string())?;
    } else {
        doctor.server(&client, &info, &stats, round_trip.as_nanos() as i128)?;
        doctor.store(&stats)?;
        match &metrics {
            Ok(metrics) => doctor.times(metrics)?,
            Err(_) => doctor.entry("times", "not told: /metrics needs a key with the role metrics")?,
        }
        doctor.look(&stats, metrics.as_ref().ok());
        doctor.configuration()?;
    }
    doctor.output.flush()?;
    if doctor.problems.is_empty() {
        if !arguments.server.json {
            eprintln!("nothing is wrong");
        }
        return Ok(());
    }
    if !arguments.server.json {
        for problem in &doctor.problems {
            eprintln!("problem: {problem}");
        }
    }
    Err(CliError::new(Exit::NotFound, format::count(doctor.problems.len() as u64, "problem")))
}

struct Doctor {
    output: Output,
    problems: Vec<String>,
}

impl Doctor {
    fn entry(&mut self, name: &str, value: impl std::fmt::Display) -> std::io::Result<()> {
        self.output.put(Style::Dim, format_args!("{name:<16}"))?;
        self.output.put(Style::Plain, format_args!("{value}"))?;
        self.output.end_line()
    }

    fn server(&mut self, client: &Client, info: &Value, stats: &Value, nanos: i128) -> std::io::Result<()> {
        let text = |value: &Value| printable(value.as_str().unwrap_or("?"));
        let (version, engine) = (text(&info["version"]), text(&info["engine"]));
        let answered = format::duration(nanos);
        self.entry("server", format_args!("{} endspan {version}, answered in {answered}", client.address()))?;
        let up = i128::from(number(&stats["uptime_seconds"])) * 1_000_000_000;
        self.entry("up", format::duration(up))?;
        self.entry("engine", format_args!("{engine}, schema {}", number(&stats["schema_version"])))
    }

    fn store(&mut self, stats: &Value) -> std::io::Result<()> {
        let field = |name: &str| number(&stats[name]);
        self.entry(
            "spans",
            format_args!("{} in {}", field("spans"), format::count(field("traces"), "trace")),
        )?;
        let (raw, stored) = (field("raw_payload_bytes"), field("stored_payload_bytes"));
        self.entry("disk", format::bytes(field("disk_bytes")))?;
        let share = if raw > 0 { 100.0 * stored as f64 / raw as f64 } else { 0.0 };
        let (raw, superseded) = (format::bytes(raw), format::bytes(field("superseded_payload_bytes")));
        let stored = format::bytes(stored);
        self.entry(
            "payloads",
            format_args!("{raw}, stored as {stored} ({share:.1}%), {superseded} of it superseded"),
        )?;
        for protocol in stats["ingest"].as_array().into_iter().flatten() {
            let received = number(&protocol["received"]);
            if received > 0 {
                let name = format!("from {}", printable(protocol["protocol"].as_str().unwrap_or("?")));
                let (stored, superseded) = (number(&protocol["stored"]), number(&protocol["superseded"]));
                self.entry(
                    &name,
                    format_args!("{received} received, {stored} stored, {superseded} superseded"),
                )?;
            }
        }
        let retention = &stats["retention"];
        let days = retention["max_age_seconds"].as_u64().map(|seconds| format!("{} days", seconds / 86_400));
        let size = retention["max_bytes"].as_u64().map(format::bytes);
        let kept: Vec<String> = days.into_iter().chain(size).collect();
        self.entry("kept", if kept.is_empty() { "for ever".to_owned() } else { kept.join(", ") })
    }

    fn times(&mut self, metrics: &Metrics) -> std::io::Result<()> {
        let shown = |seconds: Option<f64>| {
            seconds
                .map_or("-".to_owned(), |seconds| format!("<= {}", format::duration((seconds * 1e9) as i128)))
        };
        let writes = metrics.histogram("endspan_store_write_duration_seconds", "");
        let (median, worst) = (shown(writes.quantile(0.5)), shown(writes.quantile(0.99)));
        self.entry("writes", format_args!("{}, half {median}, 99% {worst}", writes.count()))?;
        for route in metrics.labels("endspan_http_request_duration_seconds_count", "route") {
            let times =
                metrics.histogram("endspan_http_request_duration_seconds", &format!("route=\"{route}\""));
            if times.count() > 0 {
                let (median, worst) = (shown(times.quantile(0.5)), shown(times.quantile(0.99)));
                self.entry(
                    &format!("  {route}"),
                    format_args!(" {}, half {median}, 99% {worst}", times.count()),
                )?;
            }
        }
        Ok(())
    }

    /// Collects what is wrong.
    fn look(&mut self, stats: &Value, metrics: Option<&Metrics>) {
        let mut problem = |text: String| self.problems.push(text);
        let (stored, superseded) =
            (number(&stats["stored_payload_bytes"]), number(&stats["superseded_payload_bytes"]));
        if stored > 64_000_000 && superseded as f64 > MUCH_SUPERSEDED * stored as f64 {
            problem(format!(
                "{} of stored payload is superseded: compaction falls behind",
                format::bytes(superseded)
            ));
        }
        if stats["retention"]["failed"] == true {
            problem("the last round of retention failed: the server's log says why".to_owned());
        }
        for protocol in stats["ingest"].as_array().into_iter().flatten() {
            for (reason, count) in protocol["rejected"].as_object().into_iter().flatten() {
                if matches!(reason.as_str(), "overloaded" | "store_unavailable") {
                    let protocol = printable(protocol["protocol"].as_str().unwrap_or("?"));
                    let spans = format::count(number(count), "span");
                    problem(format!("{spans} from {protocol} refused since the start: {reason}"));
                }
            }
        }
        let Some(metrics) = metrics else { return };
        if let Some(seconds) = metrics.histogram("endspan_store_write_duration_seconds", "").quantile(0.99)
            && seconds > SLOW_WRITE_SECONDS
        {
            problem(format!("slow writes: of 100 one takes up to {seconds} s or more"));
        }
        for route in metrics.labels("endspan_http_request_duration_seconds_count", "route") {
            let times =
                metrics.histogram("endspan_http_request_duration_seconds", &format!("route=\"{route}\""));
            if let Some(seconds) = times.quantile(0.99).filter(|seconds| *seconds > SLOW_READ_SECONDS) {
                problem(format!("slow route {route}: of 100 requests one takes up to {seconds} s or more"));
            }
        }
        for (name, text) in [
            ("endspan_connections_refused_total", "connections refused because too many were open"),
            ("endspan_store_write_failures_total", "write requests that the store refused or failed"),
        ] {
            let count = metrics.value(name);
            if count > 0.0 {
                problem(format!("{count} {text}"));
            }
        }
    }

    fn configuration(&mut self) -> std::io::Result<()> {
        self.output.end_line()?;
        self.output.put(Style::Strong, "what `endspan serve` would be told here, and by whom")?;
        self.output.end_line()?;
        for (name, value, origin) in configuration() {
            self.output.put(Style::Plain, format_args!("  {name:<21}{:<33}", printable(&value)))?;
            self.output.put(Style::Dim, origin)?;
            self.output.end_line()?;
        }
        Ok(())
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Returns every setting of `serve` with its value and where that comes from.
fn configuration() -> Vec<(String, String, String)> {
    let command = Arguments::command();
    let Ok(matches) = command.clone().try_get_matches_from(["endspan", "serve"]) else { return Vec::new() };
    let (Some((_, serve)), Some(described)) = (matches.subcommand(), command.find_subcommand("serve")) else {
        return Vec::new();
    };
    let settings = described.get_arguments().filter(|argument| argument.get_long().is_some());
    settings
        .filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version" | "color"))
        .map(|argument| {
            let value = match value_of(serve, argument.get_id().as_str()) {
                // It may hold a password.
                value if argument.is_hide_env_values_set() && value != "-" => "(not shown)".to_owned(),
                value => value,
            };
            let origin = match serve.value_source(argument.get_id().as_str()) {
                Some(ValueSource::EnvVariable) => {
                    argument.get_env().map_or("environment".to_owned(), |name| {
                        format!("environment: {}", name.to_string_lossy())
                    })
                }
                Some(ValueSource::CommandLine) => "command line".to_owned(),
                _ => "default".to_owned(),
            };
            (argument.get_long().unwrap_or_default().to_owned(), value, origin)
        })
        .collect()
}

fn value_of(matches: &ArgMatches, id: &str) -> String {
    let raw = matches.try_get_raw(id).ok().flatten();
    let values: Vec<String> =
        raw.into_iter().flatten().map(|value| value.to_string_lossy().into_owned()).collect();
    if values.is_empty() { "-".to_owned() } else { values.join(",") }
}
