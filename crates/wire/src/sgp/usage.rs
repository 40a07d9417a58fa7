use endspan_model::{Payload, Span};

use crate::json::member;

/// The token counts that the producer reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Tokens read by the model.
    pub input_tokens: Option<i64>,
    /// Tokens written by the model.
    pub output_tokens: Option<i64>,
}

impl TokenUsage {
    const fn is_empty(self) -> bool {
        self.input_tokens.is_none() && self.output_tokens.is_none()
    }
}

/// Returns the token counts of a span: from `usage` in its metadata (the turn's aggregate), else from
/// `usage` in its output (one call's detail), by the key names of `sdk-behaviour` 11.2. The two are never
/// mixed. Only whole numbers from 0 on count.
pub fn token_usage(span: &Span) -> TokenUsage {
    [&span.metadata, &span.output]
        .into_iter()
        .map(|payload| usage_in(payload.as_ref()))
        .find(|usage| !usage.is_empty())
        .unwrap_or_default()
}

fn usage_in(payload: Option<&Payload>) -> TokenUsage {
    let Some(usage) = payload.and_then(|payload| member(payload.as_bytes(), "usage")) else {
        return TokenUsage::default();
    };
    let count = |names: [&str; 2]| {
        names.into_iter().find_map(|name| {
            let text = std::str::from_utf8(member(usage, name)?).ok()?;
            text.parse().ok().filter(|count: &i64| *count >= 0)
        })
    };
    TokenUsage {
        input_tokens: count(["input_tokens", "prompt_tokens"]),
        output_tokens: count(["output_tokens", "completion_tokens"]),
    }
}
