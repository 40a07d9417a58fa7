use crate::{Payload, SpanId, SpanType, Status, Timestamp, TraceId};

/// One piece of an agent's work: an LLM call, a tool call, a turn, a whole run.
///
/// Every protocol maps to this one form. Identity is (account, [`trace_id`](Self::trace_id),
/// [`id`](Self::id)); the account travels beside the span, never inside it. `None` always means *not
/// given*: each protocol decides how it shows an absent field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace this span belongs to.
    pub trace_id: TraceId,
    /// The span's own id, unique within its trace.
    pub id: SpanId,
    /// The parent span's id. The parent may arrive later than its children, or never.
    pub parent_id: Option<SpanId>,
    /// What the work is called, for people.
    pub name: String,
    /// When the work began.
    pub start_time: Timestamp,
    /// When the work ended; `None` while it runs. A span with an end is *completed*.
    pub end_time: Option<Timestamp>,
    /// How the work ended, where the protocol says so.
    pub status: Option<Status>,
    /// What kind of work it is, where the protocol says so.
    pub span_type: Option<SpanType>,
    /// What the work was given: a JSON object or an array of objects.
    pub input: Option<Payload>,
    /// What the work produced: a JSON object or an array of objects.
    pub output: Option<Payload>,
    /// Everything else about it: `data` in the Agentex API, `metadata` in the SGP API.
    pub metadata: Option<Payload>,
    /// What the work should have produced (SGP `expected`).
    pub expected: Option<Payload>,
    /// The Agentex task this span belongs to.
    pub task_id: Option<String>,
    /// A group of traces, for example a conversation (SGP `group_id`).
    pub group_id: Option<String>,
    /// SGP `application_variant_id`.
    pub application_variant_id: Option<String>,
    /// SGP `application_interaction_id`.
    pub application_interaction_id: Option<String>,
    /// The observability trace this span ran in: 32 lower-case hex digits.
    pub obs_trace_id: Option<String>,
    /// The observability span this span ran in: 16 lower-case hex digits.
    pub obs_span_id: Option<String>,
    /// What only OTLP can say (kind, scope, resource, events, links, flags, trace state), as one JSON
    /// object in the form of `endspan-otlp`; kept so that it comes back.
    pub otel: Option<Payload>,
}

impl Span {
    /// Returns a span with the four required fields and nothing else.
    pub fn new(
        trace_id: impl Into<TraceId>,
        id: impl Into<SpanId>,
        name: impl Into<String>,
        start_time: Timestamp,
    ) -> Self {
        Self {
            trace_id: trace_id.into(),
            id: id.into(),
            parent_id: None,
            name: name.into(),
            start_time,
            end_time: None,
            status: None,
            span_type: None,
            input: None,
            output: None,
            metadata: None,
            expected: None,
            task_id: None,
            group_id: None,
            application_variant_id: None,
            application_interaction_id: None,
            obs_trace_id: None,
            obs_span_id: None,
            otel: None,
        }
    }

    /// Returns whether the span has ended.
    pub const fn is_completed(&self) -> bool {
        self.end_time.is_some()
    }

    /// Returns the bytes of all payloads together.
    pub fn payload_bytes(&self) -> usize {
        [&self.input, &self.output, &self.metadata, &self.expected, &self.otel]
            .into_iter()
            .flatten()
            .map(Payload::len)
            .sum()
    }

    /// Returns about how many bytes the span takes in memory and on the wire, for bounds on queues.
    pub fn size_bytes(&self) -> usize {
        let texts = [
            &self.task_id,
            &self.group_id,
            &self.application_variant_id,
            &self.application_interaction_id,
            &self.obs_trace_id,
            &self.obs_span_id,
        ];
        self.payload_bytes()
            + self.name.len()
            + self.id.as_str().len()
            + self.trace_id.as_str().len()
            + self.parent_id.as_ref().map_or(0, |id| id.as_str().len())
            + texts.into_iter().flatten().map(String::len).sum::<usize>()
            + size_of::<Self>()
    }
}
