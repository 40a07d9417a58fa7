//! Takes credentials out of spans before they reach the disk or an answer (`sgp-api` 3.4).
//!
//! A string under a credential-named key is replaced as a whole; in any other text only the part that looks like
//! a credential is. Containers under such a key are looked into, not replaced: a tool's schema may well describe a
//! property named `password`.
//!
//! One vectorised search over the raw bytes finds [triggers](triggers); only around them is the text looked at, and
//! only a payload that holds a credential is copied.

mod patterns;
mod triggers;

use std::ops::Range;

use endspan_model::{Payload, Span, SpanPatch};

use patterns::{credential_at, key_values};
use triggers::{Trigger, Triggers};

/// What a credential becomes.
const REPLACEMENT: &[u8] = b"[REDACTED:credential]";

/// Finds and replaces credentials.
#[derive(Debug)]
pub(crate) struct Redactor {
    triggers: Triggers,
}

impl Redactor {
    pub(crate) fn new() -> Self {
        Self { triggers: Triggers::new() }
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

    fn payload(&self, payload: &mut Payload) -> u64 {
        let found = self.find(payload.as_bytes());
        if !found.is_empty() {
            *payload = Payload::from_trusted(replace(payload.as_bytes(), &found).into());
        }
        found.len() as u64
    }

    fn text(&self, text: &mut String) -> u64 {
        let found = self.find(text.as_bytes());
        if !found.is_empty() {
            // Credentials begin and end at ASCII characters, so that what is left is whole.
            *text = String::from_utf8_lossy(&replace(text.as_bytes(), &found)).into_owned();
        }
        found.len() as u64
    }

    /// Returns the ranges of credentials, in order and apart.
    fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut push = |range: Range<usize>| {
            if found.last().is_none_or(|last| last.end <= range.start) {
                found.push(range);
            }
        };
        self.triggers.each(text, |trigger, at| match trigger {
            Trigger::Key => key_values(text, at, &mut push),
            Trigger::Value => {
                if let Some(range) = credential_at(text, at) {
                    push(range);
                }
            }
        });
        found
    }
}

fn replace(text: &[u8], found: &[Range<usize>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + found.len() * REPLACEMENT.len());
    let mut copied = 0;
    for range in found {
        out.extend_from_slice(text.get(copied..range.start).unwrap_or_default());
        out.extend_from_slice(REPLACEMENT);
        copied = range.end;
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests;
