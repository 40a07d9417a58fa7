//! The parts of a message, in any shape that the field writes them in.
//!
//! What is read is taken apart: long texts are moved into the parts, not copied.

use std::borrow::Cow;

use serde_json::Value;

use super::json::{Json, Object};
use super::message::{Part, Role};

/// Appends the parts that a message object holds.
pub(super) fn push_parts(parts: &mut Vec<Part>, object: &mut Object<'_>, role: &Role) {
    for key in ["reasoning_content", "reasoning", "thinking"] {
        if let Some(content) = object.take_text(&[key]).filter(|content| !content.is_empty()) {
            parts.push(Part::Reasoning { content });
        }
    }
    let list = ["parts", "contents"].into_iter().find(|key| object.get(key).is_some_and(Json::is_array));
    let key = list.unwrap_or("content");
    match (role, object.get(key)) {
        (_, None | Some(Json::Null)) => {
            if let Some(content) = object.take_text(&["text"]).filter(|content| !content.is_empty()) {
                parts.push(Part::Text { content });
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
        _ => {
            if let Some(content) = object.get_mut(key) {
                push_content(parts, content);
            }
        }
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

fn push_content(parts: &mut Vec<Part>, content: &mut Json<'_>) {
    // Most messages have one part; room for four, as vectors have it by themselves, would outweigh the text.
    parts.reserve_exact(content.as_array().map_or(1, Vec::len));
    match content {
        Json::String(text) => {
            // Content with several parts, written as JSON text.
            if let Some(Json::Array(mut list)) = Json::read_container(text).filter(holds_parts) {
                parts.extend(list.iter_mut().filter_map(part));
                return;
            }
            if !text.is_empty() {
                parts.push(Part::Text { content: std::mem::take(text).into_owned() });
            }
        }
        Json::Array(list) => parts.extend(list.iter_mut().filter_map(part)),
        one => parts.extend(part(one)),
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
    tool_call_of(value.as_object()?)
}

fn tool_call_of(object: &Object<'_>) -> Option<Part> {
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
pub(super) fn part(value: &mut Json<'_>) -> Option<Part> {
    match value {
        Json::String(content) => Some(Part::Text { content: std::mem::take(content).into_owned() }),
        Json::Object(object) => part_of(object),
        Json::Null => None,
        other => Some(Part::Other(other.to_value())),
    }
}

/// Reads one part that is an object.
pub(super) fn part_of<'a>(object: &mut Object<'a>) -> Option<Part> {
    if let Some(call) = object.get("tool_call").filter(|call| call.is_object()) {
        return tool_call(call);
    }
    if let Some(Json::Object(inner)) = object.get_mut("message_content") {
        return part_of(inner);
    }
    let kind: Cow<'a, str> = match object.get("type") {
        Some(Json::String(kind)) => kind.clone(),
        _ => Cow::Borrowed(""),
    };
    let read = match &*kind {
        "text" | "input_text" | "output_text" | "refusal" | "summary_text" => {
            object.take_text(&["content", "text", "value", "refusal"]).map(|content| Part::Text { content })
        }
        // Encrypted by the provider: that something was thought is all there is to show.
        "redacted_thinking" => Some(Part::Reasoning { content: String::new() }),
        "reasoning" | "thinking" | "reasoning_text" => {
            let said = object.take_text(&["content", "text", "thinking", "reasoning"]);
            said.or_else(|| summary(object)).map(|content| Part::Reasoning { content })
        }
        "tool_call" | "tool_use" | "tool-call" | "function_call" | "function" | "server_tool_call"
        | "server_tool_use" => tool_call_of(object),
        "tool_call_response"
        | "web_search_tool_result"
        | "tool_result"
        | "tool-result"
        | "function_call_output"
        | "tool_response"
        | "server_tool_call_response" => Some(tool_response(object)),
        "image_url" | "input_image" | "image" | "audio" | "input_audio" | "video" | "document" | "file"
        | "input_file" | "media" | "blob" | "uri" | "image_file" => media(object),
        "" => part_without_type(object),
        _ => None,
    };
    Some(read.unwrap_or_else(|| Part::Other(object.to_value())))
}

/// Reads a part as Google's API has it, which says by the member what it is.
fn part_without_type(object: &mut Object<'_>) -> Option<Part> {
    let either = |one: &str, other: &str| object.get(one).or_else(|| object.get(other));
    if let Some(call) = either("functionCall", "function_call") {
        return tool_call(call);
    }
    if let Some(response) = either("functionResponse", "function_response") {
        return response.as_object().map(tool_response);
    }
    if either("inlineData", "inline_data").is_some() {
        return media(object);
    }
    let is_thought = object.get("thought") == Some(&Json::Bool(true));
    let content = object.take_text(&["text", "content"])?;
    Some(if is_thought { Part::Reasoning { content } } else { Part::Text { content } })
}

/// Returns the texts of a summary of what was thought.
fn summary(object: &Object<'_>) -> Option<String> {
    let list = object.get("summary").or_else(|| object.get("content")).and_then(Json::as_array)?;
    let texts: Vec<&str> = list.iter().filter_map(|one| one.get("text")?.as_str()).collect();
    Some(texts.join("\n"))
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

/// Returns the text under a key.
pub(super) fn text<'o>(object: &'o Object, key: &str) -> Option<&'o str> {
    object.get(key).and_then(Json::as_str)
}

/// Returns a value in the form that others take, or the array or object that its text is.
pub(super) fn value_of(value: &Json<'_>) -> Value {
    match value {
        Json::String(text) => Json::read_container(text).as_ref().unwrap_or(value).to_value(),
        other => other.to_value(),
    }
}

/// Returns whether this is a list of parts that say what they are.
pub(super) fn holds_parts(value: &Json<'_>) -> bool {
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
