//! `endspan ls`, `show`, `search` and `tail`.

use clap::{Args, ValueEnum};

use super::ServerArguments;
use crate::when::{parse_millis, parse_moment};

#[derive(Debug, Args)]
pub(crate) struct LsArguments {
    /// How many traces at most
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N", conflicts_with = "all")]
    pub(crate) limit: u32,
    /// List every trace
    #[arg(long)]
    pub(crate) all: bool,
    /// Only traces that began at this moment or later: a time, a date, or how long ago, like 2h or 7d
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    pub(crate) since: Option<String>,
    /// Only traces that began before this moment
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    pub(crate) until: Option<String>,
    /// Only traces whose name contains this text, letter case aside
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// Only traces that stand so: ok, error, running, canceled; several with commas
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// Only traces of the agent with exactly this name
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Only traces with a span that failed
    #[arg(long)]
    pub(crate) errors: bool,
    /// Only traces without a span that failed
    #[arg(long, conflicts_with = "errors")]
    pub(crate) no_errors: bool,
    /// Only traces that took at least this long, like 500ms, 2s or 1m
    #[arg(long, value_name = "TIME", value_parser = parse_millis)]
    pub(crate) min_duration: Option<u64>,
    /// Only traces that took at most this long
    #[arg(long, value_name = "TIME", value_parser = parse_millis)]
    pub(crate) max_duration: Option<u64>,
    /// Only traces with at least this many tokens, in and out together
    #[arg(long, value_name = "N")]
    pub(crate) min_tokens: Option<u64>,
    /// Only traces with at most this many tokens
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u64>,
    /// Only traces with a span that holds this word or phrase; repeat it for several
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    /// Only traces with an assessment that says this: a type, approval:rejected, rating:3, rating:<3; repeat it for several
    #[arg(long, value_name = "WHAT")]
    pub(crate) assessment: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

impl LsArguments {
    /// Returns the filters as the read API names them.
    pub(crate) fn filters(&self) -> Vec<(&'static str, String)> {
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let has_error = (self.errors || self.no_errors).then(|| self.errors.to_string());
        [
            ("start_after", self.since.clone()),
            ("start_before", self.until.clone()),
            ("name", self.name.clone()),
            ("status", self.status.clone()),
            ("agent", self.agent.clone()),
            ("has_error", has_error),
            ("min_duration_ms", number(self.min_duration)),
            ("max_duration_ms", number(self.max_duration)),
            ("min_tokens", number(self.min_tokens)),
            ("max_tokens", number(self.max_tokens)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .chain(self.text.iter().map(|text| ("text", text.clone())))
        .chain(self.assessment.iter().map(|what| ("assessment", what.clone())))
        .collect()
    }
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// The trace's id, or the beginning of the id of one of the latest traces
    #[arg(value_name = "TRACE")]
    pub(crate) trace_id: String,
    /// Print input, output and metadata below each span
    #[arg(long)]
    pub(crate) payloads: bool,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// What a search sorts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortKey {
    Start,
    Duration,
    InputTokens,
    OutputTokens,
}

impl SortKey {
    /// Returns the key as the SGP API names it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start_timestamp",
            Self::Duration => "duration_ms",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
        }
    }
}

/// Every list takes several values, with commas or by repeating the option; a span must pass every option that is given.
#[derive(Debug, Args)]
pub(crate) struct SearchArguments {
    /// Words and phrases that a span holds, all of them, in its name, input, output or metadata
    #[arg(value_name = "TEXT")]
    pub(crate) texts: Vec<String>,
    /// How many spans at most
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N", conflicts_with = "all")]
    pub(crate) limit: u32,
    /// Find every span
    #[arg(long)]
    pub(crate) all: bool,
    /// Only spans that began at this moment or later: a time, a date, or how long ago, like 2h or 7d
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    pub(crate) since: Option<String>,
    /// Only spans that began at this moment or earlier
    #[arg(long, value_name = "WHEN", value_parser = parse_moment)]
    pub(crate) until: Option<String>,
    /// What to sort by
    #[arg(long, value_enum, default_value_t = SortKey::Start, value_name = "KEY")]
    pub(crate) sort: SortKey,
    /// Smallest and earliest first
    #[arg(long)]
    pub(crate) ascending: bool,
    /// Only spans of these traces
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    pub(crate) trace: Vec<String>,
    /// No spans of these traces
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    pub(crate) not_trace: Vec<String>,
    /// Only spans with these ids
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    pub(crate) span: Vec<String>,
    /// No spans with these ids
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    pub(crate) not_span: Vec<String>,
    /// Only children of these spans
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    pub(crate) parent: Vec<String>,
    /// Only spans without a parent
    #[arg(long)]
    pub(crate) roots: bool,
    /// Only spans of this group
    #[arg(long, value_name = "ID")]
    pub(crate) group: Option<String>,
    /// Only spans with exactly these names
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub(crate) name: Vec<String>,
    /// Only spans with these statuses: SUCCESS, ERROR, CANCELED
    #[arg(long, value_delimiter = ',', value_name = "STATUS")]
    pub(crate) status: Vec<String>,
    /// Only spans of these types, like COMPLETION or AGENT_WORKFLOW
    #[arg(long = "type", value_delimiter = ',', value_name = "TYPE")]
    pub(crate) types: Vec<String>,
    /// Only spans of these application variants
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    pub(crate) variant: Vec<String>,
    /// Only spans of agents of these ACP types
    #[arg(long, value_delimiter = ',', value_name = "TYPE")]
    pub(crate) acp_type: Vec<String>,
    /// Only spans of these agents, by name
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub(crate) agent: Vec<String>,
    /// Only spans of these agents, by id
    #[arg(long, value_delimiter = ',', value_name = "ID")]
    pub(crate) agent_id: Vec<String>,
    /// Only spans that ran in these observability traces
    #[arg(long, value_delimiter = ',', value_name = "HEX")]
    pub(crate) obs_trace: Vec<String>,
    /// Only spans that ran in these observability spans
    #[arg(long, value_delimiter = ',', value_name = "HEX")]
    pub(crate) obs_span: Vec<String>,
    /// Only spans that took at least this long, like 500ms, 2s or 1m
    #[arg(long, value_name = "TIME", value_parser = parse_millis)]
    pub(crate) min_duration: Option<u64>,
    /// Only spans that took at most this long
    #[arg(long, value_name = "TIME", value_parser = parse_millis)]
    pub(crate) max_duration: Option<u64>,
    /// Only spans whose metadata has this value under this key; the value is JSON, or else text
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) metadata: Vec<String>,
    /// Only spans with an assessment that says this: a type, approval:rejected, rating:3, rating:<3
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    pub(crate) assessment: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TailArguments {
    /// Only spans of this trace
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<String>,
    /// Only spans whose name contains this text, letter case aside
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
    /// Only spans with these statuses: SUCCESS, ERROR, CANCELED; several with commas
    #[arg(long, value_delimiter = ',', value_name = "STATUS")]
    pub(crate) status: Vec<String>,
    /// Only spans of these types, like COMPLETION; several with commas
    #[arg(long = "type", value_delimiter = ',', value_name = "TYPE")]
    pub(crate) types: Vec<String>,
    /// Only spans without a parent
    #[arg(long)]
    pub(crate) roots: bool,
    /// Only spans that took at least this long, like 500ms, 2s or 1m
    #[arg(long, value_name = "TIME", value_parser = parse_millis)]
    pub(crate) min_duration: Option<u64>,
    /// Stop after this many spans
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) limit: Option<u64>,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}
