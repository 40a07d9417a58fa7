//! Takes credentials out of spans before they reach the disk or an answer (`sgp-api` 3.4).
//!
//! A string under a credential-named key is replaced as a whole; in any other text only the part that looks like
//! a credential is. Containers under such a key are looked into, not replaced: a tool's schema may well describe a
//! property named `password`. One automaton over the raw bytes finds payloads that need a closer look at all;
//! the others, nearly all, are not touched.

mod patterns;
mod rewrite;

use aho_corasick::{AhoCorasick, MatchKind};
use endspan_model::{Payload, Span, SpanPatch};

/// What a credential becomes.
pub(crate) const REPLACEMENT: &str = "[REDACTED:credential]";

/// Finds and replaces credentials.
#[derive(Debug)]
pub(crate) struct Redactor {
    /// `None` when it could not be built; then every payload gets the closer look.
    triggers: Option<AhoCorasick>,
}

impl Redactor {
    pub(crate) fn new() -> Self {
        let needles = patterns::KEY_TRIGGERS.iter().chain(patterns::VALUE_TRIGGERS);
        let triggers = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(needles)
            .inspect_err(|error| tracing::warn!(%error, "redaction works without its fast search"))
            .ok();
        Self { triggers }
    }

    /// Redacts a span; returns how many credentials were replaced.
    pub(crate) fn redact(&self, span: &mut Span) -> u64 {
        let payloads = [&mut span.input, &mut span.output, &mut span.metadata, &mut span.expected];
        let count: u64 = payloads.into_iter().flatten().map(|payload| self.payload(payload)).sum();
        count + self.text(&mut span.name)
    }

    /// Redacts a patch; returns how many credentials were replaced.
    pub(crate) fn redact_patch(&self, patch: &mut SpanPatch) -> u64 {
        let payloads = [&mut patch.input, &mut patch.output, &mut patch.metadata, &mut patch.merge_metadata];
        let count: u64 = payloads.into_iter().flatten().map(|payload| self.payload(payload)).sum();
        count + patch.name.as_mut().map_or(0, |name| self.text(name))
    }

    fn may_hold_credentials(&self, text: &[u8]) -> bool {
        self.triggers.as_ref().is_none_or(|triggers| triggers.is_match(text))
    }

    fn payload(&self, payload: &mut Payload) -> u64 {
        if !self.may_hold_credentials(payload.as_bytes()) {
            return 0;
        }
        let (text, count) = rewrite::json(payload.as_bytes());
        if count > 0 {
            *payload = Payload::from_trusted(text.into());
        }
        count
    }

    fn text(&self, text: &mut String) -> u64 {
        if !self.may_hold_credentials(text.as_bytes()) {
            return 0;
        }
        let mut out = Vec::with_capacity(text.len());
        let count = rewrite::content(text.as_bytes(), &mut out);
        if count > 0 {
            // Only whole runs of ASCII were replaced.
            *text = String::from_utf8_lossy(&out).into_owned();
        }
        count
    }
}

#[cfg(test)]
mod tests;
