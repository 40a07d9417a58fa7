//! Content: messages, instructions, tools, input and output.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

use super::super::json::{Json, Object};
use super::super::message::{Message, Part, Role};
use super::super::words::{finish_reason, parameter};
use super::super::{Normal, flat, messages, parts};
use super::{Reading, Slot, fill};
use crate::conventions::Field;
use crate::operation::Operation;
use crate::otel_form::OtelForm;

/// What could be content, until it is known what the span does.
#[derive(Default)]
pub(super) struct Content<'a> {
    system: Option<Json<'a>>,
    input_messages: Vec<Message>,
    output_messages: Vec<Message>,
    pub(super) input: Option<Json<'a>>,
    pub(super) output: Option<Json<'a>>,
    output_text: Option<Json<'a>>,
    output_reasoning: Option<Json<'a>>,
    output_tool_calls: Option<Json<'a>>,
    events: Option<Json<'a>>,
    pub(super) arguments: Option<Json<'a>>,
    result: Option<Json<'a>>,
}

impl<'a> Reading<'a> {
    /// Takes an attribute that is content, or all attributes of one pattern.
    pub(super) fn take_content(&mut self, slot: &Slot<'a>, group: &[Slot<'a>]) {
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
                content.input_messages = messages::read(&mut value(), &Role::User);
            }
            Field::OutputMessages if content.output_messages.is_empty() => {
                content.output_messages = messages::read(&mut value(), &Role::Assistant);
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

    /// Settles what is said once it is known what the span does.
    pub(super) fn finish_content(&mut self, form: &OtelForm<'_>) {
        let content = std::mem::take(&mut self.content);
        let normal = &mut self.normal;
        normal.input_messages = content.input_messages;
        normal.output_messages = content.output_messages;
        if let Some(mut system) = content.system {
            let said = messages::read(&mut system, &Role::System);
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
            normal.finish_reasons = reason.map(finish_reason).into_iter().collect();
        }
        for (value, into, plain, speaker) in [
            (input, &mut normal.input_messages, &mut normal.input, Role::User),
            (output, &mut normal.output_messages, &mut normal.output, Role::Assistant),
        ] {
            let Some(mut value) = value.filter(|_| into.is_empty()) else { continue };
            let read = match messages::read_if_messages(&mut value, &speaker) {
                None if is_chat => match &mut value {
                    Json::String(_) => Some(messages::read(&mut value, &speaker)),
                    Json::Object(body) => messages::read_body(body, &speaker),
                    _ => None,
                },
                read => read,
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
    let mut said = Vec::new();
    let string = |value: Option<Json<'_>>| match value {
        Some(Json::String(content)) if !content.is_empty() => Some(content.into_owned()),
        _ => None,
    };
    said.extend(string(reasoning).map(|content| Part::Reasoning { content }));
    said.extend(string(text).map(|content| Part::Text { content }));
    if let Some(Json::Array(calls)) = tool_calls.map(Json::parsed) {
        for mut call in calls {
            if let Json::Object(object) = &mut call {
                object.insert("type", Json::String(Cow::Borrowed("tool_call")));
            }
            said.extend(parts::part(&mut call));
        }
    }
    (!said.is_empty()).then_some(Message {
        role: Role::Assistant,
        name: None,
        parts: said,
        finish_reason: None,
    })
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
                output.extend(read_member(&mut event, "gen_ai.completion", &Role::Assistant));
                continue;
            }
            "gen_ai.content.prompt" => {
                input.extend(read_member(&mut event, "gen_ai.prompt", &Role::User));
                continue;
            }
            "gen_ai.client.inference.operation.details" => {
                for (key, into, speaker) in [
                    ("gen_ai.input.messages", &mut input, Role::User),
                    ("gen_ai.output.messages", &mut output, Role::Assistant),
                ] {
                    into.extend(read_member(&mut event, key, &speaker));
                }
                continue;
            }
            _ => match name.strip_prefix("gen_ai.").and_then(|rest| rest.strip_suffix(".message")) {
                Some(word) => (&mut input, Role::from_word(word)),
                None => continue,
            },
        };
        into.extend(messages::read(&mut Json::Object(event), &speaker));
    }
    if normal.input_messages.is_empty() {
        normal.input_messages = input;
    }
    if normal.output_messages.is_empty() {
        normal.output_messages = output;
    }
}

fn read_member(event: &mut Object<'_>, key: &str, speaker: &Role) -> Vec<Message> {
    event.get_mut(key).map(|said| messages::read(said, speaker)).unwrap_or_default()
}

pub(super) fn event_attributes(raw: Option<&RawValue>) -> Object<'_> {
    match raw.map(|raw| Json::read(raw.get())) {
        Some(Json::Object(object)) => object,
        _ => Object::default(),
    }
}

/// Frameworks return a tool's result as a message: what the tool said is inside.
fn unwrap_tool_result(value: &Json<'_>, call_id: &mut Option<String>) -> Value {
    let read = messages::read_if_messages(&mut value.clone(), &Role::Tool);
    let Some(said) = read else { return value.to_value() };
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
            inner.map_or_else(|| one.to_value(), parts::value_of)
        })
        .collect()
}
