import type { NormalAnswer } from "../api/wire";

/** A piece of a message. Everything in it is text to show, never markup. */
export type Part =
  | { type: "text"; text: string }
  | { type: "reasoning"; text: string }
  | { type: "tool-call"; id: string | null; name: string; args: string }
  | { type: "tool-result"; id: string | null; name: string | null; result: string; failed: boolean }
  | { type: "media"; what: string; detail: string }
  | { type: "unknown"; json: string };

export interface Message {
  /** `system`, `user`, `assistant`, `tool`, or the producer's own word. */
  role: string;
  name: string | null;
  parts: Part[];
}

/** A model call as a conversation. */
export interface Chat {
  input: Message[];
  output: Message[];
  model: string | null;
  /** Why the model stopped, as reported. */
  finish: string | null;
  /** Settings of the request other than messages and tools, name to value. */
  settings: [string, string][];
  /** Names of the tools that were offered. */
  tools: string[];
}

type NormalMessage = NonNullable<NormalAnswer["input_messages"]>[number];
type NormalPart = NormalMessage["parts"][number];

/** Reads the server's normal form of a call; null when it holds no conversation. */
export function chatOf(normal: NormalAnswer): Chat | null {
  const input = (normal.input_messages ?? []).map(messageOf);
  const output = (normal.output_messages ?? []).map(messageOf);
  if (input.length + output.length === 0) return null;
  const instructions = normal.system_instructions ?? [];
  if (instructions.length > 0) input.unshift({ role: "system", name: null, parts: instructions.map(partOf) });
  return {
    input,
    output,
    model: normal.response_model ?? normal.request_model ?? null,
    finish: normal.finish_reasons?.join(", ") || null,
    settings: Object.entries(normal.parameters ?? {}).map(([name, value]) => [name, json(value, 0)]),
    tools: (normal.tool_definitions ?? []).map(toolName),
  };
}

function messageOf(message: NormalMessage): Message {
  return { role: message.role, name: message.name ?? null, parts: message.parts.map(partOf) };
}

function partOf(part: NormalPart): Part {
  switch (part.type) {
    case "text":
      return { type: "text", text: part.content };
    case "reasoning":
      return { type: "reasoning", text: part.content };
    case "tool_call":
      return { type: "tool-call", id: part.id ?? null, name: part.name, args: json(part.arguments) };
    case "tool_call_response":
      return {
        type: "tool-result",
        id: part.id ?? null,
        name: part.name ?? null,
        result: json(part.response),
        failed: part.is_error ?? false,
      };
    case "uri":
      return { type: "media", what: part.mime_type ?? part.modality, detail: part.uri };
    case "blob":
      return {
        type: "media",
        what: part.mime_type ?? part.modality,
        detail: `${Math.round((part.content.length * 3) / 4).toLocaleString("en-US")} bytes, kept in the span`,
      };
    case "file":
      return { type: "media", what: part.mime_type ?? part.modality, detail: part.file_id };
    default:
      return { type: "unknown", json: json(part) };
  }
}

/** Text stays itself; everything else is shown as JSON. */
function json(value: unknown, indent = 2): string {
  if (value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value, null, indent);
}

/** The name of a tool, wherever its provider's form has it. */
function toolName(definition: unknown): string {
  if (typeof definition === "string") return definition;
  const { name, function: inner } = (definition ?? {}) as { name?: unknown; function?: { name?: unknown } };
  const said = name ?? inner?.name;
  return typeof said === "string" ? said : "(no name)";
}

/** Text that two messages share exactly when they say the same. */
export function fingerprint(message: Message): string {
  const said = message.parts.map((part) => {
    switch (part.type) {
      case "text":
        return `t${part.text.trim()}`;
      case "reasoning":
        return "";
      case "tool-call":
        return `c${part.name}\0${compact(part.args)}`;
      case "tool-result":
        return `r${compact(part.result)}`;
      case "media":
        return `m${part.what}\0${part.detail}`;
      case "unknown":
        return `u${part.json}`;
      default:
        return "";
    }
  });
  return `${message.role}\n${said.filter((part) => part !== "").join("\n")}`;
}

function compact(json: string): string {
  return json.replace(/\s+/g, "");
}

/** The whole message as text, for diffs and for copying. */
export function plainText(message: Message): string {
  return message.parts
    .map((part) => {
      switch (part.type) {
        case "text":
          return part.text;
        case "reasoning":
          return `(reasoning)\n${part.text}`;
        case "tool-call":
          return `→ ${part.name}(${part.args})`;
        case "tool-result":
          return `← ${part.name ?? ""}${part.failed ? " (failed)" : ""} ${part.result}`.trim();
        case "media":
          return `[${part.what}${part.detail ? `, ${part.detail}` : ""}]`;
        default:
          return part.json;
      }
    })
    .join("\n");
}
