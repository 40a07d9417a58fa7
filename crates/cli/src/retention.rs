//! How long a server keeps spans, by flags and a file.

use std::collections::HashMap;
use std::time::Duration;

use endspan_model::AccountId;
use endspan_server::{Retention, RetentionLimits};
use serde::Deserialize;

use crate::args::{RetentionArguments, parse_bytes};
use crate::error::{CliError, Exit};

/// The file: TOML, one table for each account.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    account: HashMap<String, Limits>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    days: Option<u32>,
    bytes: Option<String>,
}

/// Returns what the arguments say.
pub(crate) fn read(arguments: &RetentionArguments) -> Result<Retention, CliError> {
    let file = match &arguments.retention {
        Some(path) => {
            let shown = path.display();
            let text = std::fs::read_to_string(path)
                .map_err(|error| CliError::new(Exit::Local, format!("cannot read {shown}: {error}")))?;
            toml::from_str(&text).map_err(|error| CliError::new(Exit::Usage, format!("{shown}: {error}")))?
        }
        None => File::default(),
    };
    let mut accounts = HashMap::new();
    for (name, Limits { days, bytes }) in file.account {
        let wrong =
            |message: String| CliError::new(Exit::Usage, format!("retention of account {name}: {message}"));
        if days == Some(0) {
            return Err(wrong("days: expected at least 1".to_owned()));
        }
        let max_bytes = bytes
            .as_deref()
            .map(parse_bytes)
            .transpose()
            .map_err(|error| wrong(format!("bytes: {error}")))?;
        accounts.insert(AccountId::new(name.as_str()), limits(days, max_bytes));
    }
    Ok(Retention { default: limits(arguments.retain_days, arguments.retain_bytes), accounts })
}

fn limits(days: Option<u32>, max_bytes: Option<u64>) -> RetentionLimits {
    RetentionLimits { max_age: days.map(|days| Duration::from_secs(u64::from(days) * 86_400)), max_bytes }
}
