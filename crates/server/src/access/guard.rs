//! What every request passes before anything else looks at it.
//!
//! The guard stands before the router, so that a route cannot be forgotten. It leaves the account that a request may see
//! in the request's account header, whatever the client wrote there: handlers read that header and nothing else.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};
use endspan_model::{AccountId, Timestamp};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use super::ring::Denied;
use super::{ApiKey, Role};
use crate::account::{ACCOUNT_HEADER, selected_account};
use crate::app::App;
use crate::routes::PAGES;

/// Who sent a request that was let in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// `None` while the server asks nobody.
    pub(crate) key: Option<Arc<ApiKey>>,
}

impl Caller {
    /// Returns the caller that the guard found.
    pub(crate) fn of(extensions: &http::Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// Returns the only account that the caller may see; `None` for every account.
    pub(crate) fn account(&self) -> Option<&AccountId> {
        self.key.as_ref().and_then(|key| key.account.as_ref())
    }
}

/// Why a request is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No key, or one that is not ours (any more).
    Unauthorized { agent: bool, message: &'static str },
    /// The key does not allow this.
    Forbidden(Cow<'static, str>),
}

impl Refused {
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
        }
    }

    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Unauthorized { message, .. } => message,
            Self::Forbidden(message) => message,
        }
    }

    /// Returns the text of the Agentex API's middleware (`agentex-api` section 7, row 72).
    pub(crate) fn agentex_message(&self) -> &str {
        match self {
            Self::Unauthorized { agent: true, .. } => "Agent Unauthorized",
            Self::Unauthorized { .. } => "Unauthorized",
            Self::Forbidden(message) => message,
        }
    }
}

/// Lets a request in or refuses it; puts the account that it may see into its header.
pub(crate) fn admit(
    app: &App,
    method: &Method,
    uri: &Uri,
    headers: &mut HeaderMap,
) -> Result<Caller, Refused> {
    if !app.config.keys.is_closed() {
        check_host(app, headers)?;
        return Ok(Caller::default());
    }
    let Some(role) = needed(method, uri.path()) else { return Ok(Caller::default()) };
    let counted = authorize(app, role, headers);
    if let Err(refused) = &counted {
        match refused {
            Refused::Unauthorized { .. } => app.telemetry.unauthorized_requests.add(1),
            Refused::Forbidden(_) => app.telemetry.forbidden_requests.add(1),
        }
    }
    counted.map(|key| Caller { key: Some(key) })
}

fn authorize(app: &App, role: Role, headers: &mut HeaderMap) -> Result<Arc<ApiKey>, Refused> {
    let key = authenticate(app, headers)?;
    if !key.allows(role) {
        return Err(Refused::Forbidden(format!("the key lacks the role {}", role.as_str()).into()));
    }
    let Some(account) = &key.account else { return Ok(key) };
    if role == Role::Metrics {
        return Err(Refused::Forbidden("metrics count all accounts; the key is bound to one".into()));
    }
    for value in headers.get_all(ACCOUNT_HEADER) {
        let named = value.as_bytes().trim_ascii();
        if !named.is_empty() && named != account.as_str().as_bytes() {
            return Err(Refused::Forbidden("the key is bound to another account".into()));
        }
    }
    let Ok(value) = HeaderValue::from_bytes(account.as_str().as_bytes()) else {
        return Err(Refused::Forbidden("the key's account cannot be named in a header".into()));
    };
    headers.insert(ACCOUNT_HEADER, value);
    // What handlers will read must be what was checked.
    match selected_account(headers) {
        Ok(Some(selected)) if selected == *account => Ok(key),
        _ => Err(Refused::Forbidden("the key's account cannot be named in a header".into())),
    }
}

/// Returns the key of the first header that holds one of ours. Clients that talk to several servers send keys of several.
fn authenticate(app: &App, headers: &HeaderMap) -> Result<Arc<ApiKey>, Refused> {
    let now = Timestamp::now();
    let mut expired = false;
    for secret in secrets(headers) {
        match app.config.keys.find(&secret, now) {
            Ok(key) => return Ok(key),
            Err(Denied::Expired) => expired = true,
            Err(Denied::Unknown) => {}
        }
    }
    let agent = headers.get("x-agent-api-key").is_some_and(|value| !value.is_empty());
    let given = agent || headers.contains_key("x-api-key") || headers.contains_key(header::AUTHORIZATION);
    let message = match (expired, given) {
        (true, _) => "the API key has expired",
        (false, true) => "the API key is not known here",
        (false, false) => "an API key is needed: x-api-key, or Authorization: Bearer",
    };
    Err(Refused::Unauthorized { agent, message })
}

/// Returns what may be a key, in the places where clients put it.
fn secrets(headers: &HeaderMap) -> impl Iterator<Item = Cow<'_, str>> {
    let plain = |name: &'static str| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = plain("authorization").and_then(|value| {
        let (scheme, rest) = value.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            Some(Cow::Borrowed(rest))
        } else if scheme.eq_ignore_ascii_case("basic") {
            password(rest).map(Cow::Owned)
        } else {
            None
        }
    });
    let trimmed = |text: &'static str| plain(text).map(|value| Cow::Borrowed(value.trim()));
    [trimmed("x-api-key"), authorization, trimmed("x-agent-api-key")].into_iter().flatten()
}

