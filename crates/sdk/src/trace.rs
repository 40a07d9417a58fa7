use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::ids::IdText;
use crate::span::SpanBuilder;
use crate::tracer::Pipeline;

/// A trace: where spans are made. Clones are the same trace.
///
/// A trace with an empty id is a no-op: its spans cost nothing, hold nothing and go nowhere.
#[derive(Clone)]
pub struct Trace {
    pub(crate) inner: Option<Arc<Inner>>,
}

pub(crate) struct Inner {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) trace_id: IdText,
    pub(crate) task_id: Option<Box<str>>,
    pub(crate) group_id: Option<Box<str>>,
    /// Where the trace comes from, if another process began it.
    #[cfg(feature = "otlp")]
    pub(crate) remote: Option<Box<crate::trace_context::TraceContext>>,
}

impl Trace {
    pub(crate) fn new(pipeline: &Arc<Pipeline>, trace_id: IdText) -> Self {
        if trace_id.as_bytes().is_empty() {
            return Self { inner: None };
        }
        let pipeline = Arc::clone(pipeline);
        Self {
            inner: Some(Arc::new(Inner {
                pipeline,
                trace_id,
                task_id: None,
                group_id: None,
                #[cfg(feature = "otlp")]
                remote: None,
            })),
        }
    }

    /// Sets the span of another process under which this trace's spans stand where none of this process is nearer.
    #[cfg(feature = "otlp")]
    pub(crate) fn continuing(self, remote: crate::trace_context::TraceContext) -> Self {
        self.changed(|inner| inner.remote = Some(Box::new(remote)))
    }

    #[cfg(feature = "otlp")]
    pub(crate) fn remote(&self) -> Option<&crate::trace_context::TraceContext> {
        self.inner.as_ref()?.remote.as_deref()
    }

    /// Sets the Agentex task of all spans of this handle.
    #[must_use]
    pub fn task_id(self, task_id: impl Into<Box<str>>) -> Self {
        self.changed(|inner| inner.task_id = Some(task_id.into()))
    }

    /// Sets the group of traces (SGP `group_id`) of all spans of this handle.
    #[must_use]
    pub fn group_id(self, group_id: impl Into<Box<str>>) -> Self {
        self.changed(|inner| inner.group_id = Some(group_id.into()))
    }

    fn changed(self, change: impl FnOnce(&mut Inner)) -> Self {
        let Some(inner) = self.inner else { return self };
        let mut inner = Arc::try_unwrap(inner).unwrap_or_else(|shared| Inner {
            pipeline: Arc::clone(&shared.pipeline),
            trace_id: shared.trace_id.clone(),
            task_id: shared.task_id.clone(),
            group_id: shared.group_id.clone(),
            #[cfg(feature = "otlp")]
            remote: shared.remote.clone(),
        });
        change(&mut inner);
        Self { inner: Some(Arc::new(inner)) }
    }

    /// Begins a span. It starts with [`SpanBuilder::start`] or one of the scopes.
    ///
    /// Its parent is the span whose scope this is in, if that belongs to the same trace; otherwise the span of another
    /// process that the trace goes on from ([`Tracer::continue_trace`](crate::Tracer::continue_trace)); otherwise it
    /// is a root.
    pub fn span(&self, name: impl Into<Cow<'static, str>>) -> SpanBuilder {
        SpanBuilder::new(self.clone(), name.into())
    }

    /// Returns the trace's id; empty for a no-op.
    pub fn id(&self) -> &str {
        self.inner.as_ref().map_or("", |inner| inner.trace_id.as_str())
    }

    /// Returns whether spans of this trace go nowhere.
    pub fn is_noop(&self) -> bool {
        self.inner.is_none()
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.inner, &other.inner) {
            (Some(ours), Some(theirs)) => {
                Arc::ptr_eq(ours, theirs)
                    || (Arc::ptr_eq(&ours.pipeline, &theirs.pipeline) && ours.trace_id == theirs.trace_id)
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Trace").field(&self.id()).finish()
    }
}
