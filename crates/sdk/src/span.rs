use std::borrow::Cow;
use std::fmt;

use endspan_model::{SpanType, Status, Timestamp};
use endspan_spool::Held;

use crate::clock;
use crate::context::{self, Context, Entered};
use crate::error_record;
use crate::ids::IdText;
use crate::payload::{PayloadSource, set_member};
use crate::record::{Tag, Texts};
use crate::trace::Trace;
use crate::usage::{self, Usage};

mod builder;
mod pool;
mod write;

pub use builder::SpanBuilder;

/// A span under way. It ends when it is dropped, or by [`Span::end`].
///
/// What it holds at its end is what is stored. Nothing here blocks, fails or panics; on a no-op span every method does
/// nothing.
///
/// ```
/// # let tracer = endspan::Tracer::builder().spool(false).build();
/// use serde_json::json;
///
/// let trace = tracer.trace("a-trace");
/// let mut span = trace.span("answer").input(&json!({"question": "why?"})).start();
/// let mut child = span.child("think").start();
/// child.set_output(&json!({"thought": "because"}));
/// child.end();
/// span.set_output(&json!({"answer": "because"}));
/// ```
#[must_use = "a span ends when it is dropped"]
pub struct Span {
    open: Option<Box<Open>>,
}

/// What a span holds while it is open.
struct Open {
    trace: Trace,
    /// Ids, name and task, as they go into the log.
    texts: Texts,
    start: Timestamp,
    end: Option<Timestamp>,
    /// The process that started it.
    generation: u64,
    status: Option<Status>,
    span_type: Option<SpanType>,
    input: Option<PayloadSource>,
    output: Option<PayloadSource>,
    data: Option<PayloadSource>,
    expected: Option<Box<PayloadSource>>,
    /// What the spool holds of it for the case that this process dies.
    held: Option<Held>,
    /// A scope that is left without coming to its end was cancelled.
    in_scope: bool,
}

impl Span {
    const NOOP: Self = Self { open: None };

    /// Returns the span's id; empty for a no-op.
    pub fn id(&self) -> &str {
        self.open.as_ref().map_or("", |open| open.text(Tag::SpanId))
    }

    /// Returns the id of the span's trace; empty for a no-op.
    pub fn trace_id(&self) -> &str {
        self.open.as_ref().map_or("", |open| open.trace.id())
    }

    /// Returns the id of the span's parent, if it has one.
    pub fn parent_id(&self) -> Option<&str> {
        self.open.as_ref().map(|open| open.text(Tag::ParentId)).filter(|id| !id.is_empty())
    }

    /// Returns whether this span goes nowhere.
    pub const fn is_noop(&self) -> bool {
        self.open.is_none()
    }

    /// Sets the input, in place of what it was. Empty values count as none (see [`PayloadSource`]).
    pub fn set_input(&mut self, input: impl Into<PayloadSource>) {
        if let Some(open) = &mut self.open {
            open.input = accept(&open.trace, input.into());
        }
    }

    /// Sets the output, in place of what it was.
    pub fn set_output(&mut self, output: impl Into<PayloadSource>) {
        if let Some(open) = &mut self.open {
            open.output = accept(&open.trace, output.into());
        }
    }

    /// Sets the data (SGP calls it metadata), in place of what it was.
    pub fn set_data(&mut self, data: impl Into<PayloadSource>) {
        if let Some(open) = &mut self.open {
            open.data = accept(&open.trace, data.into());
        }
    }

    /// Sets one key of the data; the others stay. Data that is a list stays as it is.
    pub fn set_data_key(&mut self, key: &str, value: impl Into<PayloadSource>) {
        if let Some(open) = &mut self.open
            && let Some(value) = checked(value.into())
        {
            set_member(&mut open.data, key, value.text.as_bytes());
        }
    }

    /// Sets what the output should have been (SGP `expected`).
    pub fn set_expected(&mut self, expected: impl Into<PayloadSource>) {
        if let Some(open) = &mut self.open {
            open.expected = accept(&open.trace, expected.into()).map(Box::new);
        }
    }

    /// Sets what kind of work this is, also as `__span_type__` in the data, where Agentex keeps it.
    pub fn set_type(&mut self, span_type: SpanType) {
        if let Some(open) = &mut self.open {
            open.span_type = Some(span_type);
            set_member(&mut open.data, "__span_type__", format!("\"{}\"", span_type.as_str()).as_bytes());
        }
    }

    /// Sets how the work ended. Without it SGP shows an error if one is recorded, else success.
    pub fn set_status(&mut self, status: Status) {
        if let Some(open) = &mut self.open {
            open.status = Some(status);
        }
    }

    /// Sets the end time, which [`Span::end`] then keeps.
    pub fn set_end_time(&mut self, end: Timestamp) {
        if let Some(open) = &mut self.open {
            open.end = Some(end);
        }
    }

