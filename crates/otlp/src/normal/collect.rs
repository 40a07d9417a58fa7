use std::borrow::Cow;
use std::fmt;

use endspan_model::{Payload, Span, Status};
use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::json::{Json, Object};
use super::message::{Message, Part, Role};
use super::usage::{self, Reported};
use super::{Agent, Detail, ErrorReport, Normal, ReportedCost, Tool, error, flat, messages};
use crate::conventions::{self, Convention, Field, Rule};
use crate::operation::Operation;
use crate::otel_form::OtelForm;

/// One attribute that the table knows.
struct Slot<'a> {
    rank: u16,
    rule: &'static Rule,
    key: Cow<'a, str>,
    raw: &'a RawValue,
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
        Json::read(self.raw.get())
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

/// What could be content, until it is known what the span does.
#[derive(Default)]
struct Content<'a> {
    system: Option<Json<'a>>,
    input_messages: Vec<Message>,
    output_messages: Vec<Message>,
    input: Option<Json<'a>>,
    output: Option<Json<'a>>,
    output_text: Option<Json<'a>>,
    output_reasoning: Option<Json<'a>>,
    output_tool_calls: Option<Json<'a>>,
    events: Option<Json<'a>>,
    arguments: Option<Json<'a>>,
    result: Option<Json<'a>>,
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
    struct Members<'s, 'a>(&'s mut Vec<Slot<'a>>);

    impl<'a> Visitor<'a> for Members<'_, 'a> {
        type Value = ();

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<Key<'a>>()? {
                let raw = map.next_value::<&RawValue>()?;
                if let Some(found) = conventions::find(&key.0) {
                    let (rank, rule) = (found.rank, found.rule);
                    self.0.push(Slot { rank, rule, key: key.0, raw });
                }
            }
            Ok(())
        }
    }

    if payload.as_bytes().first() == Some(&b'{') {
        // What is not an object after all has no attributes.
        let _ = serde_json::Deserializer::from_str(payload.as_str()).deserialize_map(Members(slots));
    }
}

