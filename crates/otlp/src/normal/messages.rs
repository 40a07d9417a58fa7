//! Messages in any shape that the field writes them in.

use serde_json::Value;

use super::json::{Json, Object};
use super::message::{Message, Part, Role};

/// Deepest nesting of wrappers around messages.
const MAX_WRAPPERS: usize = 8;

/// Returns the messages that a value holds: a list of messages, a request or answer of a provider's API, the
/// serialized form of a framework, or plain text, which is one message from `speaker`.
pub(super) fn read(value: &Json<'_>, speaker: &Role) -> Vec<Message> {
    let mut out = Vec::new();
    push(&mut out, value, speaker, 0);
    // Roles alone say nothing: what was said may stand elsewhere.
    if out.iter().all(|message| message.parts.is_empty()) {
        out.clear();
    }
    out
}

/// Returns the messages of a value that may be something else; `None` if it is.
pub(super) fn read_if_messages(value: &Json<'_>, speaker: &Role) -> Option<Vec<Message>> {
    if !looks_like_messages(value, 0) {
        return None;
    }
    let messages = read(value, speaker);
    (!messages.is_empty()).then_some(messages)
}

/// Returns the messages of a request to a model, or of its answer, that frameworks and agents write under names of
/// their own.
pub(super) fn read_body(body: &Object<'_>, speaker: &Role) -> Option<Vec<Message>> {
    const REQUEST: [&str; 3] = ["input", "prompt", "query"];
    const ANSWER: [&str; 8] =
        ["message", "output", "content", "text", "response", "completion", "answer", "result"];
    let is_request = *speaker == Role::User;
    let keys: &[&str] = if is_request { &REQUEST } else { &ANSWER };
    let mut out = Vec::new();
    for key in if is_request { &["system", "instructions"][..] } else { &[] } {
        out.extend(body.get(key).map(|system| read(system, &Role::System)).unwrap_or_default());
    }
    let said = keys.iter().find_map(|key| {
        let value = body.get(key)?;
        let read = match value {
            Json::String(_) => read(value, speaker),
            // Content that is a list of parts is one message; a list of messages is many.
            Json::Array(list) if holds_parts(value) && !looks_like_messages(value, 0) => {
                let parts: Vec<Part> = list.iter().filter_map(part).collect();
                vec![Message { role: speaker.clone(), name: None, parts, finish_reason: None }]
            }
            _ => read_if_messages(value, speaker)?,
        };
        (!read.is_empty()).then_some(read)
    });
    let said = match said {
        Some(said) => said,
        None if body.get("tool_calls").is_some_and(Json::is_array) => {
            message(body, speaker).into_iter().collect()
        }
        None => return None,
    };
    out.extend(said);
    Some(out)
}

fn looks_like_messages(value: &Json<'_>, depth: usize) -> bool {
    match value {
        Json::Array(list) => {
            depth < MAX_WRAPPERS && list.first().is_some_and(|first| looks_like_messages(first, depth + 1))
        }
        Json::Object(object) => {
            let has = |key: &str| object.get(key).is_some_and(|inner| inner.is_array() || inner.is_object());
            ["messages", "choices", "contents", "candidates", "generations"].into_iter().any(has)
                || object.contains_key("role")
                    && ["content", "parts", "tool_calls"].iter().any(|key| object.contains_key(key))
                || is_serialized_message(object)
                || is_prompt(object)
                || matches!(text(object, "type"), Some("function_call" | "function_call_output"))
                || matches!(text(object, "object"), Some("response"))
        }
        _ => false,
    }
}

/// Returns whether this is a prompt as the Vercel AI SDK takes it.
fn is_prompt(object: &Object<'_>) -> bool {
    object.contains_key("prompt") && object.keys().all(|key| matches!(key, "prompt" | "system" | "messages"))
}

/// Returns whether this is a message as LangChain writes it.
fn is_serialized_message(object: &Object<'_>) -> bool {
    object.contains_key("kwargs") && object.contains_key("lc")
        || object.get("data").is_some_and(|data| data.get("content").is_some())
            && matches!(text(object, "type"), Some("human" | "ai" | "system" | "tool" | "function" | "chat"))
}

