//! Messages in any shape that the field writes them in.
//!
//! What is read is taken apart: long texts are moved into the messages, not copied. Whoever still needs what was read
//! when it turns out to hold no messages has it whole: what is moved is in a message.

use super::json::{Json, Object};
use super::message::{Message, Part, Role};
use super::parts::{holds_parts, part, part_of, push_parts, text};
use super::words::finish_reason;

/// Deepest nesting of wrappers around messages.
const MAX_WRAPPERS: usize = 8;

/// Returns the messages that a value holds: a list of messages, a request or answer of a provider's API, the
/// serialized form of a framework, or plain text, which is one message from `speaker`.
pub(super) fn read(value: &mut Json<'_>, speaker: &Role) -> Vec<Message> {
    let mut out = Vec::new();
    push(&mut out, value, speaker, 0);
    // Roles alone say nothing: what was said may stand elsewhere.
    if out.iter().all(|message| message.parts.is_empty()) {
        out.clear();
    }
    out
}

/// Returns the messages of a value that may be something else; `None` if it is.
pub(super) fn read_if_messages(value: &mut Json<'_>, speaker: &Role) -> Option<Vec<Message>> {
    if !looks_like_messages(value, 0) {
        return None;
    }
    let messages = read(value, speaker);
    (!messages.is_empty()).then_some(messages)
}

/// Returns the messages of a request to a model, or of its answer, that frameworks and agents write under names of
/// their own.
pub(super) fn read_body(body: &mut Object<'_>, speaker: &Role) -> Option<Vec<Message>> {
    const REQUEST: [&str; 3] = ["input", "prompt", "query"];
    const ANSWER: [&str; 8] =
        ["message", "output", "content", "text", "response", "completion", "answer", "result"];
    let is_request = *speaker == Role::User;
    let keys: &[&str] = if is_request { &REQUEST } else { &ANSWER };
    let said = keys.iter().find_map(|key| {
        let value = body.get_mut(key)?;
        let whole = holds_parts(value) && !looks_like_messages(value, 0);
        let read = match value {
            Json::String(_) => read(value, speaker),
            // Content that is a list of parts is one message; a list of messages is many.
            Json::Array(list) if whole => {
                let parts: Vec<Part> = list.iter_mut().filter_map(part).collect();
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
    let mut out = Vec::new();
    for key in if is_request { &["system", "instructions"][..] } else { &[] } {
        out.extend(body.get_mut(key).map(|system| read(system, &Role::System)).unwrap_or_default());
    }
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

fn push(out: &mut Vec<Message>, value: &mut Json<'_>, speaker: &Role, depth: usize) {
    if depth > MAX_WRAPPERS {
        return;
    }
    match value {
        Json::Null => {}
        Json::String(content) => {
            if let Some(mut inner) = Json::read_container(content) {
                push(out, &mut inner, speaker, depth + 1);
                return;
            }
            if !content.is_empty() {
                out.push(plain(speaker, std::mem::take(content).into_owned()));
            }
        }
        Json::Array(list) => {
            out.reserve_exact(list.len());
            for one in list {
                push(out, one, speaker, depth + 1);
            }
        }
        Json::Object(object) => push_object(out, object, speaker, depth),
        other => out.push(plain(speaker, other.to_string())),
    }
}

/// Returns a message that is one text.
fn plain(speaker: &Role, content: String) -> Message {
    Message { role: speaker.clone(), name: None, parts: vec![Part::Text { content }], finish_reason: None }
}

fn push_object(out: &mut Vec<Message>, object: &mut Object<'_>, speaker: &Role, depth: usize) {
    // Wrappers first: a request or an answer as a whole.
    if !object.contains_key("role") {
        let wrapper = ["messages", "contents", "choices", "candidates", "generations"]
            .into_iter()
            .find(|key| object.get(key).is_some_and(|inner| inner.is_array() || inner.is_object()));
        if let Some(wrapper) = wrapper {
            let system = ["system", "instructions", "system_instruction", "systemInstruction"];
            for (key, role) in system.into_iter().map(|key| (key, &Role::System)).chain([(wrapper, speaker)])
            {
                if let Some(inner) = object.get_mut(key) {
                    push(out, inner, role, depth + 1);
                }
            }
            return;
        }
    }
    let is_answer = text(object, "object") == Some("response")
        || object.contains_key("output") && object.contains_key("status") && !object.contains_key("type");
    if is_answer && let Some(output) = object.get_mut("output") {
        return push(out, output, &Role::Assistant, depth + 1);
    }
    if !object.contains_key("role")
        && !object.contains_key("type")
        && (object.contains_key("prompt") || object.contains_key("system"))
    {
        for (key, role) in [("system", &Role::System), ("prompt", speaker)] {
            if let Some(inner) = object.get_mut(key) {
                push(out, inner, role, depth + 1);
            }
        }
        return;
    }
    if is_serialized_message(object) {
        let inside = if object.contains_key("kwargs") { "kwargs" } else { "data" };
        let inner = object.get(inside).and_then(Json::as_object);
        let class =
            object.get("id").and_then(Json::as_array).and_then(|path| path.last()).and_then(Json::as_str);
        let word = inner.and_then(|inner| text(inner, "type")).or_else(|| text(object, "type")).or(class);
        let role = word.map_or_else(|| speaker.clone(), Role::from_word);
        if let Some(Json::Object(inner)) = object.get_mut(inside) {
            out.extend(message(inner, &role));
        }
        return;
    }
    // An element of choices, candidates, generations or a flattened list holds its message inside.
    let holder = ["message", "content"].into_iter().find(|key| {
        let inner = object.get(key).and_then(Json::as_object);
        inner.is_some_and(|inner| *key == "message" || inner.contains_key("parts"))
    });
    if let Some(holder) = holder {
        let info = || object.get("generation_info")?.get("finish_reason")?.as_str();
        let reason = ["finish_reason", "finishReason"].into_iter().find_map(|key| text(object, key));
        let reason = reason.or_else(info).map(finish_reason);
        let before = out.len();
        if let Some(Json::Object(inner)) = object.get_mut(holder) {
            push_object(out, inner, speaker, depth + 1);
        }
        if let Some((first, reason)) = out.get_mut(before).zip(reason) {
            first.finish_reason.get_or_insert(reason);
        }
        return;
    }
    out.extend(message(object, speaker));
}

/// Reads one message object.
fn message(object: &mut Object<'_>, speaker: &Role) -> Option<Message> {
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
        "function_call" | "function_call_output" | "reasoning" => parts.extend(part_of(object)),
        _ => push_parts(&mut parts, object, &role),
    }
    if parts.is_empty() && !["role", "content", "parts"].iter().any(|key| object.contains_key(key)) {
        parts.push(Part::Other(object.to_value()));
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