/// Returns the password of basic credentials: some OTLP exporters can send a key in no other way.
fn password(encoded: &str) -> Option<String> {
    let encoded = encoded.trim_end_matches('=').as_bytes();
    let bytes = BASE64_NOPAD.decode(encoded).or_else(|_| BASE64URL_NOPAD.decode(encoded)).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

/// Returns what a key must allow for a request; `None` for what everyone may see. Whatever is not known to be public
/// needs a key, unknown paths too.
fn needed(method: &Method, path: &str) -> Option<Role> {
    if *method == Method::OPTIONS {
        return None;
    }
    let read = matches!(*method, Method::GET | Method::HEAD);
    let first = path.split('/').nth(1).unwrap_or_default();
    let page = |page: &str| page.split('/').nth(1) == Some(first) && (!first.is_empty() || path == "/");
    let public = PAGES.iter().any(|known| page(known))
        || matches!(first, "assets" | "healthz" | "readyz" | "healthcheck" | "openapi.json");
    if public && (read || first.starts_with("health") || first == "readyz") {
        return None;
    }
    Some(match *method {
        Method::GET | Method::HEAD if path == "/metrics" => Role::Metrics,
        Method::GET | Method::HEAD => Role::Read,
        Method::POST if matches!(path, "/v5/spans/search" | "/public/v5/spans/search") => Role::Read,
        Method::POST | Method::PUT | Method::PATCH => Role::Ingest,
        // Whoever may make assessments may take their own back.
        Method::DELETE if is_assessment(path) => Role::Ingest,
        _ => Role::Admin,
    })
}

fn is_assessment(path: &str) -> bool {
    path.strip_prefix("/public").unwrap_or(path).starts_with("/v5/span-assessments/")
}

/// While nobody is asked for a key, a page of another site must not get in by giving its own name this machine's address:
/// requests must be for an address or for a name that is known to mean this server.
fn check_host(app: &App, headers: &HeaderMap) -> Result<(), Refused> {
    let Some(known) = &app.config.hosts else { return Ok(()) };
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    let text = host.to_str().unwrap_or_default();
    let name = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => text.split(':').next().unwrap_or_default(),
    };
    let local = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    if local || name.parse::<IpAddr>().is_ok() || known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    app.telemetry.forbidden_requests.add(1);
    Err(Refused::Forbidden("the Host header names no address of this server".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_request_needs_its_role() {
        use Role::{Admin, Ingest, Metrics, Read};
        for (method, path, role) in [
            ("GET", "/", None),
            ("GET", "/traces/a%2Fb", None),
            ("GET", "/assets/x.js", None),
            ("GET", "/healthz", None),
            ("POST", "/readyz", None),
            ("GET", "/openapi.json", None),
            ("OPTIONS", "/spans", None),
            ("POST", "/", Some(Ingest)),
            ("DELETE", "/traces/a", Some(Admin)),
            ("GET", "/spans", Some(Read)),
            ("HEAD", "/spans/a", Some(Read)),
            ("POST", "/spans", Some(Ingest)),
            ("PATCH", "/spans/a", Some(Ingest)),
            ("PUT", "/v5/spans/batch", Some(Ingest)),
            ("POST", "/v5/spans/search", Some(Read)),
            ("POST", "/public/v5/spans/search", Some(Read)),
            ("POST", "/v5/spans/search/", Some(Ingest)),
            ("GET", "/metrics", Some(Metrics)),
            ("GET", "//metrics", Some(Read)),
            ("POST", "/v1/traces", Some(Ingest)),
            ("POST", "/api/public/otel/v1/traces", Some(Ingest)),
            ("GET", "/api/tail", Some(Read)),
            ("DELETE", "/api/traces/t", Some(Admin)),
            ("DELETE", "/v5/span-assessments/a", Some(Ingest)),
            ("DELETE", "/public/v5/span-assessments/a", Some(Ingest)),
            ("DELETE", "/v5/spans/a", Some(Admin)),
            ("GET", "/unknown", Some(Read)),
            ("TRACE", "/unknown", Some(Admin)),
        ] {
            assert_eq!(needed(&method.parse().unwrap(), path), role, "{method} {path}");
        }
    }

    #[test]
    fn keys_are_found_where_clients_put_them() {
        for (name, value, secret) in [
            ("x-api-key", " k ", "k"),
            ("x-agent-api-key", "k", "k"),
            ("authorization", "Bearer k", "k"),
            ("authorization", "bearer  k ", "k"),
            // `printf pk:sk | base64`
            ("authorization", "Basic cGs6c2s=", "sk"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(secrets(&headers).collect::<Vec<_>>(), [secret], "{name}: {value}");
        }
        for value in ["Bearer", "k", "Digest k", "Basic !", "Basic cGs="] {
            let mut headers = HeaderMap::new();
            headers.insert("authorization", HeaderValue::from_static(value));
            assert_eq!(secrets(&headers).count(), 0, "{value}");
        }
    }
}