fn push(out: &mut Vec<Message>, value: &Json<'_>, speaker: &Role, depth: usize) {
    if depth > MAX_WRAPPERS {
        return;
    }
    match value {
        Json::Null => {}
        Json::String(content) => match Json::read_container(content) {
            Some(inner) => push(out, &inner, speaker, depth + 1),
            None if content.is_empty() => {}
            None => out.push(Message {
                role: speaker.clone(),
                name: None,
                parts: vec![Part::Text { content: content.clone().into_owned() }],
                finish_reason: None,
            }),
        },
        Json::Array(list) => {
            for one in list {
                push(out, one, speaker, depth + 1);
            }
        }
        Json::Object(object) => push_object(out, object, speaker, depth),
        other => out.push(Message {
            role: speaker.clone(),
            name: None,
            parts: vec![Part::Text { content: other.to_string() }],
            finish_reason: None,
        }),
    }
}

fn push_object(out: &mut Vec<Message>, object: &Object<'_>, speaker: &Role, depth: usize) {
    // Wrappers first: a request or an answer as a whole.
    for key in ["messages", "contents", "choices", "candidates", "generations"] {
        let is_message = object.contains_key("role");
        let inner = object.get(key).filter(|inner| !is_message && (inner.is_array() || inner.is_object()));
        if let Some(inner) = inner {
            for key in ["system", "instructions", "system_instruction", "systemInstruction"] {
                if let Some(system) = object.get(key) {
                    push(out, system, &Role::System, depth + 1);
                }
            }
            return push(out, inner, speaker, depth + 1);
        }
    }
    let is_answer = text(object, "object") == Some("response")
        || object.contains_key("output") && object.contains_key("status") && !object.contains_key("type");
    if let Some(output) = object.get("output").filter(|_| is_answer) {
        return push(out, output, &Role::Assistant, depth + 1);
    }
    if !object.contains_key("role")
        && !object.contains_key("type")
        && (object.contains_key("prompt") || object.contains_key("system"))
    {
        for (key, role) in [("system", &Role::System), ("prompt", speaker)] {
            if let Some(inner) = object.get(key) {
                push(out, inner, role, depth + 1);
            }
        }
        return;
    }
    if is_serialized_message(object) {
        let inner = object.get("kwargs").or_else(|| object.get("data")).and_then(Json::as_object);
        let class =
            object.get("id").and_then(Json::as_array).and_then(|path| path.last()).and_then(Json::as_str);
        let word = inner.and_then(|inner| text(inner, "type")).or_else(|| text(object, "type")).or(class);
        if let Some(inner) = inner {
            let role = word.map_or_else(|| speaker.clone(), Role::from_word);
            out.extend(message(inner, &role));
        }
        return;
    }
    // An element of choices, candidates, generations or a flattened list holds its message inside.
    for key in ["message", "content"] {
        let inner = object.get(key).and_then(Json::as_object);
        if let Some(inner) = inner.filter(|inner| key == "message" || inner.contains_key("parts")) {
            let before = out.len();
            push_object(out, inner, speaker, depth + 1);
            let reason = ["finish_reason", "finishReason"]
                .into_iter()
                .find_map(|key| text(object, key))
                .or_else(|| {
                    object
                        .get("generation_info")
                        .and_then(|info| info.get("finish_reason"))
                        .and_then(Json::as_str)
                });
            if let Some((first, reason)) = out.get_mut(before).zip(reason) {
                first.finish_reason.get_or_insert_with(|| finish_reason(reason));
            }
            return;
        }
    }
    out.extend(message(object, speaker));
}

/// Reads one message object.
fn message(object: &Object<'_>, speaker: &Role) -> Option<Message> {
    let kind = text(object, "type").unwrap_or_default();
    let role = match (text(object, "role"), kind) {
        (Some(word), _) => Role::from_word(word),
        (None, "function_call" | "reasoning" | "tool_call" | "tool_use") => Role::Assistant,
        (None, "function_call_output" | "tool_call_output") => Role::Tool,
        (None, "human" | "ai" | "system" | "tool") => Role::from_word(kind),
        _ => speaker.clone(),
    };
    let mut parts = Vec::new();
    match kind {
        // Items of OpenAI's responses API are messages of one part.
        "function_call" | "function_call_output" | "reasoning" => {
            parts.extend(part(&Json::Object(object.clone())))
        }
        _ => push_parts(&mut parts, object, &role),
    }
    if parts.is_empty() && !["role", "content", "parts"].iter().any(|key| object.contains_key(key)) {
        parts.push(Part::Other(Json::Object(object.clone()).to_value()));
    }
    let reason =
        ["finish_reason", "finishReason", "stop_reason"].into_iter().find_map(|key| text(object, key));
    Some(Message {
        role,
        name: text(object, "name").filter(|name| !name.is_empty()).map(str::to_owned),
        parts,
        finish_reason: reason.map(finish_reason),
    })
}

