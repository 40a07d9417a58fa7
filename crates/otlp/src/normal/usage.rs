use serde::Serialize;

use super::json::{Json, Object};
use crate::conventions::Convention;

/// Tokens of a model call, counted one way whatever way they were reported.
///
/// `input_tokens` counts **all** input, also what was read from or written to a cache; `output_tokens` counts all
/// output, also reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Usage {
    /// All input tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// All output tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// The total as reported; see [`Usage::total`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_total_tokens: Option<u64>,
    /// Of the input: read from a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_read_tokens: Option<u64>,
    /// Of the input: written to a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_tokens: Option<u64>,
    /// Of the output: reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
    /// Whether the reported input counted the cache; `None` when no cache was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheAccounting>,
}

/// How the reported input and the cache went together, and how that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheAccounting {
    /// Whether the reported input already counted cached tokens. Where it did not, they were added.
    pub included: bool,
    /// How that is known.
    pub evidence: Evidence,
}

/// How it is known whether the reported input counts the cache, surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// More cached tokens than input were reported.
    CacheExceedsInput,
    /// The reported total adds up in only one way.
    Total,
    /// The convention that reported it says so.
    Convention,
}

impl Usage {
    /// Returns input and output together.
    pub const fn total(&self) -> u64 {
        let input = match self.input_tokens {
            Some(tokens) => tokens,
            None => 0,
        };
        match self.output_tokens {
            Some(tokens) => input.saturating_add(tokens),
            None => input,
        }
    }

    /// Returns the input tokens that have to do with no cache.
    pub fn uncached_input_tokens(&self) -> u64 {
        let cached = self.cache_read_tokens.unwrap_or(0).saturating_add(self.cache_write_tokens.unwrap_or(0));
        self.input_tokens.unwrap_or(0).saturating_sub(cached)
    }

    /// Adds another call's usage.
    pub fn add(&mut self, other: &Self) {
        fn sum(field: &mut Option<u64>, other: Option<u64>) {
            if let Some(other) = other {
                *field = Some(field.unwrap_or(0).saturating_add(other));
            }
        }
        sum(&mut self.input_tokens, other.input_tokens);
        sum(&mut self.output_tokens, other.output_tokens);
        sum(&mut self.cache_read_tokens, other.cache_read_tokens);
        sum(&mut self.cache_write_tokens, other.cache_write_tokens);
        sum(&mut self.reasoning_tokens, other.reasoning_tokens);
        self.reported_total_tokens = None;
        self.cache = None;
    }

    /// Returns whether two usages count the same tokens, however they were reported.
    pub fn same_tokens(&self, other: &Self) -> bool {
        let tokens = |usage: &Self| (usage.input_tokens.unwrap_or(0), usage.output_tokens.unwrap_or(0));
        tokens(self) == tokens(other)
    }
}

/// Counts as they were reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reported {
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) total: Option<u64>,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
    pub(super) reasoning: Option<u64>,
    /// Whether who reported the input counts the cache beside it.
    pub(super) cache_beside: bool,
}