/// A key, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

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
                    Json::Array(list) => {
                        list.iter().filter_map(Json::as_str).map(messages::finish_reason).collect()
                    }
                    _ => slot.text().map(|word| messages::finish_reason(&word)).into_iter().collect(),
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

    fn take_content(&mut self, slot: &Slot<'a>, group: &[Slot<'a>]) {
        let value = || {
            if slot.rule.source.ends_with('*') {
                flat::unflatten(group.iter().map(|slot| (slot.rest(), slot.value())))
            } else {
                slot.value()
            }
        };
        let content = &mut self.content;
        match slot.rule.field {
            Field::SystemInstructions => fill(&mut content.system, || Some(value())),
            Field::InputMessages if content.input_messages.is_empty() => {
                content.input_messages = messages::read(&value(), &Role::User);
            }
            Field::OutputMessages if content.output_messages.is_empty() => {
                content.output_messages = messages::read(&value(), &Role::Assistant);
            }
            Field::MessageEvents => fill(&mut content.events, || Some(value().parsed())),
            Field::Input => fill(&mut content.input, || Some(value())),
            Field::Output => fill(&mut content.output, || Some(value())),
            Field::OutputText => fill(&mut content.output_text, || Some(value())),
            Field::OutputReasoning => fill(&mut content.output_reasoning, || Some(value())),
            Field::OutputToolCalls => fill(&mut content.output_tool_calls, || Some(value())),
            Field::ToolArguments => fill(&mut content.arguments, || Some(value())),
            Field::ToolResult => fill(&mut content.result, || Some(value())),
            Field::ToolDefinitions if self.normal.tool_definitions.is_empty() => {
                self.normal.tool_definitions = tool_definitions(value());
            }
            Field::Query => fill(&mut self.normal.query, || slot.text()),
            Field::Documents if self.normal.documents.is_empty() => {
                let list = match value().parsed() {
                    Json::Array(list) => list,
                    other => vec![other],
                };
                let unwrapped = list.iter().map(|one| one.get("document").unwrap_or(one).to_value());
                self.normal.documents = unwrapped.collect();
            }
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

    fn finish_content(&mut self, form: &OtelForm<'_>) {
        let content = std::mem::take(&mut self.content);
        let normal = &mut self.normal;
        normal.input_messages = content.input_messages;
        normal.output_messages = content.output_messages;
        if let Some(system) = content.system {
            let said = messages::read(&system, &Role::System);
            normal.system_instructions = said.into_iter().flat_map(|message| message.parts).collect();
        }
        let answer = answer(content.output_text, content.output_reasoning, content.output_tool_calls);
        if normal.output_messages.is_empty() {
            normal.output_messages.extend(answer);
        }
        if let Some(Json::Array(events)) = content.events {
            let objects = events.into_iter().filter_map(|event| match event {
                Json::Object(object) => Some(object),
                _ => None,
            });
            take_events(normal, objects);
        }
        take_events(
            normal,
            form.events.iter().filter(|event| event.name.starts_with("gen_ai.")).map(|event| {
                let mut attributes = event_attributes(event.attributes);
                attributes.insert("event.name", Json::String(Cow::Borrowed(event.name.as_str())));
                attributes
            }),
        );

        let is_tool = normal.operation == Some(Operation::ExecuteTool);
        if is_tool {
            self.tool.arguments = content.arguments.or(content.input).map(|value| value.parsed().to_value());
            let result = content.result.or(content.output).map(Json::parsed);
            self.tool.result = result.map(|value| unwrap_tool_result(&value, &mut self.tool.call_id));
            return;
        }
        self.tool.arguments = content.arguments.map(|value| value.parsed().to_value());
        self.tool.result = content.result.map(|value| value.parsed().to_value());
        let is_chat = matches!(normal.operation, Some(Operation::Chat | Operation::TextCompletion));
        let input = content.input.map(Json::parsed);
        if let Some(Json::Object(request)) = &input
            && is_chat
        {
            take_request(normal, request);
        }
        let output = content.output.map(Json::parsed);
        if let Some(Json::Object(response)) = &output
            && is_chat
            && normal.finish_reasons.is_empty()
        {
            let reason = ["finish_reason", "finishReason", "stop_reason"]
                .into_iter()
                .find_map(|key| response.get(key).and_then(Json::as_str));
            normal.finish_reasons = reason.map(messages::finish_reason).into_iter().collect();
        }
        for (value, into, plain, speaker) in [
            (input, &mut normal.input_messages, &mut normal.input, Role::User),
            (output, &mut normal.output_messages, &mut normal.output, Role::Assistant),
        ] {
            let Some(value) = value.filter(|_| into.is_empty()) else { continue };
            let read = match &value {
                Json::String(_) if is_chat => Some(messages::read(&value, &speaker)),
                Json::Object(body) if is_chat => messages::read_if_messages(&value, &speaker)
                    .or_else(|| messages::read_body(body, &speaker)),
                _ => messages::read_if_messages(&value, &speaker),
            };
            match read {
                Some(messages) => *into = messages,
                None if value.is_null() => {}
                None => *plain = Some(value.to_value()),
            }
        }
        if normal.finish_reasons.is_empty() {
            let reasons = normal.output_messages.iter().filter_map(|message| message.finish_reason.clone());
            normal.finish_reasons = reasons.collect();
        }
    }
}

/// Takes what a provider's request says beside its messages.
fn take_request(normal: &mut Normal, request: &Object<'_>) {
    if normal.tool_definitions.is_empty()
        && let Some(tools) = request.get("tools").or_else(|| request.get("functions"))
    {
        normal.tool_definitions = tool_definitions(tools.clone());
    }
    for (key, value) in request.iter() {
        if let Some(name) = parameter(key)
            && !value.is_null()
            && !normal.parameters.contains_key(name)
        {
            normal.parameters.insert(name.to_owned(), value.to_value());
        }
    }
}

/// Returns the one message that a text, reasoning and tool calls make up.
fn answer(
    text: Option<Json<'_>>,
    reasoning: Option<Json<'_>>,
    tool_calls: Option<Json<'_>>,
) -> Option<Message> {
    let mut parts = Vec::new();
    let string = |value: Option<Json<'_>>| match value {
        Some(Json::String(content)) if !content.is_empty() => Some(content.into_owned()),
        _ => None,
    };
    parts.extend(string(reasoning).map(|content| Part::Reasoning { content }));
    parts.extend(string(text).map(|content| Part::Text { content }));
    if let Some(Json::Array(calls)) = tool_calls.map(Json::parsed) {
        for mut call in calls {
            if let Json::Object(object) = &mut call {
                object.insert("type", Json::String(Cow::Borrowed("tool_call")));
            }
            parts.extend(messages::part(&call));
        }
    }
    (!parts.is_empty()).then_some(Message { role: Role::Assistant, name: None, parts, finish_reason: None })
}

