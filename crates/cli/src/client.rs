//! Questions to a span server's read API (`/api`, see `docs/http-api.md`).

mod sse;
mod types;

use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

pub(crate) use sse::{Event, EventParser};
pub(crate) use types::{Deleted, Imported, SpanPage, TraceDetail, TracePage, TraceSpan, TraceSummary};

use self::types::Stats;
use crate::args::ServerArguments;
use crate::error::{CliError, Exit};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server may be silent in the middle of an answer. Live tails send heartbeats well within it.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Traces among which a shortened id is looked for.
const RECENT_TRACES: u32 = 200;

/// A server, and the account to read.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    account: Option<String>,
    api_key: Option<String>,
}

impl Client {
    pub(crate) fn new(arguments: &ServerArguments) -> Result<Self, CliError> {
        let text = arguments.server.trim_end_matches('/');
        let usage = |message: String| {
            CliError::new(Exit::Usage, message)
                .with_hint("a server looks like http://127.0.0.1:5003 (--server or ENDSPAN_SERVER)")
        };
        let base = Url::parse(&format!("{text}/")).map_err(|error| usage(format!("{text}: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(usage(format!("{text}: not an http or https address")));
        }
        // The answer is an error when a provider is installed already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder()
            .user_agent(concat!("endspan-cli/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build()
            .map_err(|error| CliError::new(Exit::Local, format!("cannot make an HTTP client: {error}")))?;
        Ok(Self { http, base, account: arguments.account.clone(), api_key: arguments.api_key.clone() })
    }

    /// Returns the address as people know it.
    pub(crate) fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Returns a page of traces, newest first.
    pub(crate) async fn list_traces(
        &self,
        limit: u32,
        after: Option<&str>,
        filters: &[(&'static str, String)],
    ) -> Result<TracePage, CliError> {
        let mut query = filters.to_vec();
        query.push(("limit", limit.to_string()));
        if let Some(after) = after {
            query.push(("after", after.to_owned()));
        }
        self.read(&["traces"], &query).await
    }

    /// Returns a trace, or `None` when there is none with this id.
    pub(crate) async fn find_trace(&self, id: &str, payloads: bool) -> Result<Option<TraceDetail>, CliError> {
        let query = [("payloads", payloads.to_string())];
        match self.get(&["traces", id], &query, None).await {
            Ok(response) => {
                let text = self.body(response).await?;
                TraceDetail::parse(text).map(Some).map_err(|error| self.strange(&error))
            }
            Err(CliError::Failed { exit: Exit::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the ids of the latest traces, newest first.
    pub(crate) async fn recent_trace_ids(&self) -> Result<Vec<String>, CliError> {
        let page = self.list_traces(RECENT_TRACES, None, &[]).await?;
        page.traces.iter().map(|trace| Ok(self.parse::<TraceSummary>(trace.get())?.trace_id)).collect()
    }

    /// Returns a span of a trace with its payloads, or `None` when it is gone.
    pub(crate) async fn find_span(&self, span: &TraceSpan) -> Result<Option<TraceSpan>, CliError> {
        match self.read(&["spans", &span.trace_id, &span.id], &[]).await {
            Ok(span) => Ok(Some(span)),
            Err(CliError::Failed { exit: Exit::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns how many writes of spans the server has stored since it started.
    pub(crate) async fn ingested_spans(&self) -> Result<u64, CliError> {
        let stats: Stats = self.read(&["stats"], &[]).await?;
        Ok(stats.ingest.iter().map(|protocol| protocol.stored).sum())
    }

    /// Returns a page of a search.
    pub(crate) async fn search_spans(
        &self,
        query: &[(&'static str, String)],
        body: &str,
    ) -> Result<SpanPage, CliError> {
        let url = self.url(&["v5", "spans", "search"]);
        let request = self.http.post(url).query(query).header("content-type", "application/json");
        let body = self.body(self.send(request.body(body.to_owned())).await?).await?;
        serde_json::from_slice(&body).map_err(|error| self.strange(&error))
    }

    /// Deletes, and asks again while more is left.
    pub(crate) async fn delete(
        &self,
        path: &[&str],
        query: &[(&'static str, String)],
    ) -> Result<Deleted, CliError> {
        let path: Vec<&str> = std::iter::once("api").chain(path.iter().copied()).collect();
        let mut total = Deleted::default();
        loop {
            let request = self.http.delete(self.url(&path)).query(query);
            let body = self.body(self.send(request).await?).await?;
            let deleted: Deleted = serde_json::from_slice(&body).map_err(|error| self.strange(&error))?;
            let more = deleted.more;
            total.add(deleted);
            if !more {
                return Ok(total);
            }
        }
    }

    /// Begins an export.
    pub(crate) async fn export(&self, trace_id: Option<&str>) -> Result<Response, CliError> {
        let query: Vec<_> = trace_id.map(|id| ("trace_id", id.to_owned())).into_iter().collect();
        self.get(&["export"], &query, None).await
    }

    /// Stores lines of an export.
    pub(crate) async fn import(&self, lines: Vec<u8>) -> Result<Imported, CliError> {
        let request = self.http.post(self.url(&["api", "import"]));
        let request = request.header("content-type", "application/x-ndjson").body(lines);
        let body = self.body(self.send(request).await?).await?;
        serde_json::from_slice(&body).map_err(|error| self.strange(&error))
    }

    /// Returns figures by their name in the read API.
    pub(crate) async fn figures(&self, name: &str) -> Result<serde_json::Value, CliError> {
        self.read(&[name], &[]).await
    }

    /// Returns the page of metrics.
    pub(crate) async fn metrics(&self) -> Result<String, CliError> {
        let response = self.send(self.http.get(self.url(&["metrics"]))).await?;
        response.text().await.map_err(|error| self.unreachable(&error))
    }

    /// Opens the live tail, after an event that was seen already.
    pub(crate) async fn tail(
        &self,
        trace_id: Option<&str>,
        last: Option<&str>,
    ) -> Result<Response, CliError> {
        let query: Vec<_> = trace_id.map(|id| ("trace_id", id.to_owned())).into_iter().collect();
        self.get(&["tail"], &query, last).await
    }

    async fn read<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, CliError> {
        let body = self.body(self.get(path, query, None).await?).await?;
        serde_json::from_slice(&body).map_err(|error| self.strange(&error))
    }

    /// Parses a part of an answer.
    pub(crate) fn parse<T: DeserializeOwned>(&self, text: &str) -> Result<T, CliError> {
        serde_json::from_str(text).map_err(|error| self.strange(&error))
    }

    fn strange(&self, error: &serde_json::Error) -> CliError {
        CliError::new(Exit::Refused, format!("{} does not answer as a span server: {error}", self.address()))
            .with_hint("is that address an endspan server of this version?")
    }

    async fn body(&self, response: Response) -> Result<Vec<u8>, CliError> {
        match response.bytes().await {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    async fn get(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        last_event: Option<&str>,
    ) -> Result<Response, CliError> {
        let path: Vec<&str> = std::iter::once("api").chain(path.iter().copied()).collect();
        let mut request = self.http.get(self.url(&path)).query(query);
        if let Some(id) = last_event {
            request = request.header("last-event-id", id);
        }
        self.send(request).await
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn send(&self, mut request: RequestBuilder) -> Result<Response, CliError> {
        if let Some(account) = &self.account {
            request = request.header("x-selected-account-id", account);
        }
        if let Some(key) = &self.api_key {
            request = request.header("x-api-key", key);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> CliError {
        if error.is_builder() {
            return CliError::new(
                Exit::Usage,
                format!("cannot ask {}: {}", self.address(), innermost(error)),
            );
        }
        CliError::new(Exit::Unreachable, format!("cannot reach {}: {}", self.address(), innermost(error)))
            .with_hint(
                "start a server with `endspan serve` or `endspan demo`, or name another with --server URL",
            )
    }

    async fn refused(&self, response: Response) -> CliError {
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        let said = serde_json::from_slice::<serde_json::Value>(&body).ok().and_then(|body| said(&body));
        let said = said.unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason").to_owned());
        let message = format!("{} answered {}: {said}", self.address(), status.as_u16());
        match status {
            StatusCode::NOT_FOUND => CliError::new(Exit::NotFound, message),
            StatusCode::UNAUTHORIZED => CliError::new(Exit::Refused, message).with_hint(
                "give a key with --api-key KEY (or ENDSPAN_API_KEY); `endspan keys create` makes one",
            ),
            StatusCode::FORBIDDEN => CliError::new(Exit::Refused, message)
                .with_hint("the key decides what may be done and which account is read: `endspan keys list`"),
            _ => CliError::new(Exit::Refused, message),
        }
    }
}

/// Returns what an answer of any of the APIs says is wrong, and with what.
fn said(body: &serde_json::Value) -> Option<String> {
    if let Some(mistakes) = body.get("detail").and_then(|detail| detail.as_array()) {
        let one = |mistake: &serde_json::Value| {
            let part = mistake.get("loc")?.as_array()?.iter().rev().find_map(|part| part.as_str())?;
            Some(format!("{part}: {}", mistake.get("msg")?.as_str()?))
        };
        let mistakes: Vec<String> = mistakes.iter().filter_map(one).collect();
        return (!mistakes.is_empty()).then(|| mistakes.join("; "));
    }
    let text = ["message", "detail"].iter().find_map(|key| body.get(key)?.as_str())?;
    Some(match body.get("field").and_then(|field| field.as_str()) {
        Some(field) => format!("{field}: {text}"),
        None => text.to_owned(),
    })
}

/// Returns the cause at the bottom of an error: the layers above it repeat the address and say "error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn refusals_of_every_api_are_told() {
        for (body, expected) in [
            (serde_json::json!({"detail": "busy"}), Some("busy")),
            (serde_json::json!({"detail": "expected ok", "field": "status"}), Some("status: expected ok")),
            (serde_json::json!({"message": "no", "code": 400, "data": null}), Some("no")),
            (
                serde_json::json!({"detail": [{"loc": ["body", "types", 0], "msg": "unknown", "type": "x"}]}),
                Some("types: unknown"),
            ),
            (serde_json::json!({"detail": []}), None),
            (serde_json::json!([]), None),
        ] {
            assert_eq!(said(&body).as_deref(), expected, "{body}");
        }
    }
}
