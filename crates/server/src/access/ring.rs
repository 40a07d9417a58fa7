//! The keys that a running server knows.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use endspan_model::Timestamp;

use super::ApiKey;
use super::secret::{KeyHash, id_of};

type ById = HashMap<String, Arc<ApiKey>>;

/// The keys of a server; they may change while it runs.
///
/// A ring that was never given keys is open: it asks nobody. From the first [`KeyRing::replace`] on it is closed for
/// good, also when the last key is taken away: a mistake must not open a server.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: RwLock<Option<Arc<ById>>>,
}

/// Why a secret opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    Unknown,
    Expired,
}

impl KeyRing {
    /// Makes a ring that asks nobody, until it is given keys.
    pub fn open() -> Self {
        Self::default()
    }

    /// Makes a ring with these keys and no others.
    pub fn closed(keys: Vec<ApiKey>) -> Self {
        let ring = Self::default();
        ring.replace(keys);
        ring
    }

    /// Replaces all keys; requests that were let in already are not affected.
    pub fn replace(&self, keys: Vec<ApiKey>) {
        let keys: ById = keys.into_iter().map(|key| (key.id.clone(), Arc::new(key))).collect();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
    }

    /// Returns whether requests need a key.
    pub fn is_closed(&self) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Returns how many keys there are.
    pub fn len(&self) -> usize {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, |keys| keys.len())
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the key that a secret belongs to.
    pub(crate) fn find(&self, secret: &str, now: Timestamp) -> Result<Arc<ApiKey>, Denied> {
        let id = id_of(secret).ok_or(Denied::Unknown)?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let key = keys.as_ref().and_then(|keys| keys.get(id)).ok_or(Denied::Unknown)?;
        if key.hash != KeyHash::of(secret) {
            return Err(Denied::Unknown);
        }
        if key.expires.is_some_and(|expires| expires <= now) {
            return Err(Denied::Expired);
        }
        Ok(Arc::clone(key))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Role, Secret};
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000).unwrap()
    }

    fn key(secret: &Secret, expires: Option<i64>) -> ApiKey {
        ApiKey {
            id: secret.id().to_owned(),
            name: String::new(),
            account: None,
            roles: vec![Role::Read],
            hash: secret.hash(),
            last_four: secret.last_four().to_owned(),
            created: at(0),
            expires: expires.map(at),
        }
    }

    #[test]
    fn a_secret_opens_until_it_expires_or_is_taken_away() {
        let secret = Secret::generate().unwrap();
        let ring = KeyRing::open();
        assert!(!ring.is_closed());
        ring.replace(vec![key(&secret, Some(10))]);
        assert!(ring.is_closed() && ring.len() == 1);
        assert_eq!(ring.find(secret.expose(), at(9)).unwrap().id, secret.id());
        assert_eq!(ring.find(secret.expose(), at(10)), Err(Denied::Expired));
        ring.replace(Vec::new());
        assert!(ring.is_closed() && ring.is_empty());
        assert_eq!(ring.find(secret.expose(), at(9)), Err(Denied::Unknown));
    }

    #[test]
    fn the_id_alone_opens_nothing() {
        let (secret, other) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        let ring = KeyRing::closed(vec![key(&secret, None)]);
        let (_, random) = other.expose().rsplit_once('_').unwrap();
        let forged = format!("endspan_{}_{random}", secret.id());
        assert_eq!(ring.find(&forged, at(0)), Err(Denied::Unknown));
        assert_eq!(ring.find(other.expose(), at(0)), Err(Denied::Unknown));
    }
}
