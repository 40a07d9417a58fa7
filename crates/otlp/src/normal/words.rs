//! The words of providers and frameworks in those of the convention.

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

/// Returns the normal name of a knob.
pub(super) fn parameter(key: &str) -> Option<&'static str> {
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
pub(super) fn provider(word: &str) -> String {
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
