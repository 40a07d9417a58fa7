// Captures what the Vercel AI SDK sends: `npm ci && node capture.mjs`. Exports JSON; the body is stored as it came.
import { createServer } from "node:http";
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { resourceFromAttributes } from "@opentelemetry/resources";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { embed, generateText, simulateReadableStream, stepCountIs, streamText, tool } from "ai";
import { MockEmbeddingModelV3, MockLanguageModelV3 } from "ai/test";
import { z } from "zod";

const here = dirname(fileURLToPath(import.meta.url));
const fixtures = join(here, "..", "..", "..", "fixtures", "otlp");

const bodies = [];
const collector = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    bodies.push(Buffer.concat(chunks));
    response.writeHead(200, { "content-type": "application/json" });
    response.end("{}");
  });
});
await new Promise((resolve) => collector.listen(0, "127.0.0.1", resolve));

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "capture" }),
  spanProcessors: [
    new BatchSpanProcessor(
      new OTLPTraceExporter({ url: `http://127.0.0.1:${collector.address().port}/v1/traces` }),
    ),
  ],
});
provider.register();

const usage = {
  inputTokens: { total: 120, noCache: 56, cacheRead: 64, cacheWrite: 0 },
  outputTokens: { total: 30, text: 18, reasoning: 12 },
};
const telemetry = (functionId) => ({
  isEnabled: true,
  functionId,
  metadata: { sessionId: "conversation-7" },
});

let calls = 0;
const model = new MockLanguageModelV3({
  provider: "openai.chat",
  modelId: "gpt-4o",
  doGenerate: async () =>
    calls++ === 0
      ? {
          content: [
            { type: "reasoning", text: "The user asks for the weather." },
            { type: "tool-call", toolCallId: "call_weather_1", toolName: "getWeather", input: '{"city":"Zürich"}' },
          ],
          finishReason: { unified: "tool-calls", raw: "tool_calls" },
          usage,
          warnings: [],
          response: { id: "chatcmpl-1", modelId: "gpt-4o-2024-08-06", timestamp: new Date(0) },
        }
      : {
          content: [{ type: "text", text: "It is 21 °C and sunny in Zürich." }],
          finishReason: { unified: "stop", raw: "stop" },
          usage,
          warnings: [],
          response: { id: "chatcmpl-2", modelId: "gpt-4o-2024-08-06", timestamp: new Date(0) },
        },
  doStream: async () => ({
    stream: simulateReadableStream({
      chunks: [
        { type: "text-start", id: "1" },
        { type: "text-delta", id: "1", delta: "It is " },
        { type: "text-delta", id: "1", delta: "21 °C." },
        { type: "text-end", id: "1" },
        { type: "finish", finishReason: { unified: "stop", raw: "stop" }, usage },
      ],
    }),
  }),
});

await generateText({
  model,
  system: "You are terse.",
  prompt: "Weather in Zürich?",
  temperature: 0.2,
  tools: {
    getWeather: tool({
      description: "Returns the weather of a city.",
      inputSchema: z.object({ city: z.string() }),
      execute: async ({ city }) => ({ city, celsius: 21 }),
    }),
  },
  stopWhen: stepCountIs(3),
  experimental_telemetry: telemetry("weather_agent"),
});
const stream = streamText({ model, prompt: "Weather?", experimental_telemetry: telemetry("stream") });
for await (const _ of stream.textStream);
await embed({
  model: new MockEmbeddingModelV3({
    provider: "openai.embedding",
    modelId: "text-embedding-3-small",
    doEmbed: async () => ({ embeddings: [[0.25, -0.5]], usage: { tokens: 9 }, warnings: [] }),
  }),
  value: "one",
  experimental_telemetry: telemetry("embed"),
});
await provider.shutdown();
collector.close();

if (bodies.length !== 1) throw new Error(`expected one body, got ${bodies.length}`);
writeFileSync(join(fixtures, "vercel-ai.json"), bodies[0]);
const manifestPath = join(fixtures, "manifest.json");
const manifest = JSON.parse(readFileSync(manifestPath, "utf8"));
const lock = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
manifest["vercel-ai"] = lock.dependencies;
writeFileSync(manifestPath, `${JSON.stringify(manifest, null, 2)}\n`);
console.log(`vercel-ai: ${bodies[0].length} bytes`);
