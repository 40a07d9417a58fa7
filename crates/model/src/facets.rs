use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::{Payload, Span, scan};

/// What stores keep of a span's payloads beside them, to find and sort spans without reading payloads.
///
/// It is a pure function of the span ([`Facets::of`]), so that every engine keeps the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// Tokens that the model read, as the producer reported them.
    pub input_tokens: Option<u64>,
    /// Tokens that the model wrote, as the producer reported them.
    pub output_tokens: Option<u64>,
    /// Of the tokens that the model read, those that came from a cache, as the producer reported them.
    pub cached_tokens: Option<u64>,
    /// What the span cost, as the producer recorded it, in units of 10⁻¹² US dollars.
    pub cost_picodollars: Option<u64>,
    /// What tokens and cost stand for; `None` when neither was reported.
    pub usage_kind: Option<UsageKind>,
    /// The model: `gen_ai.response.model`, else `gen_ai.request.model`, else `model` of the metadata, else of its
    /// `usage`, else of the output.
    pub model: Option<String>,
    /// What kind of error ended the span: `type` of `__error__`, else `error.type`, else `exception.type` of the metadata.
    pub error_type: Option<String>,
    /// The beginning of the error's text: `message` of `__error__`, else `exception.message` of the metadata, at most
    /// [`MAX_ERROR_MESSAGE_BYTES`] of it.
    pub error_message: Option<String>,
    /// The agent's id: `__agent_id__`, else `gen_ai.agent.id`, of the metadata.
    pub agent_id: Option<String>,
    /// The agent's name: `__agent_name__`, else `gen_ai.agent.name`, of the metadata.
    pub agent_name: Option<String>,
    /// The agent's ACP type: `__acp_type__` of the metadata.
    pub acp_type: Option<String>,
}

/// What a span's token counts and cost stand for. A trace's tokens are those of its calls, or, if no call reported any, those of
/// its aggregates; the two are never added to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UsageKind {
    /// One call of a model.
    Call,
    /// The sum over calls that are spans of their own, or might be.
    Aggregate,
}

impl UsageKind {
    /// Returns the stable code used in stored formats.
    pub const fn code(self) -> u8 {
        match self {
            Self::Call => 1,
            Self::Aggregate => 2,
        }
    }

    /// Returns the kind with this stored code.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Call),
            2 => Some(Self::Aggregate),
            _ => None,
        }
    }
}

/// Longest name (of an agent, a model, a kind of error) that is kept; a longer one is no name.
const MAX_TEXT_BYTES: usize = 1024;
/// Most that is kept of an error's text.
pub const MAX_ERROR_MESSAGE_BYTES: usize = 256;

impl Facets {
    /// Reads the facets of a span.
    ///
    /// Token counts come from `usage` in the metadata (a turn's aggregate), else from `usage` in the output (one call),
    /// else from the `gen_ai.usage.*` attributes in the metadata (OpenTelemetry). The three are never mixed. Only
    /// whole numbers from 0 to 10^12 count. The cost is `cost_usd` (what a turn is billed), else `gen_ai.usage.cost`, else
    /// `llm.cost.total`, else `operation.cost` of the metadata, in dollars; ten thousand of them and more is no cost.
    pub fn of(span: &Span) -> Self {
        let mut facets = Self::default();
        let mut found = InMetadata::default();
        if let Some(metadata) = span.metadata.as_ref().filter(|metadata| holds_facets(metadata)) {
            scan::visit_members(metadata.as_bytes(), |key, value| found.take(key, value));
        }
        let answer = InOutput::of(span.output.as_ref());
        let first = |values: [Option<String>; 2]| values.into_iter().flatten().next();
        facets.agent_id = first(found.agent_ids);
        facets.agent_name = first(found.agent_names);
        facets.acp_type = found.acp_type;
        facets.model = found.models.into_iter().chain([found.usage_model, answer.model]).flatten().next();
        facets.error_type = found.error_types.into_iter().flatten().next();
        facets.error_message = found.error_messages.into_iter().flatten().next();
        let turn_cost = found.costs[0];
        facets.cost_picodollars = found.costs.into_iter().flatten().next();
        let of_attributes = if found.runs_an_agent { UsageKind::Aggregate } else { UsageKind::Call };
        let (usage, kind) = if found.usage.is_some() {
            let is_a_call_too = answer.usage.is_some();
            (found.usage, if is_a_call_too { UsageKind::Call } else { UsageKind::Aggregate })
        } else if answer.usage.is_some() {
            (answer.usage, UsageKind::Call)
        } else if found.attributes.is_some() || turn_cost.is_none() {
            (found.attributes, of_attributes)
        } else {
            (Usage::default(), UsageKind::Aggregate)
        };
        facets.input_tokens = usage.input;
        facets.output_tokens = usage.output;
        facets.cached_tokens = usage.cached.filter(|_| usage.is_some());
        facets.usage_kind = (usage.is_some() || facets.cost_picodollars.is_some()).then_some(kind);
        facets
    }
}

