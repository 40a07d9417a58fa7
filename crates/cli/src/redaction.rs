//! What counts as a credential, by flags and a file.

use endspan_redaction::{CustomKey, CustomPrefix, Pattern, RedactionConfig, Redactor};
use serde::Deserialize;

use crate::args::RedactionArguments;
use crate::error::{CliError, Exit};

/// The file: TOML.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    /// Built-in patterns not to look for.
    disabled: Vec<String>,
    /// Names of keys whose values are never credentials.
    excepted_keys: Vec<String>,
    /// Further names of keys whose values are credentials.
    key: Vec<Key>,
    /// Further credentials by how they begin.
    prefix: Vec<Prefix>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    name: String,
    key: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefix {
    name: String,
    prefix: String,
    min_chars: usize,
}

/// Returns the configuration, and what looks for it; `None` when nothing is to be redacted.
pub(crate) fn read(arguments: &RedactionArguments) -> Result<(RedactionConfig, Option<Redactor>), CliError> {
    let usage = |message: String| CliError::new(Exit::Usage, message);
    let file: File = match &arguments.redaction {
        Some(path) => {
            let shown = path.display();
            let text = std::fs::read_to_string(path)
                .map_err(|error| CliError::new(Exit::Local, format!("cannot read {shown}: {error}")))?;
            toml::from_str(&text).map_err(|error| usage(format!("{shown}: {error}")))?
        }
        None => File::default(),
    };
    let nothing = arguments.no_redact.iter().any(|name| name == "all");
    // A variable that is set and empty names one pattern without a name.
    let told = arguments.no_redact.iter().filter(|name| !name.is_empty() && *name != "all");
    let named = file.disabled.iter().chain(told);
    let disabled = named.map(|name| {
        Pattern::from_name(name).ok_or_else(|| {
            let known: Vec<&str> = Pattern::ALL.iter().map(|pattern| pattern.as_str()).collect();
            usage(format!("no built-in pattern is called {name}"))
                .with_hint(format!("there are {}", known.join(", ")))
        })
    });
    let config = RedactionConfig {
        disabled: disabled.collect::<Result<_, _>>()?,
        keys: file.key.into_iter().map(|Key { name, key }| CustomKey { name, key }).collect(),
        excepted_keys: file.excepted_keys,
        prefixes: file
            .prefix
            .into_iter()
            .map(|Prefix { name, prefix, min_chars }| CustomPrefix { name, prefix, min_chars })
            .collect(),
    };
    let redactor = Redactor::new(&config).map_err(|error| usage(error.to_string()))?;
    Ok((config, (!nothing).then_some(redactor)))
}

/// Returns the names of configured patterns, in the order in which they are counted.
pub(crate) fn custom_names(config: &RedactionConfig) -> impl Iterator<Item = &str> {
    let keys = config.keys.iter().map(|key| key.name.as_str());
    keys.chain(config.prefixes.iter().map(|prefix| prefix.name.as_str()))
}
