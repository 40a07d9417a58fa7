use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::registry::{self, Kind, Variable};
use super::{is_off_word, python_integer};

/// Where settings are read from: the process's environment, or a fixed set of variables.
#[derive(Clone)]
pub struct Environment {
    read: Arc<Read>,
}

type Read = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    /// Reads the process's environment.
    pub fn process() -> Self {
        Self { read: Arc::new(|name| std::env::var(name).ok()) }
    }

    /// Holds just these variables, for tests and for hosts that keep settings elsewhere.
    pub fn fixed<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let variables: std::collections::HashMap<String, String> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { read: Arc::new(move |name| variables.get(name).cloned()) }
    }

    /// Returns a variable's text.
    pub(crate) fn text(&self, variable: Variable) -> Option<String> {
        (self.read)(variable.name)
    }

    /// Returns a variable's text unless it is empty.
    pub(crate) fn non_empty(&self, variable: Variable) -> Option<String> {
        self.text(variable).filter(|text| !text.is_empty())
    }

    /// Returns an integer variable raised to its floor; warns about text that is no integer.
    pub(crate) fn integer(&self, variable: Variable) -> Option<i64> {
        let text = self.text(variable)?;
        let Kind::Integer { floor } = variable.kind else { return None };
        match python_integer(&text) {
            Some(value) => Some(value.max(floor)),
            None => {
                tracing::warn!(
                    variable = variable.name,
                    value = text,
                    default = variable.default,
                    "{} is not an integer; the default holds",
                    variable.name
                );
                None
            }
        }
    }

    /// Returns an integer: the argument, else the variable, each raised to the floor.
    pub(crate) fn integer_or(&self, argument: Option<i64>, variable: Variable) -> Option<i64> {
        let Kind::Integer { floor } = variable.kind else { return argument };
        argument.map(|value| value.max(floor)).or_else(|| self.integer(variable))
    }

    /// Returns a flag: on unless its text is an off-word.
    pub(crate) fn flag(&self, variable: Variable) -> bool {
        !self.text(variable).is_some_and(|text| is_off_word(&text))
    }

    /// Returns the same with the spool switched on, for code that asks for one.
    pub(crate) fn with_spool(&self) -> Self {
        let read = Arc::clone(&self.read);
        let switch = registry::ENDSPAN_SPOOL.name;
        Self { read: Arc::new(move |name| if name == switch { None } else { read(name) }) }
    }

    fn home_variable(&self, name: &str) -> Option<String> {
        (self.read)(name).filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Environment")
    }
}

/// Reads headers from text with one `Name: value` in a line. Lines without a colon, and what is no header, are
/// passed over (`sdk-behaviour` 12.1).
pub(crate) fn custom_headers(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let name = HeaderName::try_from(name.trim());
        let value = HeaderValue::try_from(value.trim());
        if let (Ok(name), Ok(mut value)) = (name, value) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}

/// Returns the directory of the spool, or `None` when it is switched off.
pub(crate) fn spool_directory(environment: &Environment) -> Option<PathBuf> {
    if !environment.flag(registry::ENDSPAN_SPOOL) {
        return None;
    }
    if let Some(directory) = environment.non_empty(registry::ENDSPAN_SPOOL_DIR) {
        return Some(directory.into());
    }
    let absolute = |text: String| Some(PathBuf::from(text)).filter(|path| path.is_absolute());
    let state = environment.home_variable("XDG_STATE_HOME").and_then(absolute).or_else(|| {
        environment.home_variable("HOME").and_then(absolute).map(|home| home.join(".local/state"))
    });
    match state {
        Some(state) => Some(state.join("endspan/spool")),
        None => Some(std::env::temp_dir().join(format!("endspan-{}", user())).join("spool")),
    }
}

#[cfg(unix)]
fn user() -> String {
    use std::os::unix::fs::MetadataExt as _;
    // The owner of our own process's entry, where there is one; no call into libc is worth it here.
    std::fs::metadata("/proc/self").map_or_else(|_| "user".to_owned(), |process| process.uid().to_string())
}

#[cfg(not(unix))]
fn user() -> String {
    std::env::var("USERNAME").unwrap_or_else(|_| "user".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_65_to_68_argument_then_environment_then_default() {
        let batch = registry::AGENTEX_SPAN_QUEUE_BATCH_SIZE;
        let linger = registry::AGENTEX_SPAN_QUEUE_LINGER_MS;
        let with = |value: &str| Environment::fixed([(batch.name, value), (linger.name, value)]);
        assert_eq!(with("500").integer_or(None, batch), Some(500));
        assert_eq!(with("500").integer_or(Some(7), batch), Some(7));
        assert_eq!(with("500").integer_or(Some(0), batch), Some(1));
        assert_eq!(with("-3").integer_or(None, batch), Some(1));
        assert_eq!(with("-5").integer_or(None, linger), Some(0));
        assert_eq!(with("not-an-int").integer_or(None, batch), None);
        assert_eq!(with("").integer_or(None, batch), None);
    }

    #[test]
    fn custom_headers_are_lines() {
        let headers = custom_headers("X-One: 1\nnonsense\n x-two :a:b \n:empty\n");
        assert_eq!(headers.len(), 2);
        assert_eq!(headers.get("x-one").unwrap(), "1");
        assert_eq!(headers.get("x-two").unwrap(), "a:b");
    }

    #[test]
    fn the_spool_is_under_the_users_state_directory() {
        let directory =
            |variables: &[(&str, &str)]| spool_directory(&Environment::fixed(variables.iter().copied()));
        assert_eq!(directory(&[("XDG_STATE_HOME", "/s"), ("HOME", "/h")]), Some("/s/endspan/spool".into()));
        assert_eq!(
            directory(&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]),
            Some("/h/.local/state/endspan/spool".into())
        );
        assert_eq!(directory(&[("ENDSPAN_SPOOL_DIR", "/d"), ("HOME", "/h")]), Some("/d".into()));
        assert_eq!(directory(&[("ENDSPAN_SPOOL", " Off "), ("HOME", "/h")]), None);
        assert!(directory(&[]).unwrap().starts_with(std::env::temp_dir()));
    }
}
