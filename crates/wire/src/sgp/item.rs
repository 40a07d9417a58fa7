use std::borrow::Cow;

use endspan_model::{Payload, Span, SpanType, Status, Timestamp};

use crate::fields::is_lower_hex;
use crate::json::{member, members, push_string};
use crate::shape::{error_record, push_object, string_value};
use crate::time;

/// What the reference SDK tags every SGP item with, from its environment (`sdk-behaviour` 8.1, step 1).
/// `__source__` is always `agentex`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentTags {
    /// `__acp_type__`, from `ACP_TYPE`.
    pub acp_type: Option<String>,
    /// `__agent_name__`, from `AGENT_NAME`.
    pub agent_name: Option<String>,
    /// `__agent_id__`, from `AGENT_ID`.
    pub agent_id: Option<String>,
}

/// Appends a span as the item that the reference SDK puts into `PUT /v5/spans/batch` (`sdk-behaviour` 8.1).
///
/// The span stays as it is; raw payload bytes are copied through. Differences on purpose, all within the
/// API's types: array payloads are wrapped as `{"items": [...]}` (the API refuses arrays), a type that is
/// none of the 26 becomes `STANDALONE`, an unfinished span carries no status, a malformed `__error__` still
/// counts as an error, and observability ids in `data` are also sent in the fields made for them.
///
/// Without `tags` the metadata is the span's own, as scale-gp-beta's tracing sends it.
pub fn encode_item(out: &mut Vec<u8>, span: &Span, tags: Option<&AgentTags>) {
    encode_item_of(out, &ItemFields::from(span), tags);
}

/// What an item is made of, borrowed from wherever the span stands.
#[derive(Clone, Copy, Debug)]
pub struct ItemFields<'a> {
    /// The name.
    pub name: &'a str,
    /// The span's id.
    pub id: &'a str,
    /// The trace's id.
    pub trace_id: &'a str,
    /// The parent's id.
    pub parent_id: Option<&'a str>,
    /// When it started.
    pub start_time: Timestamp,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// How it ended.
    pub status: Option<Status>,
    /// What kind of work it is.
    pub span_type: Option<SpanType>,
    /// The input: the text of a [`Payload`], like the three below.
    pub input: Option<&'a [u8]>,
    /// The output.
    pub output: Option<&'a [u8]>,
    /// The metadata.
    pub metadata: Option<&'a [u8]>,
    /// What the output should have been.
    pub expected: Option<&'a [u8]>,
    /// The group of traces.
    pub group_id: Option<&'a str>,
    /// The application's variant.
    pub application_variant_id: Option<&'a str>,
    /// The application's interaction.
    pub application_interaction_id: Option<&'a str>,
    /// The observability trace.
    pub obs_trace_id: Option<&'a str>,
    /// The observability span.
    pub obs_span_id: Option<&'a str>,
}

impl<'a> From<&'a Span> for ItemFields<'a> {
    fn from(span: &'a Span) -> Self {
        Self {
            name: &span.name,
            id: span.id.as_str(),
            trace_id: span.trace_id.as_str(),
            parent_id: span.parent_id.as_ref().map(|id| id.as_str()),
            start_time: span.start_time,
            end_time: span.end_time,
            status: span.status,
            span_type: span.span_type,
            input: span.input.as_ref().map(Payload::as_bytes),
            output: span.output.as_ref().map(Payload::as_bytes),
            metadata: span.metadata.as_ref().map(Payload::as_bytes),
            expected: span.expected.as_ref().map(Payload::as_bytes),
            group_id: span.group_id.as_deref(),
            application_variant_id: span.application_variant_id.as_deref(),
            application_interaction_id: span.application_interaction_id.as_deref(),
            obs_trace_id: span.obs_trace_id.as_deref(),
            obs_span_id: span.obs_span_id.as_deref(),
        }
    }
}

/// Appends an item as [`encode_item`] does, from fields that need not be a [`Span`].
pub fn encode_item_of(out: &mut Vec<u8>, span: &ItemFields<'_>, tags: Option<&AgentTags>) {
    let data = span.metadata;
    let error = error_record(data).map(ErrorRecord::read);
    out.extend_from_slice(b"{\"name\":");
    push_string(out, span.name);
    push_text(out, b",\"id\":", span.id);
    push_text(out, b",\"trace_id\":", span.trace_id);
    out.extend_from_slice(b",\"start_timestamp\":\"");
    time::push_offset(out, span.start_time);
    out.extend_from_slice(b"\",\"input\":");
    push_payload(out, span.input);
    out.extend_from_slice(b",\"output\":");
    push_payload(out, span.output);
    out.extend_from_slice(b",\"metadata\":");
    push_metadata(out, data, tags, error.as_ref());
    let implied = if error.is_some() {
        Some(Status::Error)
    } else {
        span.end_time.is_some().then_some(Status::Success)
    };
    if let Some(status) = span.status.or(implied) {
        push_text(out, b",\"status\":", status.as_str());
    }
    let named_type = || SpanType::from_name(&string_value(member(data?, "__span_type__")?)?);
    let span_type = span.span_type.or_else(named_type).unwrap_or(SpanType::Standalone);
    push_text(out, b",\"type\":", span_type.as_str());
    if let Some(end_time) = span.end_time {
        out.extend_from_slice(b",\"end_timestamp\":\"");
        time::push_offset(out, end_time);
        out.push(b'"');
    }
    if let Some(parent_id) = span.parent_id {
        push_text(out, b",\"parent_id\":", parent_id);
    }
    if let Some(group_id) = span.group_id {
        push_text(out, b",\"group_id\":", group_id);
    }
    if let Some(expected) = span.expected {
        out.extend_from_slice(b",\"expected\":");
        push_object(out, expected);
    }
    if let Some(id) = span.application_variant_id {
        push_text(out, b",\"application_variant_id\":", id);
    }
    if let Some(id) = span.application_interaction_id {
        push_text(out, b",\"application_interaction_id\":", id);
    }
    push_observability_ids(out, span);
    out.push(b'}');
}