    /// Records an error under `__error__` in the data: the name of its type and its text.
    pub fn record_error<E: fmt::Display + ?Sized>(&mut self, error: &E) {
        if let Some(open) = &mut self.open {
            error_record::set(&mut open.data, error_record::type_name::<E>(), &error.to_string());
        }
    }

    /// Records an error with a type name of your own.
    pub fn record_error_as(&mut self, error_type: &str, message: &str) {
        if let Some(open) = &mut self.open {
            error_record::set(&mut open.data, error_type, message);
        }
    }

    /// Records what a turn used: `data.usage`, and `data.cost_usd` when a cost is given here or in a
    /// [`TurnUsage`](crate::TurnUsage). Data that is a list is replaced, with a warning (`sdk-behaviour` 11.2).
    pub fn record_usage(&mut self, usage: impl Into<Usage>, cost_usd: Option<f64>) {
        if let Some(open) = &mut self.open {
            usage::record(&mut open.data, usage.into(), cost_usd);
        }
    }

    /// Begins a child of this span.
    pub fn child(&self, name: impl Into<Cow<'static, str>>) -> SpanBuilder {
        match &self.open {
            Some(open) => open.trace.span(name).parent_of(open.id()),
            None => Trace { inner: None }.span(name),
        }
    }

    /// Makes this span the parent of the spans that this thread starts until the guard is dropped.
    ///
    /// Not for use across an `await`: there, [`SpanBuilder::scope`] and [`SpanBuilder::instrument`] do the right thing.
    pub fn enter(&self) -> Current {
        Current { _entered: self.open.as_ref().map(|open| context::enter(Some(open.context()))) }
    }

    pub(crate) fn context(&self) -> Option<Context> {
        self.open.as_ref().map(|open| open.context())
    }

    /// Ends the span now. The same as dropping it, in a word.
    pub fn end(mut self) {
        self.finish(true);
    }

    fn finish(&mut self, explicitly: bool) {
        let Some(mut open) = self.open.take() else { return };
        // A child process that drops a copy of its parent's span has not ended it.
        if !explicitly && open.generation != endspan_spool::fork_generation() {
            return;
        }
        if std::thread::panicking() {
            error_record::set(&mut open.data, "panic", "the thread panicked");
        } else if open.in_scope {
            error_record::set(&mut open.data, "Cancelled", "the scope was left before it came to its end");
            open.status.get_or_insert(Status::Canceled);
        }
        // The clock may have been set back meanwhile, and no span ends before it starts.
        let end = *open.end.get_or_insert_with(|| clock::now().max(open.start));
        open.write_end(end);
        pool::give(open);
    }

    pub(crate) fn mark_scope(&mut self, in_scope: bool) {
        if let Some(open) = &mut self.open {
            open.in_scope = in_scope;
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.finish(false);
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Span").field("trace_id", &self.trace_id()).field("id", &self.id()).finish()
    }
}

impl Open {
    /// Memory for a span that has not begun.
    fn blank() -> Box<Self> {
        Box::new(Self {
            trace: Trace { inner: None },
            texts: Texts::EMPTY,
            start: Timestamp::MIN,
            end: None,
            generation: 0,
            status: None,
            span_type: None,
            input: None,
            output: None,
            data: None,
            expected: None,
            held: None,
            in_scope: false,
        })
    }

    /// Forgets everything but bytes that are going to be overwritten.
    fn clear(&mut self) {
        let Self { trace, texts, start: _, end, generation: _, status, span_type, .. } = self;
        *trace = Trace { inner: None };
        texts.clear();
        (*end, *status, *span_type) = (None, None, None);
        let Self { input, output, data, expected, held, in_scope, .. } = self;
        for payload in [input, output, data] {
            *payload = None;
        }
        (*expected, *held, *in_scope) = (None, None, false);
    }

    fn text(&self, tag: Tag) -> &str {
        std::str::from_utf8(self.texts.text(tag)).unwrap_or_default()
    }

    fn id(&self) -> IdText {
        let id = self.texts.text(Tag::SpanId);
        id.try_into().map_or_else(|_| self.text(Tag::SpanId).into(), IdText::Uuid)
    }

    fn context(&self) -> Context {
        Context { trace: self.trace.clone(), span_id: self.id() }
    }
}

/// Keeps a span current on this thread until it is dropped.
#[must_use = "the span is current until this is dropped"]
pub struct Current {
    _entered: Option<Entered>,
}

/// Takes a payload in: empty ones are none, failed ones are counted.
fn accept(trace: &Trace, source: PayloadSource) -> Option<PayloadSource> {
    if source.failed
        && let Some(inner) = &trace.inner
    {
        inner.pipeline.note_unencodable();
    }
    (!source.is_absent()).then_some(source)
}

/// Returns a payload that is certainly JSON, as part of another one.
fn checked(source: PayloadSource) -> Option<PayloadSource> {
    if source.checked {
        return Some(source);
    }
    let text = source.text.as_bytes().to_vec();
    endspan_model::Payload::parse(text).ok().map(PayloadSource::from)
}
