//! Chat-shaped payloads: few long strings, about one escape in 35 characters, a little beyond ASCII.

use serde_json::{Value, json};

const SENTENCE: &str =
    "The agent reads the \"ticket\", asks the knowledge base, and answers in two lines.\nÉtape ";

/// Returns a chat message object whose JSON text has about `bytes` bytes.
pub fn chat(bytes: usize) -> Value {
    let mut content = String::new();
    while content.len() + 60 < bytes {
        content.push_str(SENTENCE);
    }
    content.truncate(
        content.char_indices().map(|(at, _)| at).take_while(|at| at + 60 < bytes.max(61)).last().unwrap_or(0),
    );
    json!({"role": "assistant", "content": content})
}