fn push_parts(parts: &mut Vec<Part>, object: &Object<'_>, role: &Role) {
    for key in ["reasoning_content", "reasoning", "thinking"] {
        if let Some(content) = text(object, key).filter(|content| !content.is_empty()) {
            parts.push(Part::Reasoning { content: content.to_owned() });
        }
    }
    let list =
        ["parts", "contents"].into_iter().find_map(|key| object.get(key).filter(|list| list.is_array()));
    let content = list.or_else(|| object.get("content"));
    match (role, content) {
        (_, None | Some(Json::Null)) => {
            if let Some(content) = text(object, "text").filter(|content| !content.is_empty()) {
                parts.push(Part::Text { content: content.to_owned() });
            }
        }
        (Role::Tool, Some(response)) if list.is_none() && !holds_tool_results(response) => {
            let id = ["tool_call_id", "toolCallId", "id"].into_iter().find_map(|key| text(object, key));
            parts.push(Part::ToolCallResponse {
                id: id.map(str::to_owned),
                name: text(object, "name").filter(|name| !name.is_empty()).map(str::to_owned),
                response: text_of_parts(response).unwrap_or_else(|| value_of(response)),
                is_error: says_failed(object),
            });
        }
        (_, Some(Json::String(content))) => match Json::read_container(content).filter(holds_parts) {
            // Content with several parts, written as JSON text.
            Some(Json::Array(list)) => parts.extend(list.iter().filter_map(part)),
            _ if content.is_empty() => {}
            _ => parts.push(Part::Text { content: content.clone().into_owned() }),
        },
        (_, Some(Json::Array(list))) => parts.extend(list.iter().filter_map(part)),
        (_, Some(one)) => parts.extend(part(one)),
    }
    let calls =
        ["tool_calls", "toolCalls"].into_iter().find_map(|key| object.get(key)).and_then(Json::as_array);
    let legacy = object.get("function_call").filter(|call| call.is_object());
    for call in calls.into_iter().flatten().chain(legacy) {
        push_tool_call(parts, call);
    }
    if let Some(name) = text(object, "function_call_name") {
        let arguments = object.get("function_call_arguments_json").map(value_of);
        parts.push(Part::ToolCall { id: None, name: name.to_owned(), arguments });
    }
}

/// Appends a tool call unless a part already says it.
fn push_tool_call(parts: &mut Vec<Part>, call: &Json<'_>) {
    let Some(call) = tool_call(call) else { return };
    let Part::ToolCall { id: new, .. } = &call else { return };
    let known =
        new.is_some() && parts.iter().any(|part| matches!(part, Part::ToolCall { id, .. } if id == new));
    if !known {
        parts.push(call);
    }
}

fn tool_call(value: &Json<'_>) -> Option<Part> {
    let object = value.as_object()?;
    let object = object.get("tool_call").and_then(Json::as_object).unwrap_or(object);
    let function = object.get("function").or_else(|| object.get("functionCall")).and_then(Json::as_object);
    let function = function.unwrap_or(object);
    let name = ["name", "toolName", "tool_name"]
        .into_iter()
        .find_map(|key| text(function, key).or_else(|| text(object, key)))?;
    let arguments =
        ["arguments", "args", "input", "parameters"].into_iter().find_map(|key| function.get(key));
    // OpenAI's responses have both their own id and the one that the result refers to.
    let id = ["call_id", "toolCallId", "tool_call_id", "id"].into_iter().find_map(|key| text(object, key));
    Some(Part::ToolCall {
        id: id.map(str::to_owned),
        name: name.to_owned(),
        arguments: arguments.map(value_of).filter(|value| !value.is_null()),
    })
}

