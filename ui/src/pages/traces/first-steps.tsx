import { copyText } from "../../components/announce";
import { Icon } from "../../components/icon";

/** What a newcomer sees: lines that send a first span. */
export function FirstSteps() {
  const server = location.origin;
  const python = `import endspan\ntracer = endspan.Tracer(exporters=[endspan.AgentexExporter("${server}")])\nwith tracer.trace("first").span("hello", input={"who": "world"}) as span: span.output = {"said": "hi"}`;
  const curl = `curl ${server}/spans -H 'content-type: application/json' -d '{\n  "trace_id": "first", "name": "hello", "start_time": "${new Date().toISOString()}",\n  "end_time": "${new Date(Date.now() + 120).toISOString()}", "input": {"who": "world"}}'`;
  return (
    <div class="empty">
      <h1>No traces yet</h1>
      <p class="soft">This page shows the first span the moment it arrives. Send one:</p>
      <h2>With curl</h2>
      <Snippet text={curl} />
      <h2>From Python</h2>
      <Snippet text={python} />
      <h2>From any OpenTelemetry exporter</h2>
      <Snippet text={`OTEL_EXPORTER_OTLP_ENDPOINT=${server}\nOTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf`} />
      <p class="soft">
        Or look at a whole agent run first: <code>endspan demo</code> starts a server with agents that write
        to it.
      </p>
    </div>
  );
}

function Snippet(props: { text: string }) {
  return (
    <pre class="snippet" tabIndex={0}>
      <button
        type="button"
        class="icon-button"
        aria-label="Copy"
        onClick={() => copyText(props.text, "Lines")}
      >
        <Icon name="copy" />
      </button>
      {props.text}
    </pre>
  );
}
