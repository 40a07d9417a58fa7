//! `endspan keys`: makes, lists and revokes API keys.

use std::path::PathBuf;

use endspan_model::{AccountId, Timestamp};
use endspan_server::access::{ApiKey, Role, format_keys, parse_keys};

use crate::args::{
    CreateKeyArguments, KeyFileArguments, KeyRole, KeysCommand, ListKeysArguments, RevokeKeyArguments,
};
use crate::error::{CliError, Exit};
use crate::format;
use crate::host::data_directory;
use crate::keys;
use crate::output::{Output, Style, printable};
use crate::when;

pub(crate) fn run(command: KeysCommand, mut output: Output) -> Result<(), CliError> {
    match command {
        KeysCommand::Create(arguments) => create(&arguments, &mut output)?,
        KeysCommand::List(arguments) => list(&arguments, &mut output)?,
        KeysCommand::Revoke(arguments) => revoke(&arguments)?,
    }
    Ok(output.flush()?)
}

fn path_of(arguments: &KeyFileArguments) -> Result<PathBuf, CliError> {
    if let Some(keys) = &arguments.keys {
        return Ok(keys.clone());
    }
    let data = arguments.data.clone().map_or_else(data_directory, Ok)?;
    Ok(data.join(keys::FILE_NAME))
}

fn create(arguments: &CreateKeyArguments, output: &mut Output) -> Result<(), CliError> {
    let path = path_of(&arguments.file)?;
    let now = Timestamp::now();
    let expires = arguments.expires.as_deref().map(|text| expiry(text, now)).transpose()?;
    let secret = keys::generate()?;
    let mut roles = Vec::new();
    for role in &arguments.role {
        let role = match role {
            KeyRole::Ingest => Role::Ingest,
            KeyRole::Read => Role::Read,
            KeyRole::Metrics => Role::Metrics,
            KeyRole::Admin => Role::Admin,
        };
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    let key = ApiKey {
        id: secret.id().to_owned(),
        name: arguments.name.clone(),
        account: (!arguments.all_accounts).then(|| AccountId::new(arguments.account.as_str())),
        roles,
        hash: secret.hash(),
        last_four: secret.last_four().to_owned(),
        created: now,
        expires,
    };
    // What cannot be read back must not be written.
    parse_keys(&format_keys(std::slice::from_ref(&key)))
        .map_err(|error| CliError::new(Exit::Usage, error.to_string()))?;
    let first = keys::change(&path, |keys| {
        keys.push(key.clone());
        Ok(keys.len() == 1)
    })?;
    if arguments.json {
        let mut object = json_of(&key);
        object.insert("secret".to_owned(), secret.expose().into());
        output.line(serde_json::Value::from(object).to_string())?;
    } else {
        output.line(secret.expose())?;
    }
    output.flush()?;
    eprintln!("key {} is in {}; its secret is shown this once", key.id, path.display());
    if first {
        eprintln!("from now on a server with this file asks everyone for a key");
    }
    Ok(())
}

fn list(arguments: &ListKeysArguments, output: &mut Output) -> Result<(), CliError> {
    let path = path_of(&arguments.file)?;
    let found = keys::list(&path)?;
    if arguments.json {
        for key in &found {
            output.line(serde_json::Value::from(json_of(key)).to_string())?;
        }
        return Ok(());
    }
    if found.is_empty() {
        eprintln!("no keys in {}", path.display());
    }
    let now = Timestamp::now();
    for key in &found {
        output.put(Style::Strong, format_args!("{:<10}", key.id))?;
        output.put(Style::Dim, format_args!("…{}  ", printable(&key.last_four)))?;
        let roles: Vec<&str> = key.roles.iter().map(|role| role.as_str()).collect();
        output.put(Style::Plain, format_args!("{:<14}  ", roles.join(",")))?;
        let account = key.account.as_ref().map_or("(every account)", AccountId::as_str);
        output.put(Style::Plain, format_args!("{:<16}  ", printable(account)))?;
        output.put(Style::Dim, format_args!("made {}", format::date_and_time(&key.created.to_string())))?;
        match key.expires {
            Some(expires) if expires <= now => {
                output.put(
                    Style::Bad,
                    format_args!("  expired {}", format::date_and_time(&expires.to_string())),
                )?;
            }
            Some(expires) => {
                output.put(
                    Style::Open,
                    format_args!("  until {}", format::date_and_time(&expires.to_string())),
                )?;
            }
            None => {}
        }
        if !key.name.is_empty() {
            output.put(Style::Plain, format_args!("  {}", printable(&key.name)))?;
        }
        output.end_line()?;
    }
    Ok(())
}

fn revoke(arguments: &RevokeKeyArguments) -> Result<(), CliError> {
    let path = path_of(&arguments.file)?;
    // Who holds only the secret may give that.
    let id = arguments.id.strip_prefix("endspan_").unwrap_or(&arguments.id);
    let id = id.split('_').next().unwrap_or_default();
    let left = keys::change(&path, |keys| {
        let before = keys.len();
        keys.retain(|key| key.id != id);
        if keys.len() == before {
            let message = format!("no key {} in {}", printable(id), path.display());
            return Err(CliError::new(Exit::NotFound, message).with_hint("`endspan keys list` shows them"));
        }
        Ok(keys.len())
    })?;
    eprintln!("key {id} is revoked; {} left", format::count(left as u64, "key"));
    Ok(())
}

fn json_of(key: &ApiKey) -> serde_json::Map<String, serde_json::Value> {
    let roles: Vec<&str> = key.roles.iter().map(|role| role.as_str()).collect();
    let object = serde_json::json!({
        "id": key.id,
        "name": key.name,
        "account": key.account.as_ref().map(AccountId::as_str),
        "roles": roles,
        "last_four": key.last_four,
        "created": key.created.to_string(),
        "expires": key.expires.map(|expires| expires.to_string()),
    });
    match object {
        serde_json::Value::Object(object) => object,
        _ => serde_json::Map::new(),
    }
}

/// Reads `90d`, `12h`, `30m`, `2027-01-31` or a whole moment.
fn expiry(text: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    let usage = || {
        CliError::new(Exit::Usage, format!("--expires {text}: not a time to come"))
            .with_hint("like 90d, 12h, 30m, 2027-01-31 or 2027-01-31T12:00:00Z")
    };
    let from = jiff::Timestamp::from_microsecond(now.unix_micros()).map_err(|_| usage())?;
    let micros = when::moment(text, from, 1).ok().map(jiff::Timestamp::as_microsecond);
    let expires = micros.and_then(Timestamp::from_unix_micros).ok_or_else(usage)?;
    if expires <= now { Err(usage()) } else { Ok(expires) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries_are_spans_dates_or_moments() {
        let now = Timestamp::from_unix_micros(1_800_000_000_000_000).unwrap();
        let seconds = |text| expiry(text, now).unwrap().unix_micros() / 1_000_000 - 1_800_000_000;
        assert_eq!(seconds("90d"), 90 * 86_400);
        assert_eq!(seconds("12h"), 12 * 3_600);
        assert_eq!(seconds("30m"), 1_800);
        assert_eq!(seconds("2027-01-16"), 1_800_057_600 - 1_800_000_000);
        assert_eq!(seconds("2027-01-15T08:00:01Z"), 1);
        for bad in ["", "d", "0d", "-1d", "5w", "2020-01-01", "soon", "99999999999999d", "é"] {
            assert!(expiry(bad, now).is_err(), "{bad}");
        }
    }
}
