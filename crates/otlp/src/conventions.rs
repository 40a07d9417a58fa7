//! The convention table: which attribute of which convention says what.
//!
//! Instrumentations name the same fact in a dozen ways, and the names still change. So spans are stored as they
//! came, and this table is applied when they are read: a span that was stored last year gains today's names.
//! It also decides, when a span comes in, on which side (input, output, metadata) of the span an attribute is
//! kept; reading never relies on that.
//!
//! Add a row to [`TABLE`] and raise [`VERSION`] to teach another convention. Where several sources say the same
//! field, the one that stands first in the table wins.

mod table;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

pub use table::{TABLE, VERSION};

/// Who defined a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Convention {
    /// OpenTelemetry GenAI semantic conventions, as of v1.41.1 and the successor repository.
    GenAi,
    /// Names that the OpenTelemetry GenAI conventions had before and instrumentations still send.
    GenAiOld,
    /// OpenInference (Arize).
    OpenInference,
    /// OpenLLMetry (Traceloop).
    OpenLlmetry,
    /// The Vercel AI SDK.
    VercelAi,
    /// Pydantic AI and Logfire.
    Pydantic,
    /// Langfuse.
    Langfuse,
    /// MLflow.
    Mlflow,
    /// Google's agent development kit.
    GoogleAdk,
    /// LiveKit agents.
    LiveKit,
    /// The telemetry of Anthropic's own SDKs.
    Anthropic,
    /// SGP and Agentex.
    Agentex,
}

/// What a source says: the fields of the normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the field of the normal form with the same name")]
pub enum Field {
    Operation,
    Provider,
    RequestModel,
    ResponseModel,
    ResponseId,
    FinishReason,
    InputTokens,
    OutputTokens,
    TotalTokens,
    CacheReadTokens,
    CacheWriteTokens,
    ReasoningTokens,
    /// An object with counts under provider names.
    UsageObject,
    CostInput,
    CostOutput,
    CostTotal,
    /// An object with costs under provider names.
    CostObject,
    SystemInstructions,
    InputMessages,
    OutputMessages,
    /// Input and output messages as one list of events.
    MessageEvents,
    /// The text of the one output message.
    OutputText,
    /// The reasoning of the one output message.
    OutputReasoning,
    /// The tool calls of the one output message.
    OutputToolCalls,
    /// What the work was given, when it is not messages.
    Input,
    /// What the work produced, when it is not messages.
    Output,
    ToolName,
    ToolCallId,
    ToolType,
    ToolDescription,
    ToolArguments,
    ToolResult,
    ToolDefinitions,
    /// A knob of the request, under this name.
    Parameter(&'static str),
    /// An object of knobs.
    ParametersObject,
    AgentName,
    AgentId,
    AgentDescription,
    AgentVersion,
    WorkflowName,
    Conversation,
    User,
    Query,
    Documents,
    ErrorType,
    ErrorMessage,
    /// Seconds from the request to the first chunk.
    TimeToFirstChunkSeconds,
    /// The same in milliseconds.
    TimeToFirstChunkMillis,
    /// The id of the observability trace the work ran in.
    ObservedTraceId,
    /// The id of the observability span the work ran in.
    ObservedSpanId,
}

/// On which side of the span an attribute is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// With what the work was given.
    Input,
    /// With what the work produced.
    Output,
    /// With everything else.
    Metadata,
}

impl Field {
    /// Returns the side on which an attribute with this meaning is kept.
    pub const fn side(self) -> Side {
        match self {
            Self::SystemInstructions
            | Self::InputMessages
            | Self::Input
            | Self::ToolArguments
            | Self::Query => Side::Input,
            Self::OutputMessages
            | Self::OutputText
            | Self::OutputReasoning
            | Self::OutputToolCalls
            | Self::Output
            | Self::ToolResult
            | Self::Documents => Side::Output,
            _ => Side::Metadata,
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The attribute's key; with `.*` at its end, every key that begins with what stands before the star.
    pub source: &'static str,
    /// What the attribute says.
    pub field: Field,
    /// Who defined it.
    pub convention: Convention,
}

/// A rule that fits a key.
#[derive(Clone, Copy, Debug)]
pub struct Match<'k> {
    /// The rule.
    pub rule: &'static Rule,
    /// The rule's place in the table: a lower one wins.
    pub rank: u16,
    /// What of the key stands for the star; empty without one.
    pub rest: &'k str,
}

/// Returns the rule for an attribute key.
#[inline]
pub fn find(key: &str) -> Option<Match<'_>> {
    let index = &*INDEX;
    if let Some(&rank) = index.exact.get(key) {
        return Some(Match { rule: TABLE.get(usize::from(rank))?, rank, rest: "" });
    }
    // Patterns are told apart by their first byte before they are compared.
    let first = usize::from(*key.as_bytes().first()?);
    for &(prefix, rank) in index.patterns.get(first)? {
        if let Some(rest) = key.strip_prefix(prefix) {
            return Some(Match { rule: TABLE.get(usize::from(rank))?, rank, rest });
        }
    }
    None
}

struct Index {
    exact: HashMap<&'static str, u16, BuildHasherDefault<KeyHasher>>,
    /// For each first byte the prefixes and the places of their rules.
    patterns: Vec<Vec<(&'static str, u16)>>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut exact = HashMap::with_capacity_and_hasher(TABLE.len(), BuildHasherDefault::default());
    let mut patterns = vec![Vec::new(); 256];
    for (rank, rule) in (0_u16..).zip(TABLE) {
        match rule.source.strip_suffix('*') {
            Some(prefix) => {
                let first = prefix.bytes().next().map_or(0, usize::from);
                if let Some(list) = patterns.get_mut(first) {
                    list.push((prefix, rank));
                }
            }
            None => {
                exact.entry(rule.source).or_insert(rank);
            }
        }
    }
    Index { exact, patterns }
});

/// A quick hash for the few hundred fixed keys of the table. Not for keys that others choose to store.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
        let (words, tail) = bytes.as_chunks::<8>();
        let mut state = self.0;
        for word in words {
            state = (state.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(MULTIPLIER);
        }
        let tail = tail.iter().fold(bytes.len() as u64, |rest, byte| rest << 8 | u64::from(*byte));
        self.0 = (state.rotate_left(5) ^ tail).wrapping_mul(MULTIPLIER);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_source_stands_twice_and_each_finds_itself() {
        let mut seen = HashSet::new();
        for rule in TABLE {
            assert!(seen.insert(rule.source), "{} stands twice", rule.source);
            let key = rule.source.replace('*', "0.x");
            let found = find(&key).unwrap();
            assert_eq!(found.rule.source, rule.source, "{key} is taken by another row");
        }
        assert!(find("http.request.method").is_none());
        assert!(find("").is_none());
    }

    #[test]
    fn the_star_says_what_it_stood_for() {
        let found = find("llm.input_messages.12.message.role").unwrap();
        assert_eq!(found.rest, "12.message.role");
        assert_eq!(found.rule.field, Field::InputMessages);
    }
}
