//! From a span's attributes to its normal form: the best source of each field, by the convention table.

mod content;

use std::borrow::Cow;

use content::{Content, event_attributes};
use endspan_model::{Payload, Span, Status};

use super::json::{Json, Object};
use super::usage::{self, Reported};
use super::words::{finish_reason, parameter, provider};
use super::{Agent, Detail, ErrorReport, Normal, ReportedCost, Tool, error, reader};
use crate::conventions::{self, Convention, Field, Rule};
use crate::operation::Operation;
use crate::otel_form::OtelForm;

/// One attribute that the table knows.
struct Slot<'a> {
    rank: u16,
    rule: &'static Rule,
    key: Cow<'a, str>,
    raw: &'a str,
}

impl<'a> Slot<'a> {
    /// Returns what stands for the star in the rule's source.
    fn rest(&self) -> &str {
        self.rule
            .source
            .strip_suffix('*')
            .and_then(|prefix| self.key.strip_prefix(prefix))
            .unwrap_or_default()
    }

    fn value(&self) -> Json<'a> {
        Json::read(self.raw)
    }

    /// Returns the text of the value; numbers by their digits. MLflow writes texts as JSON text.
    fn text(&self) -> Option<String> {
        let text = match self.value() {
            Json::String(text) => text.into_owned(),
            Json::Number(number) => number.to_string(),
            _ => return None,
        };
        let quoted = text.len() > 1 && text.starts_with('"') && text.ends_with('"');
        let text = if quoted { serde_json::from_str(&text).unwrap_or(text) } else { text };
        (!text.is_empty()).then_some(text)
    }

    fn count(&self) -> Option<u64> {
        usage::count(&self.value())
    }

    fn number(&self) -> Option<f64> {
        match self.value() {
            Json::Number(number) => number.as_f64(),
            Json::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn object(&self) -> Option<Object<'a>> {
        match self.value().parsed() {
            Json::Object(object) => Some(object),
            _ => None,
        }
    }
}

pub(super) fn normalize(span: &Span, detail: Detail) -> Normal {
    // A span of another origin keeps attributes in its metadata only; its input and output are content.
    let is_otlp = span.otel.as_ref().is_some_and(|otel| otel.get("mapped").is_none());
    let sides =
        if is_otlp { [&span.metadata, &span.input, &span.output] } else { [&span.metadata, &None, &None] };
    let mut slots = Vec::new();
    for payload in sides.into_iter().flatten() {
        collect(payload, &mut slots);
    }
    slots.sort_by_key(|slot| slot.rank);

    let mut reading = Reading { detail, ..Reading::default() };
    let mut rest = slots.as_slice();
    while let Some(first) = rest.first() {
        // The keys of one pattern belong together.
        let (group, later) = rest.split_at(rest.partition_point(|slot| slot.rank == first.rank));
        reading.take(first, group);
        rest = later;
    }
    let mut found: Vec<Convention> = slots.iter().map(|slot| slot.rule.convention).collect();
    found.sort_unstable();
    found.dedup();
    reading.normal.conventions = found;
    if !is_otlp {
        reading.take_foreign(span);
    }
    reading.finish(span)
}

/// Appends the members of an object that the table knows.
fn collect<'a>(payload: &'a Payload, slots: &mut Vec<Slot<'a>>) {
    reader::members(payload.as_str(), |key, raw| {
        if let Some(found) = conventions::find(&key) {
            let (rank, rule) = (found.rank, found.rule);
            slots.push(Slot { rank, rule, key, raw });
        }
    });
}

#[derive(Default)]
struct Reading<'a> {
    normal: Normal,
    content: Content<'a>,
    reported: Reported,
    tool: Tool,
    agent: Agent,
    cost: ReportedCost,
    error: ErrorReport,
    detail: Detail,
}

/// Sets a field that no better source has set.
fn fill<T>(field: &mut Option<T>, value: impl FnOnce() -> Option<T>) {
    if field.is_none() {
        *field = value();
    }
}

