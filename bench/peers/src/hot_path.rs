//! The caller's cost per finished span.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use crate::payload::chat;
use crate::subjects::{BareQueue, Endspan, Fastrace, OpenTelemetry, Payload, Subject};

/// Spans of a burst: below every subject's queue bound.
const BURST_TRACES: usize = 300;
const BURST_TRACES_LARGE: usize = 100;
const SPANS_PER_TRACE: usize = 10;
const WARM_UP: Duration = Duration::from_millis(200);

const SPOOL_ON: &str = "endspan, spool on (its default)";
const SPOOL_OFF: &str = "endspan, spool off";

#[derive(Clone, Copy)]
enum Case {
    None,
    Moved(usize),
    Value(usize),
}

impl Case {
    const ALL: [(&'static str, Self); 5] = [
        ("none", Self::None),
        ("0.3 kB moved", Self::Moved(300)),
        ("10 kB moved", Self::Moved(10_000)),
        ("0.3 kB Value", Self::Value(300)),
        ("10 kB Value", Self::Value(10_000)),
    ];

    fn traces(self) -> usize {
        match self {
            Self::Moved(bytes) | Self::Value(bytes) if bytes > 1000 => BURST_TRACES_LARGE,
            _ => BURST_TRACES,
        }
    }
}

/// Prints a row a subject: median nanoseconds per span of each case.
pub fn run(samples: usize, only: &str, case: &str) -> Result<()> {
    let subjects: [(&str, fn() -> Box<dyn Subject>); 5] = [
        (SPOOL_ON, || Box::new(Endspan::new(true))),
        (SPOOL_OFF, || Box::new(Endspan::new(false))),
        ("bare queue push (floor)", || Box::new(BareQueue::new())),
        ("OpenTelemetry batch processor", || Box::new(OpenTelemetry::new())),
        ("fastrace", || Box::new(Fastrace::new())),
    ];
    let cases: Vec<(&str, Case)> = Case::ALL.into_iter().filter(|(name, _)| name.contains(case)).collect();
    let names: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
    println!("| ns per span, one thread | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(cases.len()));
    let print = |name: &str, cells: &[f64]| {
        let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:.0}")).collect();
        println!("| {name} | {} |", cells.join(" | "));
    };
    let mut with_spool = None;
    for (name, make) in subjects {
        if !name.contains(only) {
            continue;
        }
        let mut subject = make();
        // Threads, memory and clocks in the state that they are in most of the time.
        let begin = Instant::now();
        while begin.elapsed() < WARM_UP {
            burst(&mut *subject, Case::None);
        }
        let cells: Vec<f64> = cases.iter().map(|(_, case)| measure(&mut *subject, *case, samples)).collect();
        print(name, &cells);
        match (name, &with_spool) {
            (SPOOL_ON, _) => with_spool = Some(cells),
            (SPOOL_OFF, Some(with)) => {
                let added: Vec<f64> = with.iter().zip(&cells).map(|(with, without)| with - without).collect();
                print("what the spool adds", &added);
            }
            _ => {}
        }
    }
    let serialize: Vec<String> = cases
        .iter()
        .map(|(_, case)| match case {
            Case::Value(bytes) => format!("{:.0}", serialize_alone(*bytes, samples)),
            _ => String::new(),
        })
        .collect();
    println!("| serde_json alone | {} |", serialize.join(" | "));
    Ok(())
}

fn measure(subject: &mut dyn Subject, case: Case, samples: usize) -> f64 {
    let mut values: Vec<f64> = (0..samples + 2).map(|_| burst(subject, case)).skip(2).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn burst(subject: &mut dyn Subject, case: Case) -> f64 {
    let traces = case.traces();
    let mut moved: Vec<(String, String)> = Vec::new();
    let mut value: &'static Value = &Value::Null;
    match case {
        Case::None => {}
        Case::Moved(bytes) => {
            let half = chat(bytes / 2).to_string();
            moved = (0..traces * 9).map(|_| (half.clone(), half.clone())).collect();
        }
        // One tree of the process's life; leaking it keeps the clock free of reference counts.
        Case::Value(bytes) => value = Box::leak(Box::new(chat(bytes / 2))),
    }
    let begin = Instant::now();
    for _ in 0..traces {
        subject.trace(&mut || match case {
            Case::None => Payload::None,
            Case::Moved(_) => {
                moved.pop().map_or(Payload::None, |(input, output)| Payload::Moved(input, output))
            }
            Case::Value(_) => Payload::Value(value),
        });
    }
    let elapsed = begin.elapsed();
    subject.flush();
    elapsed.as_nanos() as f64 / (traces * SPANS_PER_TRACE) as f64
}

/// Serialising the payload alone, per span (0.9 payloads), into a fresh text.
fn serialize_alone(bytes: usize, samples: usize) -> f64 {
    let value = chat(bytes / 2);
    let mut values: Vec<f64> = (0..samples)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..9000 {
                std::hint::black_box(serde_json::to_string(&value).unwrap_or_default());
                std::hint::black_box(serde_json::to_string(&value).unwrap_or_default());
            }
            begin.elapsed().as_nanos() as f64 / 10_000.0
        })
        .collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
