//! Short texts of which every credential, or the key before it, holds one.

use aho_corasick::{AhoCorasick, MatchKind, packed};

/// What a trigger hints at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trigger {
    /// A credential-named key.
    Key,
    /// A credential known by its form.
    Value,
}

/// Parts of credential-named keys. First letters are left out where that covers both cases.
const KEYS: &[&str] = &[
    "uthorization",
    "UTHORIZATION",
    "pi_key",
    "pi-key",
    "pikey",
    "piKey",
    "pi-Key",
    "PI_KEY",
    "PI-KEY",
    "PI-Key",
    "PIKEY",
    "PIKey",
    "asswd",
    "ASSWD",
    "assword",
    "ASSWORD",
    "ecret",
    "ECRET",
    "_token",
    "-token",
    "Token",
    "_TOKEN",
    "te_key",
    "te-key",
    "teKey",
    "TE_KEY",
    "ss_key",
    "ss-key",
    "ssKey",
    "SS_KEY",
];

/// Parts of credentials, and how many bytes before them the credential begins.
const VALUES: &[(&str, usize)] = &[
    ("earer ", 1),
    ("eyJ", 0),
    ("sk-", 0),
    ("ghp_", 0),
    ("gho_", 0),
    ("ghs_", 0),
    ("ghu_", 0),
    ("hub_pat_", 3),
    ("glpat-", 0),
    ("xox", 0),
    ("hf_", 0),
    ("AKIA", 0),
    ("AIza", 0),
    ("://", 0),
    ("-BEGIN ", 4),
];

/// Finds all triggers in one pass.
#[derive(Debug)]
pub(super) struct Triggers {
    /// `None` on processors without the vector instructions for it.
    packed: Option<packed::Searcher>,
    plain: Option<AhoCorasick>,
}

impl Triggers {
    pub(super) fn new() -> Self {
        let needles = || KEYS.iter().copied().chain(VALUES.iter().map(|(needle, _)| *needle));
        let packed = packed::Searcher::new(needles());
        let plain = match packed {
            Some(_) => None,
            // Fails only for more needles than memory has room for.
            None => AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(needles()).ok(),
        };
        Self { packed, plain }
    }

    /// Calls `see` with each trigger in order: for a key the position of the trigger, for a value the position
    /// where the credential begins.
    pub(super) fn each(&self, text: &[u8], mut see: impl FnMut(Trigger, usize)) {
        let mut report = |pattern: usize, at: usize| match pattern.checked_sub(KEYS.len()) {
            None => see(Trigger::Key, at),
            Some(value) => {
                let before = VALUES.get(value).map_or(0, |(_, before)| *before);
                if let Some(start) = at.checked_sub(before) {
                    see(Trigger::Value, start);
                }
            }
        };
        if let Some(packed) = &self.packed {
            packed.find_iter(text).for_each(|found| report(found.pattern().as_usize(), found.start()));
        } else if let Some(plain) = &self.plain {
            plain.find_iter(text).for_each(|found| report(found.pattern().as_usize(), found.start()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_searches_find_the_same() {
        let fast = Triggers::new();
        let needles = KEYS.iter().copied().chain(VALUES.iter().map(|(needle, _)| *needle));
        let plain = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(needles).unwrap();
        let slow = Triggers { packed: None, plain: Some(plain) };
        let all: Vec<_> = KEYS.iter().copied().chain(VALUES.iter().map(|(needle, _)| *needle)).collect();
        for text in [all.join(" x "), all.concat(), "ordinary text".repeat(9)] {
            let mut found = [Vec::new(), Vec::new()];
            fast.each(text.as_bytes(), |trigger, at| found[0].push((trigger, at)));
            slow.each(text.as_bytes(), |trigger, at| found[1].push((trigger, at)));
            assert_eq!(found[0], found[1]);
        }
    }
}
