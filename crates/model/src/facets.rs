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
    /// What the two counts stand for; `None` when neither was reported.
    pub usage_kind: Option<UsageKind>,
    /// The agent's id: `__agent_id__`, else `gen_ai.agent.id`, of the metadata.
    pub agent_id: Option<String>,
    /// The agent's name: `__agent_name__`, else `gen_ai.agent.name`, of the metadata.
    pub agent_name: Option<String>,
    /// The agent's ACP type: `__acp_type__` of the metadata.
    pub acp_type: Option<String>,
}

/// What a span's token counts stand for. A trace's tokens are those of its calls, or, if no call reported any, those of
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

/// Longest agent text that is kept; a longer one is no name.
const MAX_TEXT_BYTES: usize = 1024;

impl Facets {
    /// Reads the facets of a span.
    ///
    /// Token counts come from `usage` in the metadata (a turn's aggregate), else from `usage` in the output (one call),
    /// else from the `gen_ai.usage.*` attributes in the metadata (OpenTelemetry). The three are never mixed. Only
    /// whole numbers from 0 to 10^12 count.
    pub fn of(span: &Span) -> Self {
        let mut facets = Self::default();
        let in_output = || usage_of(span.output.as_ref());
        let mut attributes = Usage::default();
        let mut runs_an_agent = false;
        let mut in_metadata = Usage::default();
        if let Some(metadata) = span.metadata.as_ref().filter(|metadata| holds_facets(metadata)) {
            let (mut ids, mut names) = ([None, None], [None, None]);
            scan::visit_members(metadata.as_bytes(), |key, value| match key {
                b"usage" => in_metadata = Usage::in_object(value),
                b"__agent_id__" => ids[0] = text(value),
                b"gen_ai.agent.id" => ids[1] = text(value),
                b"__agent_name__" => names[0] = text(value),
                b"gen_ai.agent.name" => names[1] = text(value),
                b"__acp_type__" => facets.acp_type = text(value),
                b"gen_ai.usage.input_tokens" => attributes.input = count(value),
                b"gen_ai.usage.output_tokens" => attributes.output = count(value),
                b"gen_ai.operation.name" => {
                    runs_an_agent = matches!(value, b"\"invoke_agent\"" | b"\"invoke_workflow\"");
                }
                _ => {}
            });
            facets.agent_id = ids.into_iter().flatten().next();
            facets.agent_name = names.into_iter().flatten().next();
        }
        let (usage, kind) = if in_metadata.is_some() {
            let is_a_call_too = in_output().is_some();
            (in_metadata, if is_a_call_too { UsageKind::Call } else { UsageKind::Aggregate })
        } else {
            let usage = in_output();
            if usage.is_some() {
                (usage, UsageKind::Call)
            } else {
                (attributes, if runs_an_agent { UsageKind::Aggregate } else { UsageKind::Call })
            }
        };
        facets.input_tokens = usage.input;
        facets.output_tokens = usage.output;
        facets.usage_kind = usage.is_some().then_some(kind);
        facets
    }
}

/// Most metadata holds none of the keys; a substring search is far cheaper than walking the members.
fn holds_facets(metadata: &Payload) -> bool {
    let text = metadata.as_bytes();
    [&b"usage"[..], b"__a", b"gen_ai.agent."].iter().any(|key| memchr::memmem::find(text, key).is_some())
}

#[derive(Clone, Copy, Default)]
struct Usage {
    input: Option<u64>,
    output: Option<u64>,
}

impl Usage {
    const fn is_some(self) -> bool {
        self.input.is_some() || self.output.is_some()
    }

    /// Reads an object of counts by the key names of OpenAI's and Anthropic's APIs.
    fn in_object(object: &[u8]) -> Self {
        let (mut input, mut output) = ([None, None], [None, None]);
        scan::visit_members(object, |key, value| match key {
            b"input_tokens" => input[0] = count(value),
            b"prompt_tokens" => input[1] = count(value),
            b"output_tokens" => output[0] = count(value),
            b"completion_tokens" => output[1] = count(value),
            _ => {}
        });
        Self { input: input.into_iter().flatten().next(), output: output.into_iter().flatten().next() }
    }
}

fn usage_of(payload: Option<&Payload>) -> Usage {
    let mut usage = Usage::default();
    if let Some(payload) = payload.filter(|payload| {
        payload.as_bytes().first() == Some(&b'{')
            && memchr::memmem::find(payload.as_bytes(), b"\"usage\"").is_some()
    }) {
        scan::visit_members(payload.as_bytes(), |key, value| {
            if key == b"usage" {
                usage = Usage::in_object(value);
            }
        });
    }
    usage
}

/// More than any model reads; a larger number counts something else, and sums of it would overflow.
const MAX_TOKENS: u64 = 1_000_000_000_000;

fn count(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok().filter(|count| *count <= MAX_TOKENS)
}

fn text(value: &[u8]) -> Option<String> {
    if value.first() != Some(&b'"') || value.len() > MAX_TEXT_BYTES {
        return None;
    }
    serde_json::from_slice(value).ok()
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
