import { render } from "preact";
import "./settings";
import "./styles/base.css";
import "./styles/traces.css";
import "./styles/trace.css";
import "./styles/span.css";
import "./styles/pages.css";
import { readStructureEarly } from "./api/client";
import { App } from "./app";
import { place, startRouter, traceIdOf } from "./router";

startRouter();
const traceId = traceIdOf(place.value);
if (traceId !== null) {
  void import("./pages/trace");
  readStructureEarly(traceId, place.value.search.get("account"));
}
render(<App />, document.getElementById("app")!);
