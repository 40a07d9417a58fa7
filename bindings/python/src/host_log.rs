//! What the pipeline says, handed to Python's `logging`.
//!
//! The pipeline's threads never wait for the GIL: lines go through a channel to a thread that does nothing else. Once the
//! interpreter is ending, lines go to standard error.
//!
//! That thread imports nothing. An import may register hooks for forks, as that of `logging` does; were it done while
//! another thread is inside `os.fork`, between the hooks before and after, that fork would run half of them.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// A line and its level as Python numbers it.
type Line = (i32, String);

/// The thread that speaks to Python: of which process it is, its lines, and what closes when it is gone.
type Speaker = (u32, Sender<Line>, Receiver<()>);

/// This process's speaker. A forked child gets another lock: its parent's may be held there for ever.
static LINES: AtomicPtr<Mutex<Option<Speaker>>> = AtomicPtr::new(std::ptr::null_mut());
static ENDING: AtomicBool = AtomicBool::new(false);
/// `logging.getLogger`, imported by the thread that imports this package.
static GET_LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
/// How long the end of the interpreter waits for a logging handler of the program.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Takes the place of the subscriber of this library's own copy of `tracing`.
pub(crate) fn begin(py: Python<'_>) -> PyResult<()> {
    GET_LOGGER.get_or_try_init(py, || py.import("logging")?.getattr("getLogger").map(Bound::unbind))?;
    forked();
    // A second module in the same process finds the first one's subscriber.
    let _ = tracing::subscriber::set_global_default(HostLog);
    Ok(())
}

/// Begins anew, without what belongs to the parent.
pub(crate) fn forked() {
    LINES.store(Box::into_raw(Box::new(Mutex::new(None))), Ordering::Release);
}

fn lines() -> Option<std::sync::MutexGuard<'static, Option<Speaker>>> {
    // SAFETY: a pointer there comes from a box in `forked`, and is never freed.
    let lines = unsafe { LINES.load(Ordering::Acquire).as_ref() }?;
    Some(lines.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Keeps away from Python from here on. Returns when no thread of ours speaks to it any more.
///
/// A thread that asks for the GIL of an interpreter that ends is unwound by force up to CPython 3.13, which aborts the
/// process in a Rust frame; so it must be gone by then. The GIL is released meanwhile, since the thread may wait for it.
pub(crate) fn end(py: Python<'_>) {
    ENDING.store(true, Ordering::Relaxed);
    let Some((process, sender, gone)) = lines().and_then(|mut lines| lines.take()) else { return };
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
    let Some(mut lines) = lines() else { return };
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
                let Some(get_logger) = GET_LOGGER.get(py) else { return };
                let said = get_logger
                    .bind(py)
                    .call1(("endspan",))
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
