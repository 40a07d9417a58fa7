use std::borrow::Cow;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;

use endspan_model::{SpanType, Timestamp};

use super::{Open, Span, accept, pool};
use crate::ids::{self, IdText};
use crate::payload::PayloadSource;
use crate::record::{Tag, bounded};
use crate::trace::Trace;
use crate::{clock, context};

/// A span that has not started yet.
#[must_use = "nothing happens until the span is started"]
pub struct SpanBuilder {
    /// The span to be, where it is going to stay.
    open: Option<Box<Open>>,
    name: Cow<'static, str>,
    parent: Parent,
    id: Option<IdText>,
    start: Option<Timestamp>,
    task_id: Option<Box<str>>,
}

enum Parent {
    Ambient,
    None,
    Id(IdText),
}

impl SpanBuilder {
    #[inline]
    pub(crate) fn new(trace: Trace, name: Cow<'static, str>) -> Self {
        let open = (!trace.is_noop()).then(|| {
            let mut open = pool::take();
            open.trace = trace;
            open
        });
        Self { open, name, parent: Parent::Ambient, id: None, start: None, task_id: None }
    }

    pub(crate) fn parent_of(mut self, parent: IdText) -> Self {
        self.parent = Parent::Id(parent);
        self
    }

    /// Sets the parent, in place of the ambient one.
    pub fn parent(self, parent: &Span) -> Self {
        match &parent.open {
            Some(open) => self.parent_of(open.id()),
            None => self,
        }
    }

    /// Sets the parent by its id, for example one of another process. Empty: none.
    pub fn parent_id(mut self, parent: &str) -> Self {
        self.parent = if parent.is_empty() { Parent::None } else { Parent::Id(parent.into()) };
        self
    }

    /// Makes this a root span, whatever is ambient.
    pub fn root(mut self) -> Self {
        self.parent = Parent::None;
        self
    }

    /// Sets the id, in place of a new one.
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the start time, in place of now.
    pub fn start_time(mut self, start: Timestamp) -> Self {
        self.start = Some(start);
        self
    }

    /// Sets the input.
    pub fn input(mut self, input: impl Into<PayloadSource>) -> Self {
        if let Some(open) = &mut self.open {
            open.input = accept(&open.trace, input.into());
        }
        self
    }

    /// Sets the data (SGP calls it metadata).
    pub fn data(mut self, data: impl Into<PayloadSource>) -> Self {
        if let Some(open) = &mut self.open {
            open.data = accept(&open.trace, data.into());
        }
        self
    }

    /// Sets the Agentex task, in place of the trace's.
    pub fn task_id(mut self, task_id: impl Into<Box<str>>) -> Self {
        self.task_id = Some(task_id.into());
        self
    }

    /// Sets what kind of work this is.
    pub fn span_type(mut self, span_type: SpanType) -> Self {
        if let Some(open) = &mut self.open {
            open.span_type = Some(span_type);
        }
        self
    }

    /// Starts the span.
    pub fn start(self) -> Span {
        let Some(mut open) = self.open else { return Span::NOOP };
        let Some(inner) = &open.trace.inner else { return Span::NOOP };
        let start = self.start.unwrap_or_else(clock::now);
        let ambient;
        let parent_id = match &self.parent {
            Parent::Id(id) => Some(id.as_bytes()),
            Parent::None => None,
            Parent::Ambient => {
                ambient = ambient_parent(&open.trace);
                ambient.as_ref().map(IdText::as_bytes)
            }
        };
        let id = self.id.unwrap_or_else(|| ids::new_id(start));
        let task_id = self.task_id.as_ref().or(inner.task_id.as_ref());
        open.texts.fill(&[
            (Tag::TraceId, Some(inner.trace_id.as_bytes())),
            (Tag::SpanId, Some(id.as_bytes())),
            (Tag::Name, Some(bounded(&self.name).as_bytes())),
            (Tag::ParentId, parent_id),
            (Tag::TaskId, task_id.map(|task_id| task_id.as_bytes())),
            (Tag::GroupId, inner.group_id.as_ref().map(|group_id| group_id.as_bytes())),
        ]);
        let observed = inner.pipeline.observability_ids();
        open.start = start;
        open.generation = endspan_spool::fork_generation();
        let mut span = Span { open: Some(open) };
        if let Some(span_type) = span.open.as_ref().and_then(|open| open.span_type) {
            span.set_type(span_type);
        }
        if let Some((trace_id, span_id)) = observed {
            span.set_data_key("obs.trace_id", trace_id.as_str());
            span.set_data_key("obs.span_id", span_id.as_str());
        }
        if let Some(open) = &mut span.open {
            open.write_start();
        }
        span
    }