impl Reported {
    /// Takes what is still missing from an object of counts, as providers and frameworks write them.
    pub(super) fn fill(&mut self, object: &Object<'_>, source: Convention) {
        let count = |keys: &[&str]| keys.iter().find_map(|key| object.get(key).and_then(count));
        let detail = |outer: &[&str], inner: &[&str]| {
            let details = outer.iter().find_map(|key| object.get(key).and_then(Json::as_object))?;
            inner.iter().find_map(|key| details.get(key).and_then(self::count))
        };
        if self.input.is_none() {
            self.input = count(&[
                "input_tokens",
                "prompt_tokens",
                "inputTokens",
                "promptTokens",
                "promptTokenCount",
                "input",
                "prompt",
            ]);
            // Langfuse counts cached input beside the input; so do the raw answers of Anthropic's API, which
            // alone use the long names here.
            self.cache_beside = source == Convention::Langfuse
                || source == Convention::Agentex && object.contains_key("cache_creation_input_tokens");
        }
        self.output = self.output.or_else(|| {
            count(&[
                "output_tokens",
                "completion_tokens",
                "outputTokens",
                "completionTokens",
                "candidatesTokenCount",
                "output",
                "completion",
            ])
        });
        self.total =
            self.total.or_else(|| count(&["total_tokens", "totalTokens", "totalTokenCount", "total"]));
        self.cache_read = self.cache_read.or_else(|| {
            count(&[
                "cache_read_input_tokens",
                "cached_input_tokens",
                "cached_tokens",
                "input_cached_tokens",
                "cache_read_tokens",
                "cachedInputTokens",
                "cachedContentTokenCount",
                "input_cache_read",
            ])
            .or_else(|| {
                detail(
                    &[
                        "prompt_tokens_details",
                        "input_tokens_details",
                        "input_token_details",
                        "prompt_details",
                    ],
                    &["cached_tokens", "cache_read"],
                )
            })
        });
        self.cache_write = self.cache_write.or_else(|| {
            count(&[
                "cache_creation_input_tokens",
                "cache_write_tokens",
                "input_cache_creation",
                "cache_write_input_tokens",
            ])
            .or_else(|| {
                detail(&["input_token_details", "prompt_details"], &["cache_creation", "cache_write"])
            })
        });
        self.reasoning = self.reasoning.or_else(|| {
            count(&["reasoning_tokens", "reasoningTokens", "output_reasoning_tokens", "thoughtsTokenCount"])
                .or_else(|| {
                    detail(
                        &["completion_tokens_details", "output_tokens_details", "output_token_details"],
                        &["reasoning_tokens", "reasoning"],
                    )
                })
        });
    }

    /// Returns the usage counted our way, or `None` if nothing was reported.
    pub(super) fn settle(self) -> Option<Usage> {
        let Self { input, output, total, cache_read, cache_write, reasoning, cache_beside } = self;
        if [input, output, total, cache_read, cache_write, reasoning].iter().all(Option::is_none) {
            return None;
        }
        let cached = cache_read.unwrap_or(0).saturating_add(cache_write.unwrap_or(0));
        let (plain_input, plain_output) = (input.unwrap_or(0), output.unwrap_or(0));
        let sum = plain_input.saturating_add(plain_output);
        let cache = (cached > 0).then(|| {
            let (included, evidence) = match total {
                _ if cached > plain_input => (false, Evidence::CacheExceedsInput),
                Some(total) if total == sum => (true, Evidence::Total),
                Some(total) if total == sum.saturating_add(cached) => (false, Evidence::Total),
                _ => (!cache_beside, Evidence::Convention),
            };
            CacheAccounting { included, evidence }
        });
        let beside = cache.is_some_and(|cache| !cache.included);
        // Some report reasoning beside the output; only a total can show it.
        let reasoning_beside = reasoning.unwrap_or(0) > 0
            && (reasoning.unwrap_or(0) > plain_output
                || total.is_some_and(|total| total == sum.saturating_add(reasoning.unwrap_or(0))));
        Some(Usage {
            input_tokens: if beside { Some(plain_input.saturating_add(cached)) } else { input },
            output_tokens: if reasoning_beside {
                Some(plain_output.saturating_add(reasoning.unwrap_or(0)))
            } else {
                output
            },
            reported_total_tokens: total,
            cache_read_tokens: cache_read,
            cache_write_tokens: cache_write,
            reasoning_tokens: reasoning,
            cache,
        })
    }
}

/// Returns a count: a whole number that is not negative, also where it is written as text or as a double.
pub(super) fn count(value: &Json<'_>) -> Option<u64> {
    match value {
        Json::Number(number) => number.as_u64().or_else(|| {
            let double = number.as_f64()?;
            (double >= 0.0 && double.fract() == 0.0 && double < 1e15).then_some(double as u64)
        }),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}
