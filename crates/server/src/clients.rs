//! Who sends spans: clients by the user agents that they name, and what they say that they gave up.

mod drops;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use endspan_model::Timestamp;
use endspan_wire::DropReport;
use http::{HeaderMap, header};

pub(crate) use drops::{DropCounts, Drops};

/// Clients that are remembered; beyond it the one that was silent longest is forgotten.
const MAX_CLIENTS: usize = 100;
/// A longer name is cut.
const MAX_NAME_CHARACTERS: usize = 200;

/// What one client sent since the server started.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) requests: AtomicU64,
    pub(crate) spans: AtomicU64,
    pub(crate) rejected: AtomicU64,
    last_seen_micros: AtomicI64,
    drops: Mutex<Drops>,
}

impl Client {
    /// Returns what this client's processes say that they gave up.
    pub(crate) fn drops(&self) -> Drops {
        self.drops.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what a request says of drops, and returns what it says for the first time.
    pub(crate) fn take_report(&self, headers: &HeaderMap) -> Option<DropCounts> {
        let header = headers.get(DropReport::HEADER)?.to_str().ok()?;
        let report = DropReport::parse(header)?;
        Some(self.drops.lock().unwrap_or_else(PoisonError::into_inner).take(&report))
    }

    /// Returns when the client last sent something.
    pub(crate) fn last_seen(&self) -> Option<Timestamp> {
        Timestamp::from_unix_micros(self.last_seen_micros.load(Ordering::Relaxed))
    }
}

/// The clients of a server.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    known: RwLock<HashMap<Box<str>, Arc<Client>>>,
}

impl Clients {
    /// Counts a write request and returns its client.
    pub(crate) fn saw(&self, headers: &HeaderMap, spans: u64) -> Arc<Client> {
        let name = name(headers);
        let client = self.find(name).unwrap_or_else(|| self.add(name));
        client.requests.fetch_add(1, Ordering::Relaxed);
        client.spans.fetch_add(spans, Ordering::Relaxed);
        client.last_seen_micros.store(Timestamp::now().unix_micros(), Ordering::Relaxed);
        client
    }

    /// Returns the clients by name, the last seen first.
    pub(crate) fn list(&self) -> Vec<(Box<str>, Arc<Client>)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> =
            known.iter().map(|(name, client)| (name.clone(), Arc::clone(client))).collect();
        drop(known);
        // Each is asked once: requests come in meanwhile, and a sort whose keys change panics.
        list.sort_by_cached_key(|(_, client)| {
            std::cmp::Reverse(client.last_seen_micros.load(Ordering::Relaxed))
        });
        list
    }

    fn find(&self, name: &str) -> Option<Arc<Client>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn add(&self, name: &str) -> Arc<Client> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_CLIENTS && !known.contains_key(name) {
            let silent =
                known.iter().min_by_key(|(_, client)| client.last_seen_micros.load(Ordering::Relaxed));
            if let Some(silent) = silent.map(|(name, _)| name.clone()) {
                known.remove(&silent);
            }
        }
        Arc::clone(known.entry(name.into()).or_default())
    }
}

fn name(headers: &HeaderMap) -> &str {
    let named = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).map_or("", str::trim);
    match named.char_indices().nth(MAX_NAME_CHARACTERS) {
        Some((end, _)) => &named[..end],
        None => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::USER_AGENT, name.parse().unwrap())])
    }

    #[test]
    fn requests_of_one_name_are_one_client() {
        let clients = Clients::default();
        clients.saw(&headers("endspan/0.1.0"), 3);
        clients.saw(&headers("endspan/0.1.0"), 2);
        clients.saw(&HeaderMap::new(), 1);
        let list = clients.list();
        let figures = |name: &str| {
            let (_, client) = list.iter().find(|(known, _)| &**known == name).unwrap();
            (client.requests.load(Ordering::Relaxed), client.spans.load(Ordering::Relaxed))
        };
        assert_eq!((figures("endspan/0.1.0"), figures("")), ((2, 5), (1, 1)));
        assert!(list.iter().all(|(_, client)| client.last_seen().is_some()));
    }

    #[test]
    fn names_are_bounded_in_number_and_length() {
        let clients = Clients::default();
        for index in 0..3 * MAX_CLIENTS {
            clients.saw(&headers(&format!("{index}{}", "x".repeat(1000))), 1);
        }
        let list = clients.list();
        assert_eq!(list.len(), MAX_CLIENTS);
        assert!(list.iter().all(|(name, _)| name.len() == MAX_NAME_CHARACTERS));
    }
}
