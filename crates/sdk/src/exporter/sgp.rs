//! The SGP exporter: `PUT /v5/spans/batch`.

use std::sync::Arc;
use std::time::Duration;

use endspan_model::limits::MAX_BATCH_SPANS;
use endspan_wire::sgp::{AgentTags, ItemFields, encode_item, encode_item_of};
use http::Method;

use super::http_client::{Attempt, HttpClient, HttpSettings, http_setters};
use super::{Batch, Export, Exporter, RecordBatch};
use crate::lane::{LaneConfig, StartMode};
use crate::record::{Tag, View};
use crate::settings;

/// Address of SGP's production.
const DEFAULT_BASE_URL: &str = "https://api.egp.scale.com";

/// Delivers spans to SGP in batches of up to 1000. Replacing is idempotent, so that a batch can be sent again.
///
/// Items look as the reference SDK sends them: `__source__`, `__acp_type__`, `__agent_name__` and `__agent_id__` in
/// the metadata, status `ERROR` with its fields when `data` holds `__error__`. They exist in these requests only; the
/// span and what other exporters send stay as they are.
///
/// Switched off without a key or an account: it then sends nothing and says so once.
pub struct SgpExporter {
    client: HttpClient,
    tags: Option<AgentTags>,
    write_starts: bool,
    identity: String,
    disabled: Option<String>,
}

/// Settings of an [`SgpExporter`]; what is not given comes from the environment.
#[derive(Default)]
pub struct SgpBuilder {
    http: HttpSettings,
    account_id: Option<String>,
    no_agent_tags: bool,
}

impl SgpExporter {
    /// Reads everything from the environment.
    pub fn from_env() -> Self {
        Self::builder().build()
    }

    /// Begins with nothing given.
    pub fn builder() -> SgpBuilder {
        SgpBuilder::default()
    }
}

impl SgpBuilder {
    http_setters! {
        base_url: "Sets the address. Else `SGP_CLIENT_BASE_URL`, else `https://api.egp.scale.com`.",
        api_key: "Sets the key. Else `SGP_API_KEY`.",
        write_starts: "Sets whether spans are also written at their start. Else the opposite of `AGENTEX_TRACING_SKIP_SPAN_START`."
    }

    /// Sets the account. Else `SGP_ACCOUNT_ID`.
    #[must_use]
    pub fn account_id(mut self, account: impl Into<String>) -> Self {
        self.account_id = Some(account.into());
        self
    }

    /// Sets whether items say which agent they come from: `__source__`, `__acp_type__`, `__agent_name__` and
    /// `__agent_id__` in their metadata. Else they do.
    #[must_use]
    pub const fn agent_tags(mut self, tag: bool) -> Self {
        self.no_agent_tags = !tag;
        self
    }

    /// Makes the exporter. Nothing is sent yet, and nothing can fail.
    pub fn build(self) -> SgpExporter {
        let environment = self.http.environment();
        let api_key =
            self.http.api_key.clone().or_else(|| environment.text(settings::SGP_API_KEY)).unwrap_or_default();
        let account =
            self.account_id.or_else(|| environment.text(settings::SGP_ACCOUNT_ID)).unwrap_or_default();
        let disabled = match (api_key.is_empty(), account.is_empty()) {
            (true, _) => Some("no API key (SGP_API_KEY)".to_owned()),
            (_, true) => Some("no account (SGP_ACCOUNT_ID)".to_owned()),
            _ => None,
        };
        let write_starts = self.http.writes_starts(&environment, settings::AGENTEX_TRACING_SKIP_SPAN_START);
        let client = self.http.client(
            &environment,
            (settings::SGP_CLIENT_BASE_URL, DEFAULT_BASE_URL),
            settings::SGP_CLIENT_CUSTOM_HEADERS,
            &[("x-api-key", Some(&api_key)), ("x-selected-account-id", Some(&account))],
        );
        SgpExporter {
            identity: format!("sgp {} {account}", client.base_url),
            client,
            tags: (!self.no_agent_tags).then(|| AgentTags {
                acp_type: environment.text(settings::ACP_TYPE).or_else(|| Some("async".to_owned())),
                agent_name: environment.text(settings::AGENT_NAME),
                agent_id: environment.text(settings::AGENT_ID),
            }),
            write_starts,
            disabled,
        }
    }
}

