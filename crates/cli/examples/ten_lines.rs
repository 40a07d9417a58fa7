//! Traces one step of work. The README shows this program.

use endspan::{AgentexExporter, Tracer};
use serde_json::json;

fn main() {
    let tracer = Tracer::builder().exporter(AgentexExporter::from_env()).build();
    let trace = tracer.new_trace();
    trace.span("answer").input(json!({"question": "why?"})).in_scope(|span| {
        span.set_output(json!({"answer": "because"}));
    });
    println!("{}", tracer.shutdown());
}
