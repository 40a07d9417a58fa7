/** Writes sample agent runs to a server, to look at: `tsx bench/samples.ts http://127.0.0.1:5003`. */
import { makeTrace } from "../tests/runs";
import { send } from "../tests/send";

const base = process.argv[2];
if (!base) throw new Error("name the server: tsx bench/samples.ts http://127.0.0.1:5003");
const now = Date.now() * 1000;
for (let i = 0; i < 60; i++) await send(base, makeTrace({ seed: 1000 + i, start: now - 60e6 - i * i * 4e6 }));
await send(base, makeTrace({ seed: 3, start: now - 40e6, spans: 60, scenario: 0 }));
await send(base, makeTrace({ seed: 9, start: now - 55e6, spans: 45, scenario: 2, odd: true }));
await send(base, makeTrace({ seed: 5, start: now - 20e6, spans: 12, scenario: 1, running: true }));
