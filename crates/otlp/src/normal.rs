//! The normal form: what a span says about a model call, a tool run or an agent, whatever convention it was
//! written in.
//!
//! Start at [`normalize`]. Nothing here is stored: the form is made from the stored span each time, by the
//! [convention table](crate::conventions) of the day.

mod collect;
mod error;
mod flat;
mod json;
mod message;
mod messages;
mod parts;
mod reader;
mod usage;
mod words;

use endspan_model::Span;
use serde::Serialize;
use serde_json::{Map, Value};

pub use message::{Message, Part, Role};
pub use usage::{CacheAccounting, Evidence, Usage};

use crate::conventions::Convention;
pub use crate::operation::Operation;

/// What a span says, in one form. Fields that it says nothing about are empty and not serialized.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Normal {
    /// The conventions that the span was found to speak, in the order of their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conventions: Vec<Convention>,
    /// What the span does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = "chat"))]
    pub operation: Option<Operation>,
    /// The provider of the model by its OpenTelemetry name, for example `openai`, `aws.bedrock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_model: Option<String>,
    /// The model that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_model: Option<String>,
    /// The provider's id of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_id: Option<String>,
    /// Why the model stopped: `stop`, `length`, `content_filter`, `tool_call`, `error`, or the provider's word.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finish_reasons: Vec<String>,
    /// Tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What the span itself says the call cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_cost: Option<ReportedCost>,
    /// Instructions that stand outside the messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub system_instructions: Vec<Part>,
    /// What went to the model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input_messages: Vec<Message>,
    /// What came from the model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub output_messages: Vec<Message>,
    /// What the work was given, when that is not messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// What the work produced, when that is not messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// The tool that ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<Tool>,
    /// The tools that the model could call, as the provider was told of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_definitions: Vec<Value>,
    /// The knobs of the request: `temperature`, `max_tokens`, …
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub parameters: Map<String, Value>,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// The workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// The conversation or session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What a search asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// What a search found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Value>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
    /// Seconds from the request to the first chunk of a streamed answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_to_first_chunk_seconds: Option<f64>,
}

impl Normal {
    /// Returns the model by which the call is known: the one that answered, else the one that was asked for.
    pub fn model(&self) -> Option<&str> {
        self.response_model.as_deref().or(self.request_model.as_deref())
    }

    /// Returns whether this is a call of a model.
    pub fn is_model_call(&self) -> bool {
        self.operation.as_ref().is_some_and(Operation::is_model_call)
    }
}

/// A run of a tool.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tool {
    /// The tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The id under which the model asked for the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// `function`, `extension` or `datastore`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What the tool does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the tool was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Value>,
    /// What the tool returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// An agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Agent {
    /// The agent's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The agent's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the agent does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The agent's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// An error.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorReport {
    /// The class of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Where it went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack_trace: Option<String>,
}

/// Costs that a span states, in US dollars. Kept beside what the price table says, never mixed with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportedCost {
    /// Of the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<f64>,
    /// Of the output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<f64>,
    /// Of both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
}

/// How much of a span to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Detail {
    /// Everything but content: messages, instructions, tool definitions, input, output, arguments, documents.
    /// For lists, trees and sums.
    Summary,
    /// Everything.
    #[default]
    Full,
}

/// Reads everything that a span says.
pub fn normalize(span: &Span) -> Normal {
    normalize_with(span, Detail::Full)
}

/// Reads what a span says, as far as asked for.
pub fn normalize_with(span: &Span, detail: Detail) -> Normal {
    collect::normalize(span, detail)
}
