/**
 * Writes `src/api/schema.d.ts` from a running server's `/openapi.json`: `npm run api-types -- http://127.0.0.1:5003`.
 * With `--check` it writes nothing and fails when the file is stale. Only the read API's part is taken, so that
 * changes of the other APIs do not touch the pages.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import openapiTS, { astToString, type OpenAPI3 } from "openapi-typescript";

const [base, mode] = process.argv.slice(2);
if (!base) throw new Error("name the server: npm run api-types -- http://127.0.0.1:5003");
const file = fileURLToPath(new URL("../src/api/schema.d.ts", import.meta.url));
const whole = (await (await fetch(`${base}/openapi.json`)).json()) as OpenAPI3;

const paths = Object.fromEntries(
  Object.entries(whole.paths ?? {}).filter(([path]) => path.startsWith("/api/")),
);
const schemas = whole.components?.schemas ?? {};
const wanted = new Set<string>();
const collect = (value: unknown): void => {
  if (typeof value !== "object" || value === null) return;
  for (const [name, inner] of Object.entries(value)) {
    const reference =
      name === "$ref" && typeof inner === "string" && /^#\/components\/schemas\/(.+)$/.exec(inner)?.[1];
    if (reference && !wanted.has(reference)) {
      wanted.add(reference);
      collect(schemas[reference]);
    } else collect(inner);
  }
};
collect(paths);
const part: OpenAPI3 = {
  openapi: whole.openapi,
  info: whole.info,
  paths,
  components: { schemas: Object.fromEntries(Object.entries(schemas).filter(([name]) => wanted.has(name))) },
};
const text = `// Made from the server's /openapi.json by \`npm run api-types\`. Do not edit.\n\n${astToString(await openapiTS(part))}`;
if (mode === "--check") {
  if (readFileSync(file, "utf8") !== text) {
    console.error("src/api/schema.d.ts is stale: npm run api-types -- <server>");
    process.exit(1);
  }
  console.log("api types: as the server says");
} else writeFileSync(file, text);
