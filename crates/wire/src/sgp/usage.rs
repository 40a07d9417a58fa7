use endspan_model::{Facets, Span};

/// The token counts that the producer reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// Tokens read by the model.
    pub input_tokens: Option<i64>,
    /// Tokens written by the model.
    pub output_tokens: Option<i64>,
}

/// Returns the token counts of a span: those that stores sort and filter by ([`Facets`]).
pub fn token_usage(span: &Span) -> TokenUsage {
    let facets = Facets::of(span);
    let count = |tokens: Option<u64>| tokens.and_then(|tokens| i64::try_from(tokens).ok());
    TokenUsage { input_tokens: count(facets.input_tokens), output_tokens: count(facets.output_tokens) }
}
