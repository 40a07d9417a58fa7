//! The Agentex exporter: `POST /spans`, `PATCH /spans/{id}`, and `PUT /spans/batch` where the server has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use endspan_model::{DropReason, Span};
use endspan_wire::agentex::{BatchOutcome, decode_batch_answer, encode_create, encode_patch};
use futures_util::StreamExt as _;
use http::Method;

use super::http_client::{Attempt, HttpClient, HttpSettings, http_setters, path_segment};
use super::sgp::start_mode;
use super::{Batch, Export, Exporter};
use crate::lane::{LaneConfig, Outcome, Phase, SpanOutcome};
use crate::settings;
use crate::transport::Answer;

/// Where an Agentex server runs unless said otherwise.
const DEFAULT_BASE_URL: &str = "http://localhost:5003";

/// Requests of one batch that are under way at a time, on servers that take one span a request.
const SINGLE_REQUESTS: usize = 10;

/// Delivers spans to an Agentex server.
///
/// A server that offers `PUT /spans/batch` gets whole batches. Whether it does is found out with the first batch, and
/// again after the connection broke; 404 or 405 means it does not, and each span then goes in a `POST /spans` of its
/// own. An answer "exists already" to a span that was sent before counts as delivered; to any other span it means that
/// somebody else wrote a version of it, which a `PATCH` then completes. When starts are written, ends are `PATCH`ed,
/// and a 404 to that turns into a `POST` of the whole span.
pub struct AgentexExporter {
    inner: Arc<Inner>,
    identity: String,
}

struct Inner {
    client: HttpClient,
    write_starts: bool,
    batches: AtomicU8,
}

const BATCHES_UNKNOWN: u8 = 0;
const BATCHES_OFFERED: u8 = 1;
const BATCHES_ABSENT: u8 = 2;

/// Settings of an [`AgentexExporter`]; what is not given comes from the environment.
#[derive(Default)]
pub struct AgentexBuilder {
    http: HttpSettings,
    agent_api_key: Option<String>,
}

impl AgentexExporter {
    /// Reads everything from the environment.
    pub fn from_env() -> Self {
        Self::builder().build()
    }

    /// Begins with nothing given.
    pub fn builder() -> AgentexBuilder {
        AgentexBuilder::default()
    }
}

impl AgentexBuilder {
    http_setters! {
        base_url: "Sets the address. Else `AGENTEX_BASE_URL`, else `http://localhost:5003`.",
        api_key: "Sets the bearer key. Else `AGENTEX_SDK_API_KEY`, else none is sent.",
        write_starts: "Sets whether spans are also written at their start. Else the opposite of `AGENTEX_TRACING_SKIP_AGENTEX_SPAN_START`."
    }

    /// Sets the agent's key. Else `AGENT_API_KEY`, else none is sent.
    #[must_use]
    pub fn agent_api_key(mut self, key: impl Into<String>) -> Self {
        self.agent_api_key = Some(key.into());
        self
    }

    /// Makes the exporter. Nothing is sent yet, and nothing can fail.
    pub fn build(self) -> AgentexExporter {
        let environment = self.http.environment();
        let bearer = (self.http.api_key.clone())
            .or_else(|| environment.non_empty(settings::AGENTEX_SDK_API_KEY))
            .map(|key| format!("Bearer {key}"));
        let agent_key = self.agent_api_key.or_else(|| environment.non_empty(settings::AGENT_API_KEY));
        let write_starts =
            self.http.writes_starts(&environment, settings::AGENTEX_TRACING_SKIP_AGENTEX_SPAN_START);
        let client = self.http.client(
            &environment,
            (settings::AGENTEX_BASE_URL, DEFAULT_BASE_URL),
            settings::AGENTEX_CUSTOM_HEADERS,
            &[("authorization", bearer.as_deref()), ("x-agent-api-key", agent_key.as_deref())],
        );
        AgentexExporter {
            identity: format!("agentex {}", client.base_url),
            inner: Arc::new(Inner { client, write_starts, batches: AtomicU8::new(BATCHES_UNKNOWN) }),
        }
    }
}

impl Exporter for AgentexExporter {
    fn name(&self) -> &str {
        "agentex"
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn lane(&self, settings: LaneConfig) -> LaneConfig {
        LaneConfig { start_mode: start_mode(self.inner.write_starts, settings.start_mode), ..settings }
    }

    fn export(&self, batch: Batch) -> Export {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.deliver(batch).await })
    }

    fn rest(&self) {
        self.inner.client.rest();
    }
}

impl Inner {
    async fn deliver(&self, batch: Batch) -> Outcome {
        if self.batches.load(Ordering::Relaxed) != BATCHES_ABSENT
            && let Some(outcome) = self.deliver_together(&batch).await
        {
            return outcome;
        }
        self.deliver_singly(batch).await
    }

