import "./early";
import { render } from "preact";
import "./settings";
import "./styles/base.css";
import "./styles/traces.css";
import "./styles/trace.css";
import "./styles/span.css";
import "./styles/pages.css";
import { App } from "./app";
import { startRouter } from "./router";

startRouter();
render(<App />, document.getElementById("app")!);
