use std::fmt;

macro_rules! span_types {
    ($($variant:ident = $code:literal, $name:literal;)*) => {
        /// What kind of work a span stands for: the 26 types of the SGP spans API (`sgp-api` 3.5).
        ///
        /// Agentex spans carry theirs as free text in `data.__span_type__`; text that names none of these
        /// reads as [`SpanType::Standalone`] where a type is required.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum SpanType {
            $(
                #[doc = concat!("`", $name, "`")]
                $variant = $code,
            )*
        }

        impl SpanType {
            /// Every type, in code order.
            pub const ALL: [Self; 26] = [$(Self::$variant),*];

            /// Returns the wire name, for example `AGENT_WORKFLOW`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Returns the type with this exact wire name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Returns the stable code used in stored formats.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// Returns the type with this stored code.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

span_types! {
    TextInput = 1, "TEXT_INPUT";
    TextOutput = 2, "TEXT_OUTPUT";
    CompletionInput = 3, "COMPLETION_INPUT";
    Completion = 4, "COMPLETION";
    KbRetrieval = 5, "KB_RETRIEVAL";
    KbInput = 6, "KB_INPUT";
    Reranking = 7, "RERANKING";
    ExternalEndpoint = 8, "EXTERNAL_ENDPOINT";
    PromptEngineering = 9, "PROMPT_ENGINEERING";
    DocumentInput = 10, "DOCUMENT_INPUT";
    MapReduce = 11, "MAP_REDUCE";
    DocumentSearch = 12, "DOCUMENT_SEARCH";
    DocumentPrompt = 13, "DOCUMENT_PROMPT";
    Custom = 14, "CUSTOM";
    CodeExecution = 15, "CODE_EXECUTION";
    DataManipulation = 16, "DATA_MANIPULATION";
    Evaluation = 17, "EVALUATION";
    FileRetrieval = 18, "FILE_RETRIEVAL";
    KbAddChunk = 19, "KB_ADD_CHUNK";
    KbManagement = 20, "KB_MANAGEMENT";
    Guardrail = 21, "GUARDRAIL";
    OutputGuardrail = 22, "OUTPUT_GUARDRAIL";
    Tracer = 23, "TRACER";
    AgentTracer = 24, "AGENT_TRACER";
    AgentWorkflow = 25, "AGENT_WORKFLOW";
    Standalone = 26, "STANDALONE";
}

impl fmt::Display for SpanType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_are_bijective() {
        for span_type in SpanType::ALL {
            assert_eq!(SpanType::from_name(span_type.as_str()), Some(span_type));
            assert_eq!(SpanType::from_code(span_type.code()), Some(span_type));
        }
        assert_eq!(SpanType::from_name("LLM"), None);
        assert_eq!(SpanType::from_code(0), None);
        assert_eq!(SpanType::from_code(27), None);
    }
}