impl SgpExporter {
    /// Begins a body of so many spans. Each item ends with a comma.
    fn body(&self, payload_bytes: usize, spans: usize) -> Vec<u8> {
        let mut body = self.client.body(payload_bytes, spans);
        body.extend_from_slice(b"{\"items\":[");
        body
    }

    /// Ends a body and sends it.
    fn put(&self, mut body: Vec<u8>, attempt: Attempt) -> Export {
        body.pop_if(|last| *last == b',');
        body.extend_from_slice(b"]}");
        let client = self.client.clone();
        Box::pin(
            async move { client.send(Method::PUT, "/v5/spans/batch", true, attempt, body).await.outcome },
        )
    }
}

/// What an item takes of a record.
fn fields<'a>(span: &View<'a>) -> ItemFields<'a> {
    ItemFields {
        name: span.text(Tag::Name).unwrap_or_default(),
        id: span.text(Tag::SpanId).unwrap_or_default(),
        trace_id: span.text(Tag::TraceId).unwrap_or_default(),
        parent_id: span.text(Tag::ParentId),
        start_time: span.start,
        end_time: span.end,
        status: span.status,
        span_type: span.span_type,
        input: span.bytes(Tag::Input),
        output: span.bytes(Tag::Output),
        metadata: span.bytes(Tag::Metadata),
        expected: span.bytes(Tag::Expected),
        group_id: span.text(Tag::GroupId),
        application_variant_id: span.text(Tag::ApplicationVariantId),
        application_interaction_id: span.text(Tag::ApplicationInteractionId),
        obs_trace_id: span.text(Tag::ObsTraceId),
        obs_span_id: span.text(Tag::ObsSpanId),
    }
}

impl Exporter for SgpExporter {
    fn name(&self) -> &str {
        "sgp"
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn lane(&self, settings: LaneConfig) -> LaneConfig {
        LaneConfig {
            start_mode: start_mode(self.write_starts, settings.start_mode),
            batch_spans: settings.batch_spans.min(MAX_BATCH_SPANS),
            batch_spans_max: settings.batch_spans_max.min(MAX_BATCH_SPANS),
            ..settings
        }
    }

    fn disabled(&self) -> Option<String> {
        self.disabled.clone()
    }

    fn export(&self, batch: Batch) -> Export {
        let payloads = batch.spans.iter().map(|entry| entry.span.payload_bytes()).sum();
        let mut body = self.body(payloads, batch.spans.len());
        for entry in &batch.spans {
            encode_item(&mut body, &entry.span, self.tags.as_ref());
            body.push(b',');
        }
        self.put(body, Attempt::of(&batch))
    }

    fn export_records(&self, batch: &RecordBatch<'_>) -> Option<Export> {
        let mut body = self.body(batch.records.iter().map(<[u8]>::len).sum(), batch.records.len());
        for record in batch.records.iter() {
            let span = View::of(record)?;
            if span.unchecked {
                return None;
            }
            encode_item_of(&mut body, &fields(&span), self.tags.as_ref());
            body.push(b',');
        }
        Some(self.put(body, Attempt::of_records(batch)))
    }

    fn rest(&self) {
        self.client.rest();
    }
}

/// Returns the mode of an exporter that writes starts or not; the tracer's settings say how long a start is held.
pub(super) fn start_mode(write_starts: bool, settings: StartMode) -> StartMode {
    match (write_starts, settings) {
        (false, _) => StartMode::EndOnly,
        (true, StartMode::EndOnly) => StartMode::Deferred(Duration::from_secs(5)),
        (true, mode) => mode,
    }
}

#[cfg(test)]
mod tests;
