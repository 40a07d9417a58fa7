use serde::Serialize;
use serde_json::Value;

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Instructions; also `developer`.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// A tool, with its result.
    Tool,
    /// Anyone else.
    #[serde(untagged)]
    Other(String),
}

impl Role {
    /// Returns the role for the words that the conventions use.
    pub(super) fn from_word(word: &str) -> Self {
        match word {
            "system" | "developer" | "SystemMessage" => Self::System,
            "user" | "human" | "HumanMessage" => Self::User,
            "assistant" | "ai" | "model" | "AIMessage" | "AIMessageChunk" => Self::Assistant,
            "tool" | "function" | "ToolMessage" | "FunctionMessage" => Self::Tool,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, `tool`, or the word that was sent.
    #[cfg_attr(feature = "openapi", schema(value_type = String, example = "user"))]
    pub role: Role,
    /// The name of who speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// Why the model stopped after this message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
}

/// One part of a message. Serializes in the form of the OpenTelemetry GenAI message schema (v1.41.1).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        content: String,
    },
    /// What the model thought before it answered.
    Reasoning {
        /// The text, as far as the provider shows it; empty where it is withheld.
        content: String,
    },
    /// The model asks for a run of a tool.
    ToolCall {
        /// The id that the result refers to.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// The tool.
        name: String,
        /// What the tool is to be given.
        #[serde(skip_serializing_if = "Option::is_none")]
        arguments: Option<Value>,
    },
    /// What a tool returned.
    ToolCallResponse {
        /// The id of the call.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// The tool.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// What it returned.
        response: Value,
        /// Whether the run failed; only where that is said.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    /// A picture, sound, film or document that is somewhere else.
    Uri {
        /// `image`, `audio`, `video` or `document`.
        modality: String,
        /// The media type, for example `image/png`.
        #[serde(skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
        /// Where it is.
        uri: String,
    },
    /// A picture, sound, film or document that is here.
    Blob {
        /// `image`, `audio`, `video` or `document`.
        modality: String,
        /// The media type, for example `image/png`.
        #[serde(skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
        /// The content in base64.
        content: String,
    },
    /// A picture, sound, film or document that the provider keeps.
    File {
        /// `image`, `audio`, `video` or `document`.
        modality: String,
        /// The media type, for example `image/png`.
        #[serde(skip_serializing_if = "Option::is_none")]
        mime_type: Option<String>,
        /// The provider's id of it.
        file_id: String,
    },
    /// Anything else, as it came.
    #[serde(untagged)]
    Other(Value),
}