/// Takes messages that were written as events, on the span or as one attribute.
fn take_events<'e>(normal: &mut Normal, events: impl Iterator<Item = Object<'e>>) {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    for mut event in events {
        // Some put the whole body of the event into one attribute.
        if let Some(Json::Object(body)) = event.get("gen_ai.event.content").cloned().map(Json::parsed) {
            event.extend(body);
        }
        let name = event.get("event.name").and_then(Json::as_str).unwrap_or_default().to_owned();
        let (into, speaker) = match name.as_str() {
            "gen_ai.choice" => (&mut output, Role::Assistant),
            "gen_ai.content.completion" => {
                output.extend(messages::read(
                    event.get("gen_ai.completion").unwrap_or(&Json::Null),
                    &Role::Assistant,
                ));
                continue;
            }
            "gen_ai.content.prompt" => {
                input.extend(messages::read(event.get("gen_ai.prompt").unwrap_or(&Json::Null), &Role::User));
                continue;
            }
            "gen_ai.client.inference.operation.details" => {
                for (key, into, speaker) in [
                    ("gen_ai.input.messages", &mut input, Role::User),
                    ("gen_ai.output.messages", &mut output, Role::Assistant),
                ] {
                    into.extend(messages::read(event.get(key).unwrap_or(&Json::Null), &speaker));
                }
                continue;
            }
            _ => match name.strip_prefix("gen_ai.").and_then(|rest| rest.strip_suffix(".message")) {
                Some(word) => (&mut input, Role::from_word(word)),
                None => continue,
            },
        };
        into.extend(messages::read(&Json::Object(event), &speaker));
    }
    if normal.input_messages.is_empty() {
        normal.input_messages = input;
    }
    if normal.output_messages.is_empty() {
        normal.output_messages = output;
    }
}

fn event_attributes(raw: Option<&RawValue>) -> Object<'_> {
    match raw.map(|raw| Json::read(raw.get())) {
        Some(Json::Object(object)) => object,
        _ => Object::default(),
    }
}

/// Frameworks return a tool's result as a message: what the tool said is inside.
fn unwrap_tool_result(value: &Json<'_>, call_id: &mut Option<String>) -> Value {
    let Some(said) = messages::read_if_messages(value, &Role::Tool) else { return value.to_value() };
    match said.into_iter().flat_map(|message| message.parts).next() {
        Some(Part::ToolCallResponse { id, response, .. }) => {
            fill(call_id, || id);
            response
        }
        _ => value.to_value(),
    }
}

fn tool_definitions(value: Json<'_>) -> Vec<Value> {
    let list = match value.parsed() {
        Json::Array(list) => list,
        Json::Null => return Vec::new(),
        one => vec![one],
    };
    list.into_iter()
        .map(|one| {
            let one = one.parsed();
            let inner = one.get("tool").and_then(|tool| tool.get("json_schema"));
            inner.map_or_else(|| one.to_value(), messages::value_of)
        })
        .collect()
}

/// Returns the normal name of a knob.
fn parameter(key: &str) -> Option<&'static str> {
    Some(match key {
        "temperature" => "temperature",
        "top_p" | "topP" => "top_p",
        "top_k" | "topK" => "top_k",
        "max_tokens" | "max_completion_tokens" | "max_output_tokens" | "maxTokens" | "maxOutputTokens" => {
            "max_tokens"
        }
        "frequency_penalty" | "frequencyPenalty" => "frequency_penalty",
        "presence_penalty" | "presencePenalty" => "presence_penalty",
        "stop" | "stop_sequences" | "stopSequences" => "stop_sequences",
        "seed" => "seed",
        "n" => "choice_count",
        "stream" => "stream",
        "reasoning_effort" => "reasoning_level",
        _ => return None,
    })
}

/// Returns a provider's OpenTelemetry name.
fn provider(word: &str) -> String {
    let lower = word.trim().to_ascii_lowercase();
    match lower.as_str() {
        "azure" | "azure_openai" | "azure-openai" | "azure.openai" | "az.ai.openai" | "azureopenai" => {
            "azure.ai.openai"
        }
        "az.ai.inference" | "azure_ai_inference" | "azure.ai" => "azure.ai.inference",
        "aws" | "aws_bedrock" | "bedrock" | "amazon-bedrock" | "amazon_bedrock" | "bedrock_converse" => {
            "aws.bedrock"
        }
        "google" | "gemini" | "google_genai" | "google-gla" | "google_generativeai" | "gen_ai.gemini" => {
            "gcp.gemini"
        }
        "vertexai" | "vertex_ai" | "google-vertex" | "google_vertexai" | "vertex" => "gcp.vertex_ai",
        "mistral" | "mistralai" | "mistral.ai" => "mistral_ai",
        "xai" | "x.ai" => "x_ai",
        "watsonx" | "watsonx.ai" | "ibm" => "ibm.watsonx.ai",
        // The Vercel AI SDK names the provider and its API: `openai.chat`.
        _ => match lower.split_once('.') {
            Some(("openai", _)) => "openai",
            Some(("anthropic", _)) => "anthropic",
            Some(("azure-openai", _)) => "azure.ai.openai",
            Some(("google", api)) if api.starts_with("vertex") => "gcp.vertex_ai",
            Some(("google", _)) => "gcp.gemini",
            Some(("mistral", _)) => "mistral_ai",
            Some(("xai", _)) => "x_ai",
            Some(("groq", _)) => "groq",
            Some(("cohere", _)) => "cohere",
            Some(("deepseek", _)) => "deepseek",
            Some(("perplexity", _)) => "perplexity",
            _ => return lower,
        },
    }
    .to_owned()
}
