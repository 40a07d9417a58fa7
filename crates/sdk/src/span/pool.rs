//! The memory of ended spans, for the next ones of their thread.
//!
//! A span stays where it was begun until it ends: what it holds is written there piece by piece, and nothing of it is moved or
//! cleared that the next one overwrites anyway.

use std::cell::RefCell;

use super::Open;

/// Spans whose memory a thread keeps: half a kilobyte each.
const KEPT_SPANS: usize = 16;

/// The boxes go to spans and come back; nothing is moved.
type Ended = Vec<Box<Open>>;

thread_local! {
    static ENDED: RefCell<Ended> = const { RefCell::new(Vec::new()) };
}

/// Returns the memory of an ended span, with nothing set in it.
#[inline]
pub(super) fn take() -> Box<Open> {
    let kept = ENDED.try_with(|ended| ended.try_borrow_mut().ok()?.pop()).ok().flatten();
    kept.unwrap_or_else(Open::blank)
}

/// Keeps the memory of a span that has ended.
#[inline]
pub(super) fn give(mut open: Box<Open>) {
    open.clear();
    let _ = ENDED.try_with(|ended| {
        if let Ok(mut ended) = ended.try_borrow_mut()
            && ended.len() < KEPT_SPANS
        {
            ended.push(open);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_finds_nothing_of_the_one_before() {
        let tracer = crate::Tracer::builder().spool(false).environment(crate::Environment::fixed([])).build();
        let long = "n".repeat(1000);
        let trace = tracer.trace("t").task_id("task");
        for _ in 0..2 * KEPT_SPANS {
            let mut span = trace.span(long.clone()).parent_id("p").input(serde_json::json!({"a": 1})).start();
            span.set_output("b");
            span.set_expected("c");
            span.set_data_key("d", 1_i64.to_string());
            span.set_status(endspan_model::Status::Error);
            span.set_type(endspan_model::SpanType::Completion);
            span.set_end_time(endspan_model::Timestamp::MAX);
            span.mark_scope(true);
            span.end();
        }
        let kept = ENDED.with_borrow(Vec::len);
        assert!((1..=KEPT_SPANS).contains(&kept), "{kept}");
        let mut open = take();
        assert_eq!(ENDED.with_borrow(Vec::len), kept - 1);
        assert!(open.trace.is_noop() && open.held.is_none() && open.end.is_none() && !open.in_scope);
        assert!(
            open.input.is_none() && open.output.is_none() && open.data.is_none() && open.expected.is_none()
        );
        assert!(open.status.is_none() && open.span_type.is_none());
        let none = crate::record::Tag::Name;
        assert_eq!(open.text(none), "");
        open.texts.fill(&[(none, Some(b"x".as_slice())); 6]);
        assert_eq!(open.text(none), "x");
    }
}
