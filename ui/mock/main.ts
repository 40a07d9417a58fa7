/** Starts the stand-in server: `npm run mock` (port 8126). `--live` plays a new agent run every few seconds. */
import { fileURLToPath } from "node:url";
import { makeTrace } from "./generate";
import { fillWithSamples, MockServer, playLive } from "./server";

const flag = (name: string) => process.argv.find((argument) => argument.startsWith(`--${name}`));
const value = (name: string, fallback: string) => flag(name)?.split("=")[1] ?? fallback;

const server = new MockServer({
  dist: fileURLToPath(new URL("../dist", import.meta.url)),
  key: flag("key") && value("key", "secret"),
  upstream: flag("upstream") && value("upstream", ""),
});
if (!flag("empty")) fillWithSamples(server);
for (const spans of value("large", "").split(",").filter(Boolean)) {
  server.add(
    makeTrace({
      seed: Number(spans),
      start: (Date.now() - 30_000) * 1000,
      spans: Number(spans),
      payloads: false,
    }),
  );
}
if (flag("live")) {
  let seed = 50_000;
  playLive(server, seed++);
  setInterval(() => playLive(server, seed++), 9000);
}
console.log(await server.listen(Number(value("port", "8126"))));
