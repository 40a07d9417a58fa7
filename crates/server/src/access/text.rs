//! Keys as the text of a file: JSON, so that other tools can make and read it.

use std::collections::HashSet;

use endspan_model::limits::MAX_ID_BYTES;
use endspan_model::{AccountId, Timestamp};
use endspan_wire::time;
use serde::{Deserialize, Serialize};

use super::{ApiKey, KeyHash, Role};

/// The only version so far.
const VERSION: u32 = 1;

/// A text that holds no keys in the form of this version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTextError {
    /// Not the JSON expected.
    #[error("not a file of keys: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a newer endspan.
    #[error("version {0} of the file is newer than this program")]
    Newer(u32),
    /// One key is malformed.
    #[error("key {id}: {field} is malformed")]
    Malformed {
        /// The key's id, or what stands in its place.
        id: String,
        /// The member of the key's object.
        field: &'static str,
    },
    /// Two keys have one id.
    #[error("key {0} occurs twice")]
    Twice(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    keys: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    name: String,
    account: Option<String>,
    roles: Vec<String>,
    sha256: String,
    last_four: String,
    created: String,
    expires: Option<String>,
}

/// Writes keys as text. Secrets are not in it.
pub fn format_keys(keys: &[ApiKey]) -> String {
    let entry = |key: &ApiKey| Entry {
        id: key.id.clone(),
        name: key.name.clone(),
        account: key.account.as_ref().map(|account| account.as_str().to_owned()),
        roles: key.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        sha256: key.hash.to_hex(),
        last_four: key.last_four.clone(),
        created: moment(key.created),
        expires: key.expires.map(moment),
    };
    let file = File { version: VERSION, keys: keys.iter().map(entry).collect() };
    // Plain structs of numbers and texts always serialize.
    serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
}

/// Reads what [`format_keys`] wrote.
///
/// # Errors
/// [`KeyTextError`] when any part is not understood: a key that is half understood might allow too much.
pub fn parse_keys(text: &str) -> Result<Vec<ApiKey>, KeyTextError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_str(text)?;
    if version > VERSION {
        return Err(KeyTextError::Newer(version));
    }
    let File { keys, .. } = serde_json::from_str(text)?;
    let keys = keys.into_iter().map(parse_key).collect::<Result<Vec<_>, _>>()?;
    let mut ids = HashSet::new();
    match keys.iter().find(|key| !ids.insert(key.id.as_str())) {
        Some(twice) => Err(KeyTextError::Twice(twice.id.clone())),
        None => Ok(keys),
    }
}

fn parse_key(entry: Entry) -> Result<ApiKey, KeyTextError> {
    let malformed = |field| KeyTextError::Malformed { id: entry.id.clone(), field };
    let time = |text: &str, field| time::parse_text(text.as_bytes()).ok_or_else(|| malformed(field));
    let roles = entry.roles.iter().map(|name| Role::from_name(name)).collect::<Option<Vec<_>>>();
    let account = entry.account.as_deref();
    // What cannot stand in the account's header cannot be told apart by it.
    let usable = |text: &&str| {
        (1..=MAX_ID_BYTES).contains(&text.len()) && text.trim() == *text && !text.contains(char::is_control)
    };
    if account.is_some_and(|text| !usable(&text)) {
        return Err(malformed("account"));
    }
    Ok(ApiKey {
        roles: roles.filter(|roles| !roles.is_empty()).ok_or_else(|| malformed("roles"))?,
        hash: KeyHash::from_hex(&entry.sha256).ok_or_else(|| malformed("sha256"))?,
        created: time(&entry.created, "created")?,
        expires: entry.expires.as_deref().map(|text| time(text, "expires")).transpose()?,
        account: account.map(AccountId::new),
        id: entry.id,
        name: entry.name,
        last_four: entry.last_four,
    })
}

fn moment(time: Timestamp) -> String {
    let mut text = Vec::new();
    time::push_utc(&mut text, time);
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Secret;
    use super::*;

    fn key(account: Option<&str>) -> ApiKey {
        let secret = Secret::generate().unwrap();
        ApiKey {
            id: secret.id().to_owned(),
            name: "CI \"main\"".to_owned(),
            account: account.map(AccountId::new),
            roles: vec![Role::Ingest, Role::Read],
            hash: secret.hash(),
            last_four: secret.last_four().to_owned(),
            created: time::parse_text(b"2026-01-02T03:04:05.000006Z").unwrap(),
            expires: account.map(|_| time::parse_text(b"2027-01-02T03:04:05Z").unwrap()),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let keys = [key(None), key(Some("Zürich"))];
        assert_eq!(parse_keys(&format_keys(&keys)).unwrap(), keys);
        assert_eq!(parse_keys(&format_keys(&[])).unwrap(), []);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let text = format_keys(&[key(Some("a"))]);
        for (from, to) in [
            ("\"version\": 1", "\"version\": 2"),
            ("\"ingest\"", "\"root\""),
            ("\"account\": \"a\"", "\"account\": \"\""),
            ("\"account\": \"a\"", "\"account\": \" a\""),
            ("\"account\": \"a\"", "\"account\": \"a\\n\""),
            ("\"created\": \"2026", "\"created\": \"x"),
            ("\"expires\": \"2027", "\"expires\": \"x"),
            ("\"sha256\": \"", "\"sha256\": \"0"),
            ("\"name\"", "\"nickname\""),
            ("{", "["),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            assert!(parse_keys(&changed).is_err(), "{changed}");
        }
        let twice = key(None);
        assert!(matches!(parse_keys(&format_keys(&[twice.clone(), twice])), Err(KeyTextError::Twice(_))));
    }
}
