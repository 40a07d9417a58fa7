//! What the pipeline says, handed to Python's `logging`.
//!
//! The pipeline's threads never wait for the GIL: lines go through a channel to a thread that does nothing else. Once the
//! interpreter is ending, lines go to standard error.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// A line and its level as Python numbers it.
type Line = (i32, String);

/// The thread that speaks to Python: of which process it is, its lines, and what closes when it is gone.
type Speaker = (u32, Sender<Line>, Receiver<()>);

static LINES: Mutex<Option<Speaker>> = Mutex::new(None);
static ENDING: AtomicBool = AtomicBool::new(false);
/// How long the end of the interpreter waits for a logging handler of the program.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Takes the place of the subscriber of this library's own copy of `tracing`.
pub(crate) fn begin() {
    // A second module in the same process finds the first one's subscriber.
    let _ = tracing::subscriber::set_global_default(HostLog);
}

/// Keeps away from Python from here on. Returns when no thread of ours speaks to it any more.
///
/// A thread that asks for the GIL of an interpreter that ends is unwound by force up to CPython 3.13, which aborts the
/// process in a Rust frame; so it must be gone by then. The GIL is released meanwhile, since the thread may wait for it.
pub(crate) fn end(py: Python<'_>) {
    ENDING.store(true, Ordering::Relaxed);
    let speaker = LINES.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((process, sender, gone)) = speaker else { return };
    if process == std::process::id() {
        drop(sender);
        // The thread sends nothing: the channel closes when it is gone.
        let _ = py.detach(move || gone.recv_timeout(LAST_WORDS));
    }
}

struct HostLog;

impl Subscriber for HostLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::INFO && metadata.target().starts_with("endspan")
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::INFO)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = match *event.metadata().level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            _ => 20,
        };
        let mut text = Text::default();
        event.record(&mut text);
        say(level, text.message + &text.fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            // Writing into a String cannot fail.
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}

fn say(level: i32, line: String) {
    if ENDING.load(Ordering::Relaxed) {
        if level >= 30 {
            eprintln!("{line}");
        }
        return;
    }
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    let line = match &*lines {
        // A forked child has no thread; it gets its own.
        Some((of, sender, _)) if *of == process => match sender.send((level, line)) {
            Ok(()) => return,
            Err(unsent) => unsent.0,
        },
        _ => (level, line),
    };
    let (sender, receiver) = channel::<Line>();
    let _ = sender.send(line);
    let (leaves, gone) = channel::<()>();
    let thread = std::thread::Builder::new().name("endspan-log".to_owned()).spawn(move || {
        let _leaves = leaves;
        while let Ok((level, line)) = receiver.recv() {
            if ENDING.load(Ordering::Relaxed) {
                if level >= 30 {
                    eprintln!("{line}");
                }
                continue;
            }
            Python::attach(|py| {
                let said = py
                    .import("logging")
                    .and_then(|logging| logging.call_method1("getLogger", ("endspan",)))
                    .and_then(|logger| logger.call_method1("log", (level, "%s", line)));
                // A handler of the program that raises is the program's.
                drop(said);
            });
        }
    });
    if thread.is_ok() {
        *lines = Some((process, sender, gone));
    }
}