    /// Returns `None` if the server has no batches.
    async fn deliver_together(&self, batch: &Batch) -> Option<Outcome> {
        let payloads = batch.spans.iter().map(|entry| entry.span.payload_bytes()).sum();
        let mut body = self.client.body(payloads, batch.spans.len());
        body.extend_from_slice(b"{\"items\":[");
        for (index, entry) in batch.spans.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            encode_create(&mut body, &entry.span);
        }
        body.extend_from_slice(b"]}");
        let answer = self.client.send(Method::PUT, "/spans/batch", true, Attempt::of(batch), body).await;
        match (answer.status, &answer.outcome) {
            (Some(404 | 405), _) => {
                self.batches.store(BATCHES_ABSENT, Ordering::Relaxed);
                None
            }
            (_, Outcome::Delivered) => match decode_batch_answer(&answer.body) {
                Ok(told) => {
                    self.batches.store(BATCHES_OFFERED, Ordering::Relaxed);
                    let mut outcomes = vec![SpanOutcome::Delivered; batch.spans.len()];
                    for (index, outcome) in &told.outcomes {
                        if let Some(place) = outcomes.get_mut(*index) {
                            *place = span_outcome(outcome);
                        }
                    }
                    Some(if told.rejected == 0 { Outcome::Delivered } else { Outcome::PerSpan(outcomes) })
                }
                // A success of something that knows nothing of batches is no delivery.
                Err(_) => {
                    self.batches.store(BATCHES_ABSENT, Ordering::Relaxed);
                    None
                }
            },
            (None, _) => {
                self.forget();
                Some(answer.outcome)
            }
            _ => Some(answer.outcome),
        }
    }

    /// The connection broke: another server may answer the next one.
    fn forget(&self) {
        self.batches.store(BATCHES_UNKNOWN, Ordering::Relaxed);
    }

    async fn deliver_singly(&self, batch: Batch) -> Outcome {
        let (phase, attempt) = (batch.phase, Attempt::of(&batch));
        let stop = AtomicBool::new(false);
        let send = |span: Span, maybe_stored: bool| {
            let stop = &stop;
            async move {
                if stop.load(Ordering::Relaxed) {
                    return None;
                }
                let outcome = self.deliver_one(&span, phase, maybe_stored, attempt).await;
                if is_about_the_server(&outcome) {
                    stop.store(true, Ordering::Relaxed);
                }
                Some(outcome)
            }
        };
        let mut entries = batch.spans.into_iter();
        let mut outcomes = Vec::with_capacity(entries.len());
        // After a failure, one request finds out whether the server is back before the others go.
        if attempt.number > 0
            && let Some(first) = entries.next()
        {
            outcomes.push(send(first.span, first.maybe_stored).await);
        }
        let rest = futures_util::stream::iter(entries.map(|entry| send(entry.span, entry.maybe_stored)))
            .buffered(SINGLE_REQUESTS)
            .collect::<Vec<_>>()
            .await;
        outcomes.extend(rest);
        if stop.load(Ordering::Relaxed) {
            self.forget();
        }
        combine(outcomes)
    }

    async fn deliver_one(&self, span: &Span, phase: Phase, maybe_stored: bool, attempt: Attempt) -> Outcome {
        let update_first =
            phase == Phase::End && maybe_stored && self.write_starts && !span.id.as_str().is_empty();
        if update_first {
            let answer = self.update(span, attempt).await;
            if answer.status != Some(404) {
                return answer.outcome;
            }
        }
        let mut body = Vec::with_capacity(512);
        encode_create(&mut body, span);
        let answer = self.client.send(Method::POST, "/spans", false, attempt, body).await;
        if !is_duplicate(&answer) {
            return answer.outcome;
        }
        if phase == Phase::Start || maybe_stored || span.id.as_str().is_empty() {
            // The attempt before landed after all, or there is a newer version than this start.
            return Outcome::Delivered;
        }
        self.update(span, attempt).await.outcome
    }

    async fn update(&self, span: &Span, attempt: Attempt) -> Answer {
        let mut body = Vec::with_capacity(512);
        encode_patch(&mut body, span);
        let path = format!("/spans/{}", path_segment(span.id.as_str()));
        self.client.send(Method::PATCH, &path, false, attempt, body).await
    }
}

/// Whether the answer says that a span with this id exists (`agentex-api` section 3).
fn is_duplicate(answer: &Answer) -> bool {
    match answer.status {
        Some(409) => true,
        Some(400) => memchr_in(&answer.body, b"already exists"),
        _ => false,
    }
}

fn memchr_in(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn span_outcome(outcome: &BatchOutcome) -> SpanOutcome {
    match outcome {
        BatchOutcome::Stored | BatchOutcome::Superseded => SpanOutcome::Delivered,
        BatchOutcome::Rejected { reason: DropReason::Duplicate, .. } => SpanOutcome::Delivered,
        BatchOutcome::Rejected { reason: DropReason::Overloaded | DropReason::StoreUnavailable, .. } => {
            SpanOutcome::Retryable
        }
        BatchOutcome::Rejected { reason, .. } => SpanOutcome::Dropped(*reason),
    }
}

/// Whether an outcome would be the same for any other span.
fn is_about_the_server(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Retryable { failure, .. } => !failure.may_be_content(),
        Outcome::Throttled { .. } | Outcome::Held(_) => true,
        _ => false,
    }
}

/// Makes one outcome of those of single requests; `None` was not sent.
fn combine(outcomes: Vec<Option<Outcome>>) -> Outcome {
    let delivered = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Delivered));
    if outcomes.iter().all(delivered) {
        return Outcome::Delivered;
    }
    let settled =
        |outcome: &Outcome| matches!(outcome, Outcome::Delivered | Outcome::Rejected(_) | Outcome::TooLarge);
    if !outcomes.iter().flatten().any(settled)
        && let Some(outcome) = outcomes.iter().flatten().max_by_key(|outcome| is_about_the_server(outcome))
    {
        return outcome.clone();
    }
    if let [Some(only)] = outcomes.as_slice() {
        return only.clone();
    }
    let each = |outcome: Option<Outcome>| match outcome {
        Some(Outcome::Delivered) => SpanOutcome::Delivered,
        Some(Outcome::Rejected(_)) => SpanOutcome::Dropped(DropReason::Rejected),
        Some(Outcome::TooLarge) => SpanOutcome::Dropped(DropReason::TooLarge),
        _ => SpanOutcome::Retryable,
    };
    Outcome::PerSpan(outcomes.into_iter().map(each).collect())
}
