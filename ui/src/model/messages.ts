/** A piece of a message. Everything in it is text to show, never markup. */
export type Part =
  | { type: "text"; text: string }
  | { type: "reasoning"; text: string }
  | { type: "tool-call"; id: string | null; name: string; args: string }
  | { type: "tool-result"; id: string | null; name: string | null; result: string; failed: boolean }
  | { type: "media"; what: string; detail: string }
  | { type: "unknown"; json: string };

export type Role = "system" | "user" | "assistant" | "tool" | string;

export interface Message {
  role: Role;
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

type Json = unknown;
type JsonObject = Record<string, Json>;

function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: Json): string {
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  return JSON.stringify(value, null, 2);
}

function optional(value: Json): string | null {
  return typeof value === "string" && value !== "" ? value : typeof value === "number" ? String(value) : null;
}

/** JSON text of a value; text that is JSON already stays itself. */
function pretty(value: Json): string {
  if (typeof value !== "string") return value === undefined ? "" : JSON.stringify(value, null, 2);
  const trimmed = value.trim();
  if (trimmed.startsWith("{") || trimmed.startsWith("[")) {
    try {
      return JSON.stringify(JSON.parse(trimmed), null, 2);
    } catch {
      return value;
    }
  }
  return value;
}

function parsed(value: Json): Json {
  if (typeof value !== "string") return value;
  const trimmed = value.trim();
  if (!trimmed.startsWith("{") && !trimmed.startsWith("[")) return value;
  try {
    return JSON.parse(trimmed);
  } catch {
    return value;
  }
}

const ROLES: Record<string, Role> = {
  human: "user",
  ai: "assistant",
  model: "assistant",
  developer: "system",
  function: "tool",
};

function roleOf(value: Json, fallback: Role): Role {
  const role = optional(value)?.toLowerCase();
  return role ? (ROLES[role] ?? role) : fallback;
}

/** Reads one part of a message's content, in any of the field's forms. */
function readPart(part: Json): Part[] {
  if (typeof part === "string") return part === "" ? [] : [{ type: "text", text: part }];
  if (!isObject(part))
    return part === null || part === undefined ? [] : [{ type: "unknown", json: text(part) }];
  // OpenInference wraps each part once more.
  if (isObject(part.message_content)) return readPart(part.message_content);
  const type = optional(part.type) ?? "";
  switch (type) {
    case "text":
    case "input_text":
    case "output_text":
    case "refusal":
    case "summary_text":
      return [{ type: "text", text: text(part.text ?? part.content ?? part.refusal) }];
    case "reasoning":
    case "thinking":
    case "redacted_thinking": {
      const thought = part.thinking ?? part.content ?? part.text ?? part.summary;
      const inner = Array.isArray(thought) ? thought.flatMap(readPart) : null;
      const said = inner ? inner.map((p) => ("text" in p ? p.text : "")).join("\n") : text(thought);
      return [{ type: "reasoning", text: said === "" ? "(withheld by the provider)" : said }];
    }
    case "tool_call":
    case "tool_use":
    case "tool-call":
    case "function_call":
    case "server_tool_use":
    case "server_tool_call":
      return [readToolCall(part)];
    case "tool_call_response":
    case "tool_result":
    case "tool-result":
    case "function_call_output":
    case "server_tool_call_response":
    case "web_search_tool_result":
      return [
        {
          type: "tool-result",
          id: optional(part.tool_use_id ?? part.call_id ?? part.tool_call_id ?? part.toolCallId ?? part.id),
          name: optional(part.name ?? part.toolName),
          result: contentText(part.response ?? part.result ?? part.output ?? part.content),
          failed: part.is_error === true || part.isError === true,
        },
      ];
    case "image":
    case "image_url":
    case "input_image":
    case "input_audio":
    case "audio":
    case "document":
    case "file":
    case "input_file":
    case "video":
    case "blob":
    case "uri":
      return [readMedia(type, part)];
    default:
  }
  if (isObject(part.functionCall)) return [readToolCall(part.functionCall)];
  if (isObject(part.functionResponse)) {
    const answer = part.functionResponse;
    return [
      {
        type: "tool-result",
        id: optional(answer.id),
        name: optional(answer.name),
        result: pretty(answer.response),
        failed: false,
      },
    ];
  }
  if (isObject(part.inlineData) || isObject(part.fileData)) return [readMedia("media", part)];
  if (typeof part.text === "string")
    return [{ type: part.thought === true ? "reasoning" : "text", text: part.text }];
  if (typeof part.content === "string" && Object.keys(part).length <= 2)
    return [{ type: "text", text: part.content }];
  return [{ type: "unknown", json: text(part) }];
}

