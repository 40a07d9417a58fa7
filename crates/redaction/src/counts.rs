use crate::forms::Pattern;

/// How many credentials were replaced, by pattern.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    built_in: [u64; Pattern::ALL.len()],
    /// By position among the configuration's keys, then prefixes. Grows as needed.
    custom: Vec<u64>,
}

impl Counts {
    /// Returns how many were replaced in all.
    pub fn total(&self) -> u64 {
        self.built_in.iter().chain(&self.custom).sum()
    }

    /// Returns how many a built-in pattern replaced.
    pub fn of(&self, pattern: Pattern) -> u64 {
        self.built_in.get(pattern as usize).copied().unwrap_or_default()
    }

    /// Returns how many a configured pattern replaced: `index` counts the configuration's keys, then its
    /// prefixes.
    pub fn of_custom(&self, index: usize) -> u64 {
        self.custom.get(index).copied().unwrap_or_default()
    }

    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.built_in.iter_mut().zip(other.built_in) {
            *count += more;
        }
        for (index, more) in other.custom.iter().enumerate() {
            *self.custom_slot(index) += more;
        }
    }

    pub(crate) fn count(&mut self, source: Source) {
        match source {
            Source::BuiltIn(pattern) => {
                if let Some(count) = self.built_in.get_mut(pattern as usize) {
                    *count += 1;
                }
            }
            Source::Custom(index) => *self.custom_slot(index) += 1,
        }
    }

    fn custom_slot(&mut self, index: usize) -> &mut u64 {
        if self.custom.len() <= index {
            self.custom.resize(index + 1, 0);
        }
        // The slot was just made.
        #[expect(clippy::indexing_slicing, reason = "resized to hold the index")]
        &mut self.custom[index]
    }
}

/// Which pattern found a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    BuiltIn(Pattern),
    Custom(usize),
}