/// Reads one part of a message.
pub(super) fn part(value: &Json<'_>) -> Option<Part> {
    let object = match value {
        Json::String(content) => return Some(Part::Text { content: content.clone().into_owned() }),
        Json::Object(object) => object,
        Json::Null => return None,
        other => return Some(Part::Other(other.to_value())),
    };
    if let Some(call) = object.get("tool_call").filter(|call| call.is_object()) {
        return tool_call(call);
    }
    if let Some(inner) = object.get("message_content").filter(|inner| inner.is_object()) {
        return part(inner);
    }
    let first_text = |keys: &[&str]| keys.iter().find_map(|key| text(object, key)).map(str::to_owned);
    let other = || Part::Other(value.to_value());
    Some(match text(object, "type").unwrap_or_default() {
        "text" | "input_text" | "output_text" | "refusal" | "summary_text" => {
            match first_text(&["content", "text", "value", "refusal"]) {
                Some(content) => Part::Text { content },
                None => other(),
            }
        }
        // Encrypted by the provider: that something was thought is all there is to show.
        "redacted_thinking" => Part::Reasoning { content: String::new() },
        "reasoning" | "thinking" | "reasoning_text" => {
            let summary = object.get("summary").or_else(|| object.get("content")).and_then(Json::as_array);
            let summary = summary.map(|list| {
                let texts: Vec<&str> = list.iter().filter_map(|one| one.get("text")?.as_str()).collect();
                texts.join("\n")
            });
            match first_text(&["content", "text", "thinking", "reasoning"]).or(summary) {
                Some(content) => Part::Reasoning { content },
                None => other(),
            }
        }
        "tool_call" | "tool_use" | "tool-call" | "function_call" | "function" | "server_tool_call"
        | "server_tool_use" => tool_call(value).unwrap_or_else(other),
        "tool_call_response"
        | "web_search_tool_result"
        | "tool_result"
        | "tool-result"
        | "function_call_output"
        | "tool_response"
        | "server_tool_call_response" => tool_response(object),
        "image_url" | "input_image" | "image" | "audio" | "input_audio" | "video" | "document" | "file"
        | "input_file" | "media" | "blob" | "uri" | "image_file" => media(object).unwrap_or_else(other),
        "" => match object {
            _ if object.contains_key("functionCall") || object.contains_key("function_call") => {
                let call = object.get("functionCall").or_else(|| object.get("function_call"))?;
                tool_call(call).unwrap_or_else(other)
            }
            _ if object.contains_key("functionResponse") || object.contains_key("function_response") => {
                let response = object.get("functionResponse").or_else(|| object.get("function_response"))?;
                response.as_object().map_or_else(other, tool_response)
            }
            _ if object.contains_key("inlineData") || object.contains_key("inline_data") => {
                media(object).unwrap_or_else(other)
            }
            _ => match (first_text(&["text", "content"]), object.get("thought")) {
                (Some(content), Some(Json::Bool(true))) => Part::Reasoning { content },
                (Some(content), _) => Part::Text { content },
                (None, _) => other(),
            },
        },
        _ => other(),
    })
}

fn tool_response(object: &Object<'_>) -> Part {
    let id = ["tool_use_id", "toolCallId", "tool_call_id", "call_id", "id"]
        .into_iter()
        .find_map(|key| text(object, key));
    let response = ["response", "result", "output", "content"].into_iter().find_map(|key| object.get(key));
    let response = response.map(|value| {
        // The Vercel AI SDK says of what type the output is.
        let typed = value.as_object().filter(|object| object.len() == 2 && object.contains_key("type"));
        match typed.and_then(|object| object.get("value")) {
            Some(inner) => inner.to_value(),
            None => text_of_parts(value).unwrap_or_else(|| value_of(value)),
        }
    });
    let name = ["name", "toolName", "tool_name"].into_iter().find_map(|key| text(object, key));
    Part::ToolCallResponse {
        id: id.map(str::to_owned),
        name: name.map(str::to_owned),
        response: response.unwrap_or_default(),
        is_error: says_failed(object),
    }
}

/// Returns whether a tool's answer says that the tool failed.
fn says_failed(object: &Object<'_>) -> bool {
    ["is_error", "isError"].iter().any(|key| object.get(key) == Some(&Json::Bool(true)))
        || text(object, "status") == Some("error")
}

