use std::collections::BTreeMap;

use serde_json::Value;

use crate::http::Request;

/// The API that a span came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// `/spans`
    Agentex,
    /// `/v5/spans`
    Sgp,
}

/// A span as the backend holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its JSON in the form of its API.
    pub json: Value,
    /// How often it was written.
    pub writes: usize,
    /// Whether an unfinished version was written after a finished one.
    pub start_after_end: bool,
}

/// What a real server would have stored.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) spans: BTreeMap<(Protocol, String), Stored>,
}

/// An answer in the making.
pub(crate) type Answer = (u16, Value);

impl Store {
    /// Applies a request as the API's server would, and answers it.
    pub(crate) fn apply(&mut self, request: &Request, offers_batches: bool) -> Answer {
        let path = request.path.as_str();
        let nothing = Value::Null;
        match (request.method.as_str(), path) {
            ("PUT" | "POST", "/v5/spans/batch") => {
                for item in request.items() {
                    self.upsert(Protocol::Sgp, item);
                }
                (200, serde_json::json!({"items": [], "object": "list"}))
            }
            ("PUT" | "POST", "/spans/batch") if offers_batches => {
                let items = request.items();
                let stored = items.len();
                for item in items {
                    self.upsert(Protocol::Agentex, item);
                }
                (200, serde_json::json!({"stored": stored, "superseded": 0, "rejected": 0, "items": []}))
            }
            (_, "/spans/batch") => (405, serde_json::json!({"detail": "Method Not Allowed"})),
            ("POST", "/spans") => {
                let span = request.json();
                if self.spans.contains_key(&(Protocol::Agentex, id_of(&span))) {
                    let message = "Item already exists. Please check all unique constraints and try again.";
                    return (400, serde_json::json!({"message": message, "code": 400, "data": null}));
                }
                self.upsert(Protocol::Agentex, span.clone());
                (200, span)
            }
            ("PATCH", path) => match path.strip_prefix("/spans/") {
                Some(id) => self.patch(id, request.json()),
                None => (404, nothing),
            },
            _ => (404, serde_json::json!({"detail": "Not Found"})),
        }
    }

    fn upsert(&mut self, protocol: Protocol, json: Value) {
        let key = (protocol, id_of(&json));
        let unfinished = !is_finished(&json);
        match self.spans.get_mut(&key) {
            Some(stored) => {
                stored.writes += 1;
                let regresses = unfinished && is_finished(&stored.json);
                stored.start_after_end |= regresses;
                if !regresses {
                    stored.json = json;
                }
            }
            None => {
                self.spans.insert(key, Stored { json, writes: 1, start_after_end: false });
            }
        }
    }

    fn patch(&mut self, id: &str, patch: Value) -> Answer {
        let Some(stored) = self.spans.get_mut(&(Protocol::Agentex, id.to_owned())) else {
            let message = format!("Item with id '{id}' does not exist.");
            return (404, serde_json::json!({"message": message, "code": 404, "data": null}));
        };
        stored.writes += 1;
        if let (Value::Object(old), Value::Object(new)) = (&mut stored.json, patch) {
            for (key, value) in new {
                match (key.as_str(), old.get_mut(&key), value) {
                    ("data", Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
                    (_, _, value) => {
                        old.insert(key, value);
                    }
                }
            }
        }
        (200, stored.json.clone())
    }
}

fn id_of(json: &Value) -> String {
    json.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn is_finished(json: &Value) -> bool {
    ["end_time", "end_timestamp"].iter().any(|key| json.get(key).is_some_and(|end| !end.is_null()))
}