    /// Runs a closure as this span: it is current meanwhile, and ends with it.
    ///
    /// ```
    /// # let tracer = endspan::Tracer::builder().spool(false).build();
    /// # let trace = tracer.trace("a-trace");
    /// let sum = trace.span("add").in_scope(|span| {
    ///     let sum = 1 + 2;
    ///     span.set_output(&serde_json::json!({"sum": sum}));
    ///     sum
    /// });
    /// # assert_eq!(sum, 3);
    /// ```
    pub fn in_scope<T>(self, body: impl FnOnce(&mut Span) -> T) -> T {
        let mut span = self.start();
        let _current = span.enter();
        body(&mut span)
    }

    /// The same for a closure that may fail: the error is recorded, and passed on.
    ///
    /// # Errors
    /// What the closure returns.
    pub fn try_in_scope<T, E: fmt::Display>(
        self,
        body: impl FnOnce(&mut Span) -> Result<T, E>,
    ) -> Result<T, E> {
        self.in_scope(|span| body(span).inspect_err(|error| span.record_error(error)))
    }

    /// Runs an asynchronous closure as this span: it is current whenever the closure runs, on whichever thread.
    ///
    /// # Cancel safety
    /// A future that is dropped before its end ends the span as cancelled: status `CANCELED`, and an `__error__` of type
    /// `Cancelled`.
    ///
    /// ```
    /// # let tracer = endspan::Tracer::builder().spool(false).build();
    /// # let trace = tracer.trace("a-trace");
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let answer = trace
    ///     .span("ask")
    ///     .scope(async |span| {
    ///         let answer = async { 42 }.await;
    ///         span.set_output(&serde_json::json!({"answer": answer}));
    ///         answer
    ///     })
    ///     .await;
    /// # assert_eq!(answer, 42);
    /// # });
    /// ```
    pub async fn scope<T>(self, body: impl AsyncFnOnce(&mut Span) -> T) -> T {
        let mut span = self.start();
        span.mark_scope(true);
        let context = span.context();
        let value = {
            let mut future = pin!(body(&mut span));
            poll_fn(|task| {
                let _entered = context.as_ref().map(|context| context::enter(Some(context.clone())));
                future.as_mut().poll(task)
            })
            .await
        };
        span.mark_scope(false);
        value
    }

    /// The same for a closure that may fail: the error is recorded, and passed on.
    ///
    /// # Errors
    /// What the closure returns.
    pub async fn try_scope<T, E: fmt::Display>(
        self,
        body: impl AsyncFnOnce(&mut Span) -> Result<T, E>,
    ) -> Result<T, E> {
        self.scope(async |span| body(span).await.inspect_err(|error| span.record_error(error))).await
    }

    /// Runs a future as this span, for futures that need nothing of it.
    pub async fn instrument<F: Future>(self, future: F) -> F::Output {
        self.scope(async |_span| future.await).await
    }
}

/// Returns the parent of a span to which none is given: the current span of its trace, else the one that the trace goes on
/// from.
fn ambient_parent(trace: &Trace) -> Option<IdText> {
    let near =
        context::with_current(|current| trace.is_same(&current.trace).then(|| current.span_id.clone()));
    let near = near.flatten();
    #[cfg(feature = "otlp")]
    let near = near.or_else(|| trace.remote().map(|remote| remote.span_id().into()));
    near
}