/// Where the content of a medium is.
enum Source {
    Uri(String),
    Content(String),
    File(String),
}

fn media(object: &Object<'_>) -> Option<Part> {
    let kind = text(object, "type").unwrap_or("file");
    let nested =
        ["source", "image_url", "image", "input_audio", "file", "inlineData", "inline_data", "audio"]
            .into_iter()
            .find_map(|key| object.get(key));
    let mut inner = nested.and_then(Json::as_object).unwrap_or(object);
    // OpenInference has the image inside the image.
    if let Some(deeper) = inner.get("image").and_then(Json::as_object) {
        inner = deeper;
    }
    let find = |keys: &[&str]| {
        keys.iter().find_map(|key| text(inner, key).or_else(|| text(object, key))).map(str::to_owned)
    };
    let mut mime_type = find(&["mime_type", "media_type", "mediaType", "mimeType"]);
    let link = find(&["url", "uri"]).or_else(|| nested.and_then(Json::as_str).map(str::to_owned));
    let source = match (link, find(&["file_id", "fileId"]), find(&["data", "content", "file_data"])) {
        (Some(link), _, _) => match link.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
            Some((declared, content)) => {
                mime_type.get_or_insert_with(|| declared.to_owned());
                Source::Content(content.to_owned())
            }
            None if link.contains("://") || link.starts_with("data:") || kind == "uri" => Source::Uri(link),
            None => Source::Content(link),
        },
        (None, Some(file_id), _) => Source::File(file_id),
        (None, None, Some(content)) => Source::Content(content),
        (None, None, None) => return None,
    };
    let modality = text(object, "modality").map(str::to_owned).unwrap_or_else(|| {
        let class = mime_type.as_deref().and_then(|mime| mime.split('/').next());
        let word = match (kind, class) {
            (_, Some(class @ ("image" | "audio" | "video"))) => class,
            ("image_url" | "input_image" | "image" | "image_file", _) => "image",
            ("audio" | "input_audio", _) => "audio",
            ("video", _) => "video",
            _ => "document",
        };
        word.to_owned()
    });
    Some(match source {
        Source::Uri(uri) => Part::Uri { modality, mime_type, uri },
        Source::Content(content) => Part::Blob { modality, mime_type, content },
        Source::File(file_id) => Part::File { modality, mime_type, file_id },
    })
}

/// Returns a provider's word for why a model stopped in the words of the convention.
pub(super) fn finish_reason(word: &str) -> String {
    let word = word.trim().to_ascii_lowercase();
    match word.as_str() {
        "tool_calls" | "tool-calls" | "tool_use" | "tool_call" | "function_call" | "tool_calling" => {
            "tool_call"
        }
        "stop" | "end_turn" | "stop_sequence" | "completed" | "complete" | "eos" | "eos_token" => "stop",
        "length" | "max_tokens" | "max_output_tokens" | "model_length" | "incomplete" => "length",
        "content_filter" | "content-filter" | "safety" | "refusal" | "guardrail_intervened" => {
            "content_filter"
        }
        other => other,
    }
    .to_owned()
}

fn text<'o>(object: &'o Object, key: &str) -> Option<&'o str> {
    object.get(key).and_then(Json::as_str)
}

/// Returns a value in the form that others take, or the array or object that its text is.
pub(super) fn value_of(value: &Json<'_>) -> Value {
    match value {
        Json::String(text) => Json::read_container(text).as_ref().unwrap_or(value).to_value(),
        other => other.to_value(),
    }
}

fn holds_parts(value: &Json<'_>) -> bool {
    let typed = |one: &Json<'_>| one.get("type").is_some_and(Json::is_string);
    value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(typed))
}

fn holds_tool_results(value: &Json<'_>) -> bool {
    let result = |one: &Json<'_>| {
        matches!(
            one.get("type").and_then(Json::as_str),
            Some("tool-result" | "tool_result" | "tool_call_response")
        )
    };
    value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(result))
}

/// Returns the one text of a list of text parts.
fn text_of_parts(value: &Json<'_>) -> Option<Value> {
    match value.as_array()?.as_slice() {
        [one] if one.get("type").and_then(Json::as_str) == Some("text") => {
            one.get("text").map(Json::to_value)
        }
        _ => None,
    }
}