/// Most metadata holds none of the keys; a substring search is far cheaper than walking the members.
fn holds_facets(metadata: &Payload) -> bool {
    static KEYS: LazyLock<[Finder<'static>; 8]> = LazyLock::new(|| {
        ["usage", "__a", "gen_ai.agent.", "model", "__error__", "error.type", "exception.", "cost"]
            .map(Finder::new)
    });
    KEYS.iter().any(|key| key.find(metadata.as_bytes()).is_some())
}

/// What the metadata says, alternatives in the order in which they count.
#[derive(Default)]
struct InMetadata {
    usage: Usage,
    usage_model: Option<String>,
    attributes: Usage,
    runs_an_agent: bool,
    agent_ids: [Option<String>; 2],
    agent_names: [Option<String>; 2],
    acp_type: Option<String>,
    models: [Option<String>; 3],
    error_types: [Option<String>; 3],
    error_messages: [Option<String>; 2],
    costs: [Option<u64>; 4],
}

impl InMetadata {
    fn take(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"usage" => {
                self.usage = Usage::in_object(value);
                self.usage_model = None;
                scan::visit_members(value, |key, value| {
                    if key == b"model" {
                        self.usage_model = text(value);
                    }
                });
            }
            b"__agent_id__" => self.agent_ids[0] = text(value),
            b"gen_ai.agent.id" => self.agent_ids[1] = text(value),
            b"__agent_name__" => self.agent_names[0] = text(value),
            b"gen_ai.agent.name" => self.agent_names[1] = text(value),
            b"__acp_type__" => self.acp_type = text(value),
            b"gen_ai.response.model" => self.models[0] = text(value),
            b"gen_ai.request.model" => self.models[1] = text(value),
            b"model" => self.models[2] = text(value),
            b"__error__" => scan::visit_members(value, |key, value| match key {
                b"type" => self.error_types[0] = text(value),
                b"message" => self.error_messages[0] = beginning(value),
                _ => {}
            }),
            b"error.type" => self.error_types[1] = text(value),
            b"exception.type" => self.error_types[2] = text(value),
            b"exception.message" => self.error_messages[1] = beginning(value),
            b"cost_usd" => self.costs[0] = cost(value),
            b"gen_ai.usage.cost" => self.costs[1] = cost(value),
            b"llm.cost.total" => self.costs[2] = cost(value),
            b"operation.cost" => self.costs[3] = cost(value),
            b"gen_ai.usage.input_tokens" => self.attributes.input = count(value),
            b"gen_ai.usage.output_tokens" => self.attributes.output = count(value),
            b"gen_ai.usage.cache_read.input_tokens" | b"gen_ai.usage.cache_read_input_tokens" => {
                self.attributes.cached = count(value);
            }
            b"gen_ai.operation.name" => {
                self.runs_an_agent = matches!(value, b"\"invoke_agent\"" | b"\"invoke_workflow\"");
            }
            _ => {}
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Usage {
    input: Option<u64>,
    output: Option<u64>,
    cached: Option<u64>,
}

impl Usage {
    const fn is_some(self) -> bool {
        self.input.is_some() || self.output.is_some()
    }

    /// Reads an object of counts by the key names of OpenAI's and Anthropic's APIs.
    fn in_object(object: &[u8]) -> Self {
        let (mut input, mut output, mut cached) = ([None, None], [None, None], [None; 4]);
        scan::visit_members(object, |key, value| match key {
            b"input_tokens" => input[0] = count(value),
            b"prompt_tokens" => input[1] = count(value),
            b"output_tokens" => output[0] = count(value),
            b"completion_tokens" => output[1] = count(value),
            b"cached_input_tokens" => cached[0] = count(value),
            b"cache_read_input_tokens" => cached[1] = count(value),
            b"cached_tokens" => cached[2] = count(value),
            b"prompt_tokens_details" | b"input_tokens_details" => scan::visit_members(value, |key, value| {
                if key == b"cached_tokens" {
                    cached[3] = count(value);
                }
            }),
            _ => {}
        });
        let first = |counts: &[Option<u64>]| counts.iter().copied().flatten().next();
        Self { input: first(&input), output: first(&output), cached: first(&cached) }
    }
}

/// What the answer of a model says.
#[derive(Default)]
struct InOutput {
    usage: Usage,
    model: Option<String>,
}

impl InOutput {
    fn of(output: Option<&Payload>) -> Self {
        static KEYS: LazyLock<[Finder<'static>; 2]> =
            LazyLock::new(|| ["\"usage\"", "\"model\""].map(Finder::new));
        let mut found = Self::default();
        if let Some(output) = output.filter(|output| {
            let text = output.as_bytes();
            text.first() == Some(&b'{') && KEYS.iter().any(|key| key.find(text).is_some())
        }) {
            scan::visit_members(output.as_bytes(), |key, value| match key {
                b"usage" => found.usage = Usage::in_object(value),
                b"model" => found.model = text(value),
                _ => {}
            });
        }
        found
    }
}

/// More than any model reads; a larger number counts something else, and sums of it would overflow.
const MAX_TOKENS: u64 = 1_000_000_000_000;

fn count(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok().filter(|count| *count <= MAX_TOKENS)
}

/// More than any span costs, in dollars.
const MAX_COST: f64 = 1e4;

fn cost(value: &[u8]) -> Option<u64> {
    let dollars: f64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (0.0..MAX_COST).contains(&dollars).then(|| (dollars * 1e12).round() as u64)
}

fn text(value: &[u8]) -> Option<String> {
    if value.first() != Some(&b'"') || value.len() > MAX_TEXT_BYTES {
        return None;
    }
    serde_json::from_slice(value).ok()
}

/// Returns the beginning of a string.
fn beginning(value: &[u8]) -> Option<String> {
    if value.first() != Some(&b'"') {
        return None;
    }
    let mut text: String = serde_json::from_slice(value).ok()?;
    let end = (0..=MAX_ERROR_MESSAGE_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
    text.shrink_to_fit();
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    fn facets(metadata: &str, output: &str) -> Facets {
        let payload = |text: &str| (!text.is_empty()).then(|| Payload::parse(text.to_owned()).unwrap());
        let span = Span {
            metadata: payload(metadata),
            output: payload(output),
            ..Span::new("t", "s", "n", Timestamp::MIN)
        };
        Facets::of(&span)
    }

    fn tokens(metadata: &str, output: &str) -> (Option<u64>, Option<u64>, Option<UsageKind>) {
        let facets = facets(metadata, output);
        (facets.input_tokens, facets.output_tokens, facets.usage_kind)
    }

    #[test]
    fn tokens_come_from_one_place() {
        let call = Some(UsageKind::Call);
        let aggregate = Some(UsageKind::Aggregate);
        for (metadata, output, expected) in [
            ("", r#"{"usage":{"prompt_tokens":5,"completion_tokens":2}}"#, (Some(5), Some(2), call)),
            (r#"{"usage":{"input_tokens":9}}"#, "", (Some(9), None, aggregate)),
            (r#"{"usage":{"input_tokens":9}}"#, r#"{"usage":{"output_tokens":1}}"#, (Some(9), None, call)),
            (r#"{"usage":{"input_tokens":-1}}"#, r#"{"usage":{"output_tokens":1}}"#, (None, Some(1), call)),
            (r#"{"gen_ai.usage.input_tokens":3,"x":"}"}"#, "", (Some(3), None, call)),
            (
                r#"{"gen_ai.operation.name":"invoke_agent","gen_ai.usage.output_tokens":3}"#,
                "",
                (None, Some(3), aggregate),
            ),
            (
                r#"{"a":{"usage":{"input_tokens":9}}}"#,
                r#"[{"usage":{"output_tokens":1}}]"#,
                (None, None, None),
            ),
            (r#"{"usage":{"input_tokens":"9","output_tokens":1.5}}"#, r#"{"usage":[1]}"#, (None, None, None)),
            (r#"{"usage":{"input_tokens":1},"usage":{"input_tokens":2}}"#, "", (Some(2), None, aggregate)),
        ] {
            assert_eq!(tokens(metadata, output), expected, "{metadata} {output}");
        }
    }

    #[test]
    fn agents_are_named_by_either_convention() {
        let found = facets(
            r#"{"gen_ai.agent.name":"b","__agent_name__":"a\u00e9","__agent_id__":"i","__acp_type__":"async"}"#,
            "",
        );
        assert_eq!(found.agent_name.as_deref(), Some("aé"));
        assert_eq!((found.agent_id.as_deref(), found.acp_type.as_deref()), (Some("i"), Some("async")));
        assert_eq!(facets(r#"{"gen_ai.agent.name":"b"}"#, "").agent_name.as_deref(), Some("b"));
        assert_eq!(facets(r#"{"__agent_name__":7}"#, "[]"), Facets::default());
    }

    #[test]
    fn models_errors_and_costs_are_read() {
        let long = "é".repeat(200);
        let found = facets(
            &format!(
                r#"{{"__error__":{{"type":"Timeout","message":"{long}"}},"cost_usd":0.00052,"usage":{{"model":"m","input_tokens":1,"input_tokens_details":{{"cached_tokens":7}}}}}}"#
            ),
            r#"{"model":"other"}"#,
        );
        assert_eq!((found.model.as_deref(), found.error_type.as_deref()), (Some("m"), Some("Timeout")));
        assert_eq!(found.error_message.map(|text| text.len()), Some(MAX_ERROR_MESSAGE_BYTES));
        assert_eq!((found.cost_picodollars, found.cached_tokens), (Some(520_000_000), Some(7)));
        assert_eq!(found.usage_kind, Some(UsageKind::Aggregate));
        let found = facets(r#"{"exception.type":"E","exception.message":"m","operation.cost":1}"#, "");
        assert_eq!((found.error_type.as_deref(), found.error_message.as_deref()), (Some("E"), Some("m")));
        assert_eq!(
            (found.cost_picodollars, found.usage_kind),
            (Some(1_000_000_000_000), Some(UsageKind::Call))
        );
        assert_eq!(facets("", r#"{"model":"o"}"#).model.as_deref(), Some("o"));
        assert_eq!(
            facets(r#"{"gen_ai.request.model":"q","gen_ai.response.model":"r"}"#, "").model.as_deref(),
            Some("r")
        );
        for cost in ["-1", "1e4", "\"1\"", "null", "1e300"] {
            assert_eq!(facets(&format!("{{\"cost_usd\":{cost}}}"), "").cost_picodollars, None, "{cost}");
        }
        assert_eq!(facets(r#"{"__error__":"text"}"#, ""), Facets::default());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let mut bytes = br#"{"usage":{"input_tokens":"#.to_vec();
            bytes.extend(text);
            let span = Span { metadata: Some(Payload::from_trusted(bytes.into())), ..Span::new("t", "s", "n", Timestamp::MIN) };
            let _ = Facets::of(&span);
        }
    }
}
