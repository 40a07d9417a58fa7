use std::time::Duration;

use endspan_testkit::{FakeBackend, Protocol, tree};
use serde_json::json;

use crate::{agentex, assert_conserved, builder, sgp};

#[test]
fn spans_reach_both_destinations_once() {
    let backend = FakeBackend::start();
    let tracer = builder().exporter(sgp(&backend)).exporter(agentex(&backend)).build();
    let trace = tracer.trace("t1");
    trace.span("root").input(&json!({"q": 1})).in_scope(|root| {
        trace.span("child one").in_scope(|child| child.set_output(&json!({"x": "y"})));
        let _: Result<(), std::fmt::Error> = trace.span("child two").try_in_scope(|_| Err(std::fmt::Error));
        root.set_output(&json!({"a": 2}));
    });
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert!(report.is_complete(), "{report}");
    assert_eq!(report.delivered(), 6);
    let stored = backend.stored(Protocol::Sgp);
    assert_eq!(tree(stored.values().map(|stored| &stored.json)), "root\n  child one\n  child two [ERROR]\n");
    assert_eq!(backend.stored(Protocol::Agentex).len(), 3);
    assert!(backend.stored(Protocol::Agentex).values().all(|stored| stored.writes == 1));
}

#[test]
fn flush_delivers_without_waiting_for_the_linger() {
    let backend = FakeBackend::start();
    let tracer = builder().exporter(sgp(&backend)).linger(Duration::from_secs(3600)).build();
    tracer.trace("t").span("a").start().end();
    let report = tracer.flush(Duration::from_secs(10));
    assert_eq!((report.delivered(), report.pending()), (1, 0), "{report}");
    tracer.trace("t").span("b").start().end();
    let report = tracer.shutdown();
    assert_conserved(&report);
    assert_eq!(report.delivered(), 2);
}