function readToolCall(call: JsonObject): Part {
  const inner = isObject(call.tool_call) ? call.tool_call : call;
  const fn = isObject(inner.function) ? inner.function : {};
  return {
    type: "tool-call",
    id: optional(inner.id ?? inner.call_id ?? inner.toolCallId ?? inner["tool_call.id"]),
    name:
      optional(fn.name ?? inner.name ?? inner.toolName ?? inner["tool_call.function.name"]) ??
      "(unnamed tool)",
    args: pretty(
      fn.arguments ?? inner.arguments ?? inner.input ?? inner.args ?? inner["tool_call.function.arguments"],
    ),
  };
}

function readMedia(type: string, part: JsonObject): Part {
  const source = [
    part.image_url,
    part.source,
    part.inlineData,
    part.fileData,
    part.input_audio,
    part.file,
    part,
  ].find(isObject)!;
  const mime = optional(source.mime_type ?? source.media_type ?? source.mimeType ?? source.format);
  const data = optional(source.data ?? source.content ?? source.file_data);
  const address = optional(source.url ?? source.uri ?? source.file_id ?? source.fileUri ?? part.image_url);
  let detail = address ?? "";
  if (detail.startsWith("data:")) detail = `inline, ${Math.round((detail.length * 3) / 4 / 1000)} kB`;
  else if (data) detail = `inline, ${Math.round((data.length * 3) / 4 / 1000)} kB`;
  return {
    type: "media",
    what: mime ?? optional(part.modality) ?? type.replace(/^input_|_url$/g, ""),
    detail,
  };
}

/** Content as one text: what a tool answered. */
function contentText(content: Json): string {
  if (!Array.isArray(content)) return pretty(content);
  const parts = content.flatMap(readPart);
  if (parts.every((part) => part.type === "text")) return parts.map((part) => pretty(part.text)).join("\n");
  return pretty(content);
}

/** Reads one message in any of the field's forms, or null when the value is none. */
export function readMessage(value: Json, fallback: Role): Message | null {
  if (typeof value === "string") {
    return value === "" ? null : { role: fallback, name: null, parts: [{ type: "text", text: value }] };
  }
  if (!isObject(value)) return null;
  // OpenInference and LangChain wrap the message once more.
  if (isObject(value.message) && value.role === undefined) return readMessage(value.message, fallback);
  if (isObject(value.kwargs) && Array.isArray(value.id)) {
    const kind = String(value.id[value.id.length - 1] ?? "").replace(/Message(Chunk)?$/, "");
    return readMessage({ role: kind.toLowerCase(), ...value.kwargs }, fallback);
  }
  const type = optional(value.type) ?? "";
  // Items of the responses API that stand beside messages.
  if (["function_call", "reasoning", "tool_use", "tool_call"].includes(type) && value.role === undefined) {
    return { role: "assistant", name: null, parts: readPart(value) };
  }
  if (["function_call_output", "tool_result"].includes(type) && value.role === undefined) {
    return { role: "tool", name: null, parts: readPart(value) };
  }
  const role = roleOf(
    value.role ?? (["human", "ai", "system", "tool"].includes(type) ? type : undefined),
    fallback,
  );
  const content = value.parts ?? value.content ?? value.contents ?? value.text;
  const known =
    value.role !== undefined ||
    content !== undefined ||
    value.tool_calls !== undefined ||
    value.function_call !== undefined;
  if (!known) return null;
  let parts: Part[];
  const toolCallId = optional(value.tool_call_id ?? value.toolCallId);
  if (role === "tool" && (toolCallId !== null || !Array.isArray(content))) {
    parts = [
      {
        type: "tool-result",
        id: toolCallId,
        name: optional(value.name),
        result: contentText(content),
        failed: value.status === "error" || value.is_error === true,
      },
    ];
  } else {
    parts = (Array.isArray(content) ? content : [content]).flatMap(readPart);
  }
  const thought = optional(value.reasoning_content ?? value.reasoning);
  if (thought) parts.unshift({ type: "reasoning", text: thought });
  const calls = value.tool_calls;
  if (Array.isArray(calls)) for (const call of calls) if (isObject(call)) parts.push(readToolCall(call));
  if (isObject(value.function_call)) parts.push(readToolCall(value.function_call));
  if (typeof value.refusal === "string") parts.push({ type: "text", text: value.refusal });
  return { role, name: optional(value.name), parts };
}