/// The content of `data.__error__`, as far as it is well-formed.
struct ErrorRecord {
    error_type: Option<String>,
    message: Option<String>,
    category: Option<String>,
}

impl ErrorRecord {
    fn read(raw: &[u8]) -> Self {
        let text = |key| string_value(member(raw, key)?);
        Self {
            error_type: text("type"),
            message: text("message").filter(|message| !message.is_empty()),
            category: text("category").filter(|category| !category.is_empty()),
        }
    }
}

fn push_metadata(
    out: &mut Vec<u8>,
    data: Option<&[u8]>,
    tags: Option<&AgentTags>,
    error: Option<&ErrorRecord>,
) {
    let start = out.len();
    match data {
        Some(data) => push_object(out, data),
        None => out.extend_from_slice(b"{}"),
    }
    if tags.is_none() && error.is_none() {
        return;
    }
    let object = out.get(start..).unwrap_or_default();
    // A key that is there already keeps its place and gets the new value, so the object must be taken
    // apart. Where there is no `__error__` all keys begin with two underscores; data without any is spliced.
    let may_repeat = data.is_some() && memchr::memmem::find(object, b"\"__").is_some();
    if may_repeat {
        let object = object.to_vec();
        if let Some(mut members) = members(&object) {
            let additions = additions(tags, error);
            for (key, value) in &additions {
                match members.iter_mut().find(|(name, _)| name == key) {
                    Some((_, old)) => *old = value,
                    None => members.push((Cow::Borrowed(key), value)),
                }
            }
            out.truncate(start);
            out.push(b'{');
            for (index, (key, value)) in members.iter().enumerate() {
                push_member(out, index == 0, key, value);
            }
            out.push(b'}');
            return;
        }
    }
    out.pop();
    let mut is_first = out.len() == start + 1;
    if error.is_none() {
        // Nearly every span: nothing to keep in between.
        for (key, value) in tags.into_iter().flat_map(AgentTags::members) {
            push_member(out, is_first, key, b"");
            push_string(out, value);
            is_first = false;
        }
    } else {
        for (key, value) in &additions(tags, error) {
            push_member(out, is_first, key, value);
            is_first = false;
        }
    }
    out.push(b'}');
}

impl AgentTags {
    /// The members of the metadata that tags are.
    fn members(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("__source__", Some("agentex")),
            ("__acp_type__", self.acp_type.as_deref()),
            ("__agent_name__", self.agent_name.as_deref()),
            ("__agent_id__", self.agent_id.as_deref()),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
    }
}

/// Returns the members that an item's metadata has beside the span's own.
fn additions(
    tags: Option<&AgentTags>,
    error: Option<&ErrorRecord>,
) -> Vec<(&'static str, Cow<'static, [u8]>)> {
    let tags = tags.into_iter().flat_map(AgentTags::members);
    let mut additions: Vec<_> = tags.map(|(key, value)| (key, string(value))).collect();
    if let Some(error) = error {
        let optional = |text: &Option<String>| text.as_deref().map_or(Cow::Borrowed(&b"null"[..]), string);
        additions.push(("error", Cow::Borrowed(b"true")));
        additions.push(("error_type", optional(&error.error_type)));
        additions.push(("error_message", optional(&error.message)));
        additions.push(("error_category", string(error.category.as_deref().unwrap_or("unknown"))));
    }
    additions
}

fn push_member(out: &mut Vec<u8>, is_first: bool, key: &str, value: &[u8]) {
    if !is_first {
        out.push(b',');
    }
    push_string(out, key);
    out.push(b':');
    out.extend_from_slice(value);
}

fn string(text: &str) -> Cow<'static, [u8]> {
    let mut out = Vec::with_capacity(text.len() + 2);
    push_string(&mut out, text);
    Cow::Owned(out)
}

/// Appends the observability ids: the span's own, else those in `data` under either spelling. Ids that are
/// not of the API's form, or all zeros (none was known), stay in the metadata only.
fn push_observability_ids(out: &mut Vec<u8>, span: &ItemFields<'_>) {
    let find = |own: Option<&str>, keys: [&str; 2], digits| {
        let in_data = || {
            let data = span.metadata?;
            keys.into_iter().find_map(|key| string_value(member(data, key)?))
        };
        own.map(str::to_owned)
            .or_else(in_data)
            .filter(|id| is_lower_hex(id, digits) && id.bytes().any(|digit| digit != b'0'))
    };
    let Some(trace_id) = find(span.obs_trace_id, ["obs.trace_id", "obs_trace_id"], 32) else { return };
    push_text(out, b",\"obs_trace_id\":", &trace_id);
    if let Some(span_id) = find(span.obs_span_id, ["obs.span_id", "obs_span_id"], 16) {
        push_text(out, b",\"obs_span_id\":", &span_id);
    }
}

fn push_text(out: &mut Vec<u8>, key: &[u8], text: &str) {
    out.extend_from_slice(key);
    push_string(out, text);
}

fn push_payload(out: &mut Vec<u8>, payload: Option<&[u8]>) {
    match payload {
        Some(payload) => push_object(out, payload),
        None => out.extend_from_slice(b"{}"),
    }
}