impl<'a> Reading<'a> {
    /// Takes an attribute, or all attributes of one pattern.
    fn take(&mut self, slot: &Slot<'a>, group: &[Slot<'a>]) {
        let normal = &mut self.normal;
        let reported = &mut self.reported;
        match slot.rule.field {
            Field::Operation => fill(&mut normal.operation, || Some(Operation::from_word(&slot.text()?))),
            Field::Provider => fill(&mut normal.provider, || Some(provider(&slot.text()?))),
            Field::RequestModel => fill(&mut normal.request_model, || slot.text()),
            Field::ResponseModel => fill(&mut normal.response_model, || slot.text()),
            Field::ResponseId => fill(&mut normal.response_id, || slot.text()),
            Field::FinishReason if normal.finish_reasons.is_empty() => {
                normal.finish_reasons = match slot.value().parsed() {
                    Json::Array(list) => list.iter().filter_map(Json::as_str).map(finish_reason).collect(),
                    _ => slot.text().map(|word| finish_reason(&word)).into_iter().collect(),
                };
            }
            Field::InputTokens => fill(&mut reported.input, || slot.count()),
            Field::OutputTokens => fill(&mut reported.output, || slot.count()),
            Field::TotalTokens => fill(&mut reported.total, || slot.count()),
            Field::CacheReadTokens => fill(&mut reported.cache_read, || slot.count()),
            Field::CacheWriteTokens => fill(&mut reported.cache_write, || slot.count()),
            Field::ReasoningTokens => fill(&mut reported.reasoning, || slot.count()),
            Field::UsageObject => {
                if let Some(object) = slot.object() {
                    reported.fill(&object, slot.rule.convention);
                    let text = |key: &str| object.get(key).and_then(Json::as_str).map(str::to_owned);
                    fill(&mut normal.request_model, || text("model"));
                }
            }
            Field::CostInput => fill(&mut self.cost.input, || slot.number()),
            Field::CostOutput => fill(&mut self.cost.output, || slot.number()),
            Field::CostTotal => fill(&mut self.cost.total, || slot.number()),
            Field::CostObject => {
                let object = slot.object().unwrap_or_default();
                let number = |keys: [&str; 2]| {
                    keys.iter().find_map(|key| match object.get(key)? {
                        Json::Number(number) => number.as_f64(),
                        _ => None,
                    })
                };
                fill(&mut self.cost.input, || number(["input", "input_cost"]));
                fill(&mut self.cost.output, || number(["output", "output_cost"]));
                fill(&mut self.cost.total, || number(["total", "total_cost"]));
            }
            Field::ToolName => fill(&mut self.tool.name, || slot.text()),
            Field::ToolCallId => fill(&mut self.tool.call_id, || slot.text()),
            Field::ToolType => fill(&mut self.tool.kind, || slot.text()),
            Field::ToolDescription => fill(&mut self.tool.description, || slot.text()),
            Field::Parameter(name) if !normal.parameters.contains_key(name) => {
                normal.parameters.insert(name.to_owned(), slot.value().to_value());
            }
            Field::Parameter(_) => {}
            Field::ParametersObject => {
                for (key, value) in slot.object().unwrap_or_default().iter() {
                    if let Some(name) = parameter(key)
                        && !normal.parameters.contains_key(name)
                        && !value.is_null()
                    {
                        normal.parameters.insert(name.to_owned(), value.to_value());
                    }
                }
            }
            Field::AgentName => fill(&mut self.agent.name, || slot.text()),
            Field::AgentId => fill(&mut self.agent.id, || slot.text()),
            Field::AgentDescription => fill(&mut self.agent.description, || slot.text()),
            Field::AgentVersion => fill(&mut self.agent.version, || slot.text()),
            Field::WorkflowName => fill(&mut normal.workflow, || slot.text()),
            Field::Conversation => fill(&mut normal.conversation, || slot.text()),
            Field::User => fill(&mut normal.user, || slot.text()),
            Field::ErrorType => fill(&mut self.error.kind, || slot.text()),
            Field::ErrorMessage => fill(&mut self.error.message, || slot.text()),
            Field::TimeToFirstChunkSeconds => fill(&mut normal.time_to_first_chunk_seconds, || slot.number()),
            Field::TimeToFirstChunkMillis => {
                fill(&mut normal.time_to_first_chunk_seconds, || Some(slot.number()? / 1000.0));
            }
            _ if self.detail == Detail::Full => self.take_content(slot, group),
            _ => {}
        }
    }

    /// Takes what spans of other protocols keep in their payloads.
    fn take_foreign(&mut self, span: &'a Span) {
        for key in ["usage", "usage_metadata", "usageMetadata"] {
            if let Some(usage) = span.output.as_ref().and_then(|output| output.get(key))
                && let Json::Object(object) = Json::read(usage.as_str())
            {
                self.reported.fill(&object, Convention::Agentex);
            }
        }
        for payload in [&span.output, &span.input].into_iter().flatten() {
            fill(&mut self.normal.request_model, || payload.get_str("model"));
        }
        let named = || span.span_type.map(|span_type| Operation::from_word(span_type.as_str()));
        fill(&mut self.normal.operation, named);
        fill(&mut self.normal.conversation, || span.group_id.clone());
        if self.normal.operation == Some(Operation::ExecuteTool) {
            fill(&mut self.tool.name, || Some(span.name.clone()));
        }
        if self.detail == Detail::Full {
            self.content.input = span.input.as_ref().map(|input| Json::read(input.as_str()));
            self.content.output = span.output.as_ref().map(|output| Json::read(output.as_str()));
        }
    }

    fn finish(mut self, span: &Span) -> Normal {
        let otel = span.otel.as_ref();
        let holds =
            |needle: &[u8]| otel.is_some_and(|otel| memchr::memmem::find(otel.as_bytes(), needle).is_some());
        let failed = span.status == Some(Status::Error);
        let wants_events = failed || self.detail == Detail::Full && holds(b"\"name\":\"gen_ai.");
        let form: Option<OtelForm<'_>> =
            otel.filter(|_| wants_events).and_then(|otel| serde_json::from_slice(otel.as_bytes()).ok());
        let form = form.unwrap_or_default();
        let exception = form.events.iter().rev().find(|event| event.name == "exception").map(|event| {
            let attributes = event_attributes(event.attributes);
            let text = |key: &str| attributes.get(key).and_then(Json::as_str).map(str::to_owned);
            ErrorReport {
                kind: text("exception.type"),
                message: text("exception.message"),
                stack_trace: text("exception.stacktrace"),
            }
        });
        let status_message = Some(form.status_message.clone()).filter(|message| !message.is_empty());
        self.normal.error = error::read(span, std::mem::take(&mut self.error), status_message, exception);
        self.normal.usage = self.reported.settle();
        if self.cost != ReportedCost::default() {
            self.normal.reported_cost = Some(self.cost.clone());
        }
        if self.agent != Agent::default() {
            self.normal.agent = Some(self.agent.clone());
        }
        if self.normal.operation.is_none() {
            self.normal.operation = self.guess_operation();
        }
        if self.detail == Detail::Full {
            self.finish_content(&form);
        }
        if self.tool != Tool::default() {
            self.normal.tool = Some(self.tool);
        }
        self.normal
    }

    /// Some conventions leave the operation to what else is said.
    fn guess_operation(&self) -> Option<Operation> {
        if self.tool.name.is_some() && (self.content.arguments.is_some() || self.tool.call_id.is_some()) {
            return Some(Operation::ExecuteTool);
        }
        if self.agent.name.is_some() && self.normal.provider.is_none() {
            return Some(Operation::InvokeAgent);
        }
        let calls_model =
            self.normal.provider.is_some() && self.normal.model().is_some() && self.normal.usage.is_some();
        calls_model.then_some(Operation::Chat)
    }
}