function readMessages(value: Json, fallback: Role): Message[] {
  const list = parsed(value);
  const items = Array.isArray(list) ? list : [list];
  const messages: Message[] = [];
  for (const item of items) {
    const message = readMessage(item, fallback);
    if (message) messages.push(message);
  }
  return messages;
}

/** Turns `llm.input_messages.0.message.role` and its like back into nested values. */
export function unflatten(attributes: JsonObject, prefix: string): Json {
  const root: { value: Json } = { value: undefined };
  for (const [name, leaf] of Object.entries(attributes)) {
    if (!name.startsWith(`${prefix}.`)) continue;
    let holder: { [key: string]: Json } = root as { [key: string]: Json };
    let key = "value";
    for (const part of name.slice(prefix.length + 1).split(".")) {
      if (part === "__proto__" || part === "constructor" || part === "prototype") break;
      const index = /^\d{1,5}$/.test(part);
      if (typeof holder[key] !== "object" || holder[key] === null) holder[key] = index ? [] : {};
      holder = holder[key] as { [key: string]: Json };
      key = part;
    }
    holder[key] = leaf;
  }
  return Array.isArray(root.value) ? root.value.filter((item) => item !== undefined) : root.value;
}

const NOT_SETTINGS = new Set([
  "messages",
  "input",
  "contents",
  "prompt",
  "system",
  "instructions",
  "systemInstruction",
  "system_instruction",
  "tools",
  "functions",
  "model",
  "usage",
]);

/** The attributes of an OTLP span: where the adapter keeps them, else none. */
export function attributesOf(metadata: Json, otel: Json): JsonObject {
  const result: JsonObject = {};
  for (const from of [metadata, isObject(otel) ? otel.attributes : undefined]) {
    if (isObject(from)) Object.assign(result, from);
    if (isObject(from) && isObject(from.attributes)) Object.assign(result, from.attributes);
  }
  return result;
}

/** Reads a span's payloads as a conversation, or null when they are none. */
export function readChat(input: Json, output: Json, metadata: Json, otel: Json): Chat | null {
  const attributes = attributesOf(metadata, otel);
  const attribute = (name: string): Json => attributes[name];
  let messages: Message[] = [];
  const system = systemOf(input) ?? attribute("gen_ai.system_instructions");
  const body = isObject(input) ? input : {};

  const sources: Json[] = [
    body.messages,
    body.contents,
    typeof body.input === "string" || Array.isArray(body.input) ? body.input : undefined,
    body["gen_ai.input.messages"],
    attribute("gen_ai.input.messages"),
    unflatten(attributes, "llm.input_messages"),
    unflatten(attributes, "gen_ai.prompt"),
    attribute("ai.prompt.messages"),
    body.prompt,
    Array.isArray(input) && input.some((item) => isObject(item) && item.role !== undefined)
      ? input
      : undefined,
  ];
  for (const source of sources) {
    if (source === undefined || source === null) continue;
    messages = readMessages(source, "user");
    if (messages.length > 0) break;
  }
  if (system !== undefined && system !== null && messages[0]?.role !== "system") {
    const parts = (Array.isArray(parsed(system)) ? (parsed(system) as Json[]) : [parsed(system)]).flatMap(
      (part) => (isObject(part) && Array.isArray(part.parts) ? part.parts.flatMap(readPart) : readPart(part)),
    );
    if (parts.length > 0) messages.unshift({ role: "system", name: null, parts });
  }
  if (messages.length === 0) return null;

  const answers = readOutput(output, attributes);
  const settings: [string, string][] = [];
  for (const [name, value] of Object.entries(body)) {
    if (!NOT_SETTINGS.has(name) && !name.includes(".")) settings.push([name, text(value)]);
  }
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("gen_ai.request.") && name !== "gen_ai.request.model") {
      settings.push([name.slice("gen_ai.request.".length), text(value)]);
    }
  }
  return {
    input: messages,
    output: answers.messages,
    model:
      optional(body.model) ??
      optional(attribute("gen_ai.response.model")) ??
      optional(attribute("gen_ai.request.model")) ??
      optional(attribute("llm.model_name")) ??
      optional(attribute("model")),
    finish: answers.finish ?? optional(firstOf(parsed(attribute("gen_ai.response.finish_reasons")))),
    settings,
    tools: readTools(body.tools ?? body.functions ?? parsed(attribute("gen_ai.tool.definitions"))),
  };
}

