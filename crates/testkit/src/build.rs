use endspan_model::{Payload, Span, Timestamp};
use serde_json::Value;

/// Builds a span of the model for a test.
#[derive(Clone, Debug)]
pub struct SpanBuilder {
    span: Span,
}

/// Begins a finished span `id` in trace `t`, one second long.
pub fn span(id: &str) -> SpanBuilder {
    let at = |micros| Timestamp::from_unix_micros(micros).unwrap_or(Timestamp::MIN);
    let mut span = Span::new("t", id, id, at(1_700_000_000_000_000));
    span.end_time = Some(at(1_700_000_001_000_000));
    SpanBuilder { span }
}

impl SpanBuilder {
    /// Puts it into a trace.
    #[must_use]
    pub fn trace(mut self, trace_id: &str) -> Self {
        self.span.trace_id = trace_id.into();
        self
    }

    /// Gives it a parent.
    #[must_use]
    pub fn parent(mut self, parent_id: &str) -> Self {
        self.span.parent_id = Some(parent_id.into());
        self
    }

    /// Names it.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.span.name);
        self
    }

    /// Takes its end away.
    #[must_use]
    pub fn unfinished(mut self) -> Self {
        self.span.end_time = None;
        self
    }

    /// Sets its input.
    #[must_use]
    pub fn input(mut self, input: &Value) -> Self {
        self.span.input = Payload::from_value(input).ok();
        self
    }

    /// Sets its output.
    #[must_use]
    pub fn output(mut self, output: &Value) -> Self {
        self.span.output = Payload::from_value(output).ok();
        self
    }

    /// Sets its data.
    #[must_use]
    pub fn data(mut self, data: &Value) -> Self {
        self.span.metadata = Payload::from_value(data).ok();
        self
    }

    /// Returns the span.
    pub fn build(self) -> Span {
        self.span
    }
}
