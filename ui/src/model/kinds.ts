/** What kind of work a span stands for, as far as the page needs to tell kinds apart. */
export const KINDS = [
  "agent",
  "turn",
  "llm",
  "tool",
  "retrieval",
  "embedding",
  "guardrail",
  "evaluation",
  "other",
] as const;
export type Kind = (typeof KINDS)[number];

export const KIND_LABELS: Record<Kind, string> = {
  agent: "Agent",
  turn: "Turn",
  llm: "Model call",
  tool: "Tool",
  retrieval: "Retrieval",
  embedding: "Embedding",
  guardrail: "Guardrail",
  evaluation: "Evaluation",
  other: "Other",
};

/** The type names that producers write: SGP's 26, OpenInference's, gen_ai operations, OpenLLMetry's. */
const TYPES: Record<string, Kind> = {
  AGENT: "agent",
  AGENT_TRACER: "agent",
  AGENT_WORKFLOW: "agent",
  TRACER: "agent",
  INVOKE_AGENT: "agent",
  CREATE_AGENT: "agent",
  INVOKE_WORKFLOW: "agent",
  WORKFLOW: "agent",
  TURN: "turn",
  CHAIN: "turn",
  TASK: "turn",
  LLM: "llm",
  COMPLETION: "llm",
  CHAT: "llm",
  GENERATION: "llm",
  GENERATE_CONTENT: "llm",
  TEXT_COMPLETION: "llm",
  TOOL: "tool",
  EXECUTE_TOOL: "tool",
  EXTERNAL_ENDPOINT: "tool",
  CODE_EXECUTION: "tool",
  FUNCTION: "tool",
  RETRIEVER: "retrieval",
  RETRIEVAL: "retrieval",
  RERANKER: "retrieval",
  RERANKING: "retrieval",
  KB_RETRIEVAL: "retrieval",
  KB_INPUT: "retrieval",
  DOCUMENT_SEARCH: "retrieval",
  FILE_RETRIEVAL: "retrieval",
  EMBEDDING: "embedding",
  EMBEDDINGS: "embedding",
  GUARDRAIL: "guardrail",
  OUTPUT_GUARDRAIL: "guardrail",
  EVALUATION: "evaluation",
  EVALUATOR: "evaluation",
};

/** Tried in order against the name when no type tells: the words of the field's instrumentations. */
const NAMES: [RegExp, Kind][] = [
  [/^(execute_tool|tool[_.: ]|call_tool|function[_.: ])/i, "tool"],
  [/^(invoke_agent|create_agent|agent[_.: -]|.*[-_ ]agent$)/i, "agent"],
  [/^(turn|step|iteration)[_ #.-]?\d*$/i, "turn"],
  [/^(embeddings?|embed)\b/i, "embedding"],
  [/(retriev|vector[_ ]?search|rerank|kb_|knowledge)/i, "retrieval"],
  [/(guardrail|moderation)/i, "guardrail"],
  [/(evaluat|judge|scor(e|ing)$)/i, "evaluation"],
  [
    /^(chat|llm|completions?|text_completion|generate_content|messages\.create|responses\.create|model[_ ]call)\b/i,
    "llm",
  ],
  [/(chat\.?completions?|^gpt-|^claude-|^gemini-|^llama|openai|anthropic)/i, "llm"],
];

const known = new Map<string, Kind>();

/** Returns the kind of a span from its type, else from its name. */
export function kindOf(type: string | null, name: string): Kind {
  const key = `${type ?? ""}\n${name}`;
  let kind = known.get(key);
  if (kind === undefined) {
    kind = infer(type, name);
    if (known.size > 20_000) known.clear();
    known.set(key, kind);
  }
  return kind;
}

function infer(type: string | null, name: string): Kind {
  if (type) {
    const direct = TYPES[type.toUpperCase().replace(/[\s.-]/g, "_")];
    if (direct) return direct;
  }
  for (const [pattern, kind] of NAMES) if (pattern.test(name)) return kind;
  return "other";
}
