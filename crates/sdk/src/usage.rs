//! What a turn used: tokens and money, in the form that billing reads (`sdk-behaviour` 11.2).

use serde::Serialize;

use crate::payload::{PayloadSource, member_text, set_member};

/// Keys by which usage is recognised.
const KNOWN_KEYS: [&str; 9] = [
    "input_tokens",
    "prompt_tokens",
    "output_tokens",
    "completion_tokens",
    "cached_input_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "total_tokens",
    "cost_usd",
];

/// The usage of one turn. Fields that are `None` are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TurnUsage {
    /// The model's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tokens read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Tokens read from a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<u64>,
    /// Tokens spent on reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// All tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// The cost in US dollars. It is written beside the usage, as `data.cost_usd`.
    #[serde(skip)]
    pub cost_usd: Option<f64>,
    /// How long the turn took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Calls of a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_llm_calls: Option<u64>,
    /// Calls of tools.
    pub num_tool_calls: u64,
    /// Blocks of reasoning.
    pub num_reasoning_blocks: u64,
}

/// Usage in either form that is understood: of a turn, or a map as a model's provider reports it.
#[derive(Clone, Debug)]
pub enum Usage {
    /// The usage of a turn.
    Turn(TurnUsage),
    /// A map, stored as it is.
    Map(PayloadSource),
}

impl From<TurnUsage> for Usage {
    fn from(usage: TurnUsage) -> Self {
        Self::Turn(usage)
    }
}

impl<T: Into<PayloadSource>> From<T> for Usage {
    fn from(map: T) -> Self {
        Self::Map(map.into())
    }
}

pub(crate) fn record(data: &mut Option<PayloadSource>, usage: Usage, cost_usd: Option<f64>) {
    let (map, cost) = match usage {
        Usage::Turn(turn) => (PayloadSource::of(&turn), cost_usd.or(turn.cost_usd)),
        Usage::Map(map) => (map, cost_usd),
    };
    if !map.is_absent() {
        let holder = Some(map);
        if !KNOWN_KEYS.iter().any(|key| member_text(holder.as_ref(), key).is_some()) {
            tracing::warn!("endspan found none of the known keys in a span's usage; it is stored as it is");
        }
        if let Some(map) = holder {
            set(data, "usage", map.text.as_bytes());
        }
    }
    if let Some(cost) = cost {
        set(data, "cost_usd", PayloadSource::of(&cost).text.as_bytes());
    }
}

fn set(data: &mut Option<PayloadSource>, key: &str, value: &[u8]) {
    if !set_member(data, key, value) {
        tracing::warn!("endspan replaced a span's data, which is no object, to record usage");
        *data = None;
        set_member(data, key, value);
    }
}