function firstOf(value: Json): Json {
  return Array.isArray(value) ? value[0] : value;
}

function systemOf(input: Json): Json {
  if (!isObject(input)) return undefined;
  const system = input.system ?? input.instructions ?? input.systemInstruction ?? input.system_instruction;
  return isObject(system) && Array.isArray(system.parts) ? system.parts : system;
}

function readTools(value: Json): string[] {
  if (!Array.isArray(value)) return [];
  return value.map((tool) => {
    if (typeof tool === "string") return tool;
    if (!isObject(tool)) return "?";
    const fn = isObject(tool.function) ? tool.function : tool;
    return optional(fn.name) ?? optional(tool.type) ?? "?";
  });
}

function readOutput(output: Json, attributes: JsonObject): { messages: Message[]; finish: string | null } {
  let finish: string | null = null;
  const body = isObject(output) ? output : {};
  const finishOf = (value: JsonObject) =>
    optional(value.finish_reason ?? value.finishReason ?? value.stop_reason ?? value.status);
  if (Array.isArray(body.choices)) {
    const messages = body.choices.flatMap((choice) => {
      if (!isObject(choice)) return [];
      finish ??= finishOf(choice);
      return readMessages(choice.message ?? choice.delta ?? choice.text, "assistant");
    });
    if (messages.length > 0) return { messages, finish };
  }
  if (Array.isArray(body.candidates)) {
    const messages = body.candidates.flatMap((candidate) => {
      if (!isObject(candidate)) return [];
      finish ??= finishOf(candidate);
      return readMessages(candidate.content, "assistant");
    });
    if (messages.length > 0) return { messages, finish };
  }
  finish = finishOf(body);
  const sources: Json[] = [
    body.messages,
    body.message,
    body.role !== undefined || body.tool_calls !== undefined ? body : undefined,
    Array.isArray(body.output) ? body.output : undefined,
    Array.isArray(output) ? output : undefined,
    body["gen_ai.output.messages"],
    attributes["gen_ai.output.messages"],
    unflatten(attributes, "llm.output_messages"),
    unflatten(attributes, "gen_ai.completion"),
    body.content,
    body.text,
    body.response,
    body.completion,
    body.output,
    body.answer,
    body.result,
    attributes["ai.response.text"],
    typeof output === "string" ? output : undefined,
  ];
  for (const source of sources) {
    if (source === undefined || source === null) continue;
    const messages = joinParts(source);
    if (messages.length > 0) return { messages, finish };
  }
  return { messages: [], finish };
}

/** Content that is a list of parts is one message; a list of messages is many. */
function joinParts(source: Json): Message[] {
  const value = parsed(source);
  if (
    Array.isArray(value) &&
    value.every((item) => isObject(item) && item.role === undefined && !item.message)
  ) {
    const parts = value.flatMap((item) => readMessage(item, "assistant")?.parts ?? readPart(item));
    return parts.length > 0 ? [{ role: "assistant", name: null, parts }] : [];
  }
  return readMessages(value, "assistant");
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
