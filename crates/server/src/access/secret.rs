//! The secret half of a key: `endspan_`, the key's id, and 256 random bits.

use std::fmt;

use sha2::{Digest, Sha256};

/// What every secret begins with, for people and for tools that look for secrets in the wrong places.
const PREFIX: &str = "endspan_";

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters of an id: some 47 bits, which keeps ids apart; they are no secret.
const ID_CHARACTERS: usize = 8;

/// Characters of the random part: 43 of 62 letters and digits hold 256 bits.
const RANDOM_CHARACTERS: usize = 43;

/// A key as its owner holds it. Shown once, kept nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
}

/// The system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandomness(#[from] getrandom::Error);

impl Secret {
    /// Makes a secret from the system's randomness.
    ///
    /// # Errors
    /// [`NoRandomness`] when the system has none to give.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut text = String::with_capacity(PREFIX.len() + ID_CHARACTERS + 1 + RANDOM_CHARACTERS);
        text.push_str(PREFIX);
        push_random(&mut text, ID_CHARACTERS)?;
        text.push('_');
        push_random(&mut text, RANDOM_CHARACTERS)?;
        Ok(Self { text })
    }

    /// Returns the id of the key.
    pub fn id(&self) -> &str {
        id_of(&self.text).unwrap_or_default()
    }

    /// Returns what is kept of the secret.
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.text)
    }

    /// Returns the last four characters.
    pub fn last_four(&self) -> &str {
        self.text.get(self.text.len().saturating_sub(4)..).unwrap_or_default()
    }

    /// Returns the secret itself.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secret({}…)", self.id())
    }
}

/// Returns the id of the key that a text claims to be.
pub(super) fn id_of(text: &str) -> Option<&str> {
    let (id, random) = text.strip_prefix(PREFIX)?.split_once('_')?;
    (id.len() == ID_CHARACTERS && random.len() == RANDOM_CHARACTERS).then_some(id)
}

fn push_random(text: &mut String, characters: usize) -> Result<(), NoRandomness> {
    let mut left = characters;
    while left > 0 {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes)?;
        // 248 is the largest multiple of 62: above it some characters would be likelier.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        for byte in fair.take(left) {
            text.extend(ALPHABET.get(usize::from(byte % 62)).map(|byte| char::from(*byte)));
            left -= 1;
        }
    }
    Ok(())
}

/// The SHA-256 of a secret.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Digests a secret.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| !pair.starts_with('+'))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(hash))
    }

    /// Returns 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Takes the same time wherever the two differ.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        let differing = self.0.iter().zip(&other.0).fold(0, |bits, (left, right)| bits | (left ^ right));
        std::hint::black_box(differing) == 0
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_one_form_and_never_repeat() {
        let (first, second) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_ne!(first.expose(), second.expose());
        assert_ne!(first.id(), second.id());
        for secret in [first, second] {
            assert_eq!(secret.expose().len(), 60);
            assert!(secret.expose().starts_with(&format!("endspan_{}_", secret.id())));
            assert!(secret.expose().ends_with(secret.last_four()));
            assert_eq!(id_of(secret.expose()), Some(secret.id()));
            assert!(!format!("{secret:?}").contains(secret.last_four()));
        }
    }

    #[test]
    fn every_character_can_occur() {
        let mut text = String::new();
        push_random(&mut text, 20_000).unwrap();
        let seen: std::collections::HashSet<char> = text.chars().collect();
        assert_eq!(seen.len(), 62);
    }

    #[test]
    fn hashes_compare_as_a_whole() {
        // `printf abc | sha256sum`
        let hash = KeyHash::of("abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash.to_hex(), hex);
        assert_eq!(KeyHash::from_hex(hex), Some(hash));
        for place in [0, 31, 63] {
            let mut other = hex.to_owned();
            other.replace_range(place..=place, if &hex[place..=place] == "0" { "1" } else { "0" });
            assert_ne!(KeyHash::from_hex(&other), Some(hash));
        }
        for bad in ["", "ba78", &"z".repeat(64), &"+1".repeat(32), &"é".repeat(32)] {
            assert_eq!(KeyHash::from_hex(bad), None);
        }
    }

    #[test]
    fn other_texts_name_no_key() {
        let secret = Secret::generate().unwrap();
        let text = secret.expose();
        for other in ["", "endspan_", "sk-abc", &text[1..], &text[..59], &format!("{text}x")] {
            assert_eq!(id_of(other), None, "{other}");
        }
    }
}
