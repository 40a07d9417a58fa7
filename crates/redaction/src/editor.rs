use std::ops::Range;

use crate::MARK;
use crate::counts::{Counts, Source};

/// Copies a text with some ranges replaced, front to back. Copies nothing before the first replacement.
pub(crate) struct Editor<'a> {
    text: &'a [u8],
    out: Vec<u8>,
    copied: usize,
    pub(crate) counts: Counts,
}

impl<'a> Editor<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, out: Vec::new(), copied: 0, counts: Counts::default() }
    }

    /// Replaces a range of a string's content by the mark; returns its end.
    pub(crate) fn replace(&mut self, range: Range<usize>, source: Source) -> usize {
        self.write(range, source, MARK.as_bytes())
    }

    /// Replaces a whole value by the mark in quotes; returns its end.
    pub(crate) fn replace_value(&mut self, range: Range<usize>, source: Source) -> usize {
        let quoted = [b"\"", MARK.as_bytes(), b"\""].concat();
        self.write(range, source, &quoted)
    }

    fn write(&mut self, range: Range<usize>, source: Source, mark: &[u8]) -> usize {
        if range.start < self.copied || range.end < range.start {
            return range.end.max(self.copied);
        }
        if self.copied == 0 {
            self.out.reserve(self.text.len() + mark.len());
        }
        self.out.extend_from_slice(self.text.get(self.copied..range.start).unwrap_or_default());
        self.out.extend_from_slice(mark);
        self.copied = range.end;
        self.counts.count(source);
        range.end
    }

    /// Returns the new text and the counts, or `None` if nothing was replaced.
    pub(crate) fn finish(mut self) -> Option<(Vec<u8>, Counts)> {
        if self.counts.total() == 0 {
            return None;
        }
        self.out.extend_from_slice(self.text.get(self.copied..).unwrap_or_default());
        Some((self.out, self.counts))
    }
}
