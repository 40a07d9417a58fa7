//! What kind of work a span does: the words of the conventions, and the types of the SGP API.

use endspan_model::SpanType;
use serde::Serialize;

/// What a span does, in the words of the OpenTelemetry GenAI conventions where they have one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operation {
    /// A call of a chat model; also multimodal generation.
    Chat,
    /// A call of a plain completion model.
    TextCompletion,
    /// A call of an embedding model.
    Embeddings,
    /// A search in a knowledge base.
    Retrieval,
    /// Reordering of documents by a model.
    Rerank,
    /// A run of a tool.
    ExecuteTool,
    /// The creation of an agent.
    CreateAgent,
    /// A run of an agent.
    InvokeAgent,
    /// A run of a workflow or chain of several steps.
    InvokeWorkflow,
    /// A plan made by an agent.
    Plan,
    /// A check of input or output.
    Guardrail,
    /// A judgement on quality.
    Evaluate,
    /// The making of a prompt from a template.
    Prompt,
    /// A step without further meaning, such as a function or a node of a graph.
    Step,
    /// A word that no convention here knows.
    #[serde(untagged)]
    Other(String),
}

impl Operation {
    /// Returns the operation for a convention's word: an OpenTelemetry operation name, an OpenInference or
    /// OpenLLMetry span kind, a Langfuse observation type, a Vercel operation id, an MLflow span type or an SGP
    /// span type. Case does not matter.
    pub fn from_word(word: &str) -> Self {
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "chat" | "generate_content" | "llm" | "generation" | "chat_model" | "completion_input" => {
                Self::Chat
            }
            "text_completion" => Self::TextCompletion,
            // Among SGP types and OpenLLMetry request types this is the common word for any model call.
            "completion" => Self::Chat,
            "embeddings" | "embedding" | "ai.embed.doembed" | "ai.embedmany.doembed" => Self::Embeddings,
            "retrieval" | "retriever" | "kb_retrieval" | "document_search" | "file_retrieval" => {
                Self::Retrieval
            }
            "rerank" | "reranker" | "reranking" => Self::Rerank,
            "execute_tool" | "tool" | "function" | "code_execution" | "external_endpoint" | "ai.toolcall" => {
                Self::ExecuteTool
            }
            "create_agent" => Self::CreateAgent,
            "invoke_agent" | "agent" | "agent_workflow" | "ai.generatetext" | "ai.streamtext"
            | "ai.generateobject" | "ai.streamobject" => Self::InvokeAgent,
            "invoke_workflow" | "workflow" => Self::InvokeWorkflow,
            "plan" => Self::Plan,
            "guardrail" | "output_guardrail" => Self::Guardrail,
            "evaluator" | "evaluation" => Self::Evaluate,
            "prompt" | "prompt_engineering" => Self::Prompt,
            "chain" | "map_reduce" | "task" | "span" | "event" | "custom" | "standalone" | "unknown"
            | "ai.embed" | "ai.embedmany" => Self::Step,
            _ if lower.ends_with(".dogenerate") || lower.ends_with(".dostream") => Self::Chat,
            _ => Self::Other(word.to_owned()),
        }
    }

    /// Returns the word for `gen_ai.operation.name`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Chat => "chat",
            Self::TextCompletion => "text_completion",
            Self::Embeddings => "embeddings",
            Self::Retrieval => "retrieval",
            Self::Rerank => "rerank",
            Self::ExecuteTool => "execute_tool",
            Self::CreateAgent => "create_agent",
            Self::InvokeAgent => "invoke_agent",
            Self::InvokeWorkflow => "invoke_workflow",
            Self::Plan => "plan",
            Self::Guardrail => "guardrail",
            Self::Evaluate => "evaluate",
            Self::Prompt => "prompt",
            Self::Step => "step",
            Self::Other(word) => word,
        }
    }

    /// Returns whether this is a call of a model: the only spans whose usage is ever added up.
    pub const fn is_model_call(&self) -> bool {
        matches!(self, Self::Chat | Self::TextCompletion | Self::Embeddings | Self::Rerank)
    }

    /// Returns the SGP type under which a span with this operation is stored, as the SGP client's own
    /// integrations choose it; `None` where none says it.
    pub const fn span_type(&self) -> Option<SpanType> {
        Some(match self {
            Self::Chat | Self::TextCompletion => SpanType::Completion,
            Self::Retrieval => SpanType::KbRetrieval,
            Self::Rerank => SpanType::Reranking,
            Self::ExecuteTool => SpanType::CodeExecution,
            Self::InvokeAgent | Self::CreateAgent | Self::InvokeWorkflow => SpanType::AgentWorkflow,
            Self::Guardrail => SpanType::Guardrail,
            Self::Evaluate => SpanType::Evaluation,
            Self::Prompt => SpanType::PromptEngineering,
            Self::Embeddings | Self::Plan | Self::Step => SpanType::Custom,
            Self::Other(_) => return None,
        })
    }

    /// Returns the OpenInference span kind.
    pub const fn openinference_kind(&self) -> &'static str {
        match self {
            Self::Chat | Self::TextCompletion => "LLM",
            Self::Embeddings => "EMBEDDING",
            Self::Retrieval => "RETRIEVER",
            Self::Rerank => "RERANKER",
            Self::ExecuteTool => "TOOL",
            Self::CreateAgent | Self::InvokeAgent => "AGENT",
            Self::Guardrail => "GUARDRAIL",
            Self::Evaluate => "EVALUATOR",
            Self::Prompt => "PROMPT",
            Self::InvokeWorkflow | Self::Plan | Self::Step | Self::Other(_) => "CHAIN",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sgp_type_has_an_operation_or_stays_a_word() {
        for span_type in SpanType::ALL {
            let operation = Operation::from_word(span_type.as_str());
            if let Some(back) = operation.span_type() {
                assert_eq!(Operation::from_word(back.as_str()).span_type(), Some(back), "{span_type}");
            }
        }
        assert_eq!(Operation::from_word("LLM"), Operation::Chat);
        assert!(Operation::from_word("ai.streamText.doStream").is_model_call());
        assert!(!Operation::from_word("ai.streamText").is_model_call());
    }
}
