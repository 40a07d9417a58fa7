//! W3C trace context: which span of another process is the parent here, and the other way round.
//!
//! `traceparent` and `tracestate` (<https://www.w3.org/TR/trace-context/>) carry 16 and 8 bytes of ids. endspan's ids
//! are free text, so they are mapped as for OTLP (`docs/otlp-mapping.md`), and the text goes along in `tracestate` as
//! the member `endspan`. Where the other side is endspan too, the trace goes on under its own id; any other side
//! sees ids that it understands, and hands ours on.

use http::{HeaderMap, HeaderName, HeaderValue};

use endspan_otlp::ids::{span_id_bytes, trace_id_bytes};

use crate::context;
use crate::span::Span;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Our member of `tracestate`.
const MEMBER: &str = "endspan";

/// Most members of `tracestate`, and the most characters of a member's value (W3C, section 3.3.1.3).
const MAX_MEMBERS: usize = 32;
const MAX_VALUE_CHARS: usize = 256;

/// A span as other processes know it.
///
/// ```
/// # let tracer = endspan::Tracer::builder().spool(false).build();
/// use endspan::TraceContext;
///
/// // The server's side: the caller's span becomes the parent of what happens here.
/// let mut headers = http::HeaderMap::new();
/// headers.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap());
/// if let Some(caller) = TraceContext::extract(&headers) {
///     let trace = tracer.continue_trace(&caller);
///     assert_eq!(trace.id(), "0af7651916cd43dd8448eb211c80319c");
///     trace.span("handle").in_scope(|span| {
///         // The caller's side: the current span goes along.
///         let mut headers = http::HeaderMap::new();
///         if let Some(context) = TraceContext::of(span) {
///             context.inject(&mut headers);
///         }
///     });
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: String,
    span_id: String,
    flags: u8,
    /// Members of other vendors, as they came.
    others: String,
}

impl TraceContext {
    /// Makes the context of a span by its ids, sampled; `None` if one is empty.
    pub fn new(trace_id: &str, span_id: &str) -> Option<Self> {
        let given = !trace_id.is_empty() && !span_id.is_empty();
        given.then(|| Self {
            trace_id: trace_id.to_owned(),
            span_id: span_id.to_owned(),
            flags: 1,
            others: String::new(),
        })
    }

    /// Returns the context of a span; `None` for a no-op.
    pub fn of(span: &Span) -> Option<Self> {
        span.context().and_then(|context| Self::within(&context))
    }

    /// Returns the context of this thread's current span.
    pub fn current() -> Option<Self> {
        context::with_current(Self::within).flatten()
    }

    /// What came in with a trace goes out with it.
    fn within(context: &context::Context) -> Option<Self> {
        let (trace_id, span_id) = (context.trace.id(), context.span_id.as_str());
        match context.trace.remote() {
            Some(remote) => remote.for_span(trace_id, span_id),
            None => Self::new(trace_id, span_id),
        }
    }

    /// Returns the context of a span of the trace that goes on from this one: what came in goes out with it. `None` if an id is
    /// empty. For bindings to other languages.
    pub fn for_span(&self, trace_id: &str, span_id: &str) -> Option<Self> {
        let own = Self::new(trace_id, span_id)?;
        Some(Self { flags: self.flags, others: self.others.clone(), ..own })
    }

    /// Reads the headers of a request; `None` without a valid `traceparent`.
    pub fn extract(headers: &HeaderMap) -> Option<Self> {
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let parent = parents.next().and_then(text)?;
        if parents.next().is_some() {
            return None;
        }
        let states: Vec<String> = headers.get_all(TRACESTATE).iter().filter_map(text).collect();
        Self::parse(&parent, &states.join(","))
    }

    /// Reads the texts of the two headers; `None` if `traceparent` is not valid. `tracestate` may be empty.
    pub fn parse(traceparent: &str, tracestate: &str) -> Option<Self> {
        let (trace_hex, span_hex, flags) = parse_parent(traceparent.trim())?;
        let members = || tracestate.split(',').map(str::trim).filter(|member| !member.is_empty());
        let ours = |member: &str| member.split_once('=').is_some_and(|(key, _)| key == MEMBER);
        let kept: Vec<&str> = members().filter(|member| !ours(member)).take(MAX_MEMBERS - 1).collect();
        let mut context = Self {
            trace_id: trace_hex.to_owned(),
            span_id: span_hex.to_owned(),
            flags,
            others: kept.join(","),
        };
        let told = members().find(|member| ours(member)).and_then(|member| member.split_once('='));
        if let Some((trace_id, span_id)) = told.and_then(|(_, value)| value.split_once(':')) {
            // Others may have become the parent since: a text only counts for the bytes that it belongs to.
            let (trace_id, span_id) = (decoded(trace_id), decoded(span_id));
            if let Some(trace_id) = trace_id.filter(|id| hex(&trace_id_bytes(id)) == trace_hex) {
                context.trace_id = trace_id;
            }
            if let Some(span_id) = span_id.filter(|id| hex(&span_id_bytes(id)) == span_hex) {
                context.span_id = span_id;
            }
        }
        Some(context)
    }

    /// Writes the two headers, in place of those that are there.
    pub fn inject(&self, headers: &mut HeaderMap) {
        if let Ok(parent) = HeaderValue::try_from(self.traceparent()) {
            headers.insert(TRACEPARENT, parent);
        }
        match HeaderValue::try_from(self.tracestate()) {
            Ok(state) if !state.is_empty() => headers.insert(TRACESTATE, state),
            _ => headers.remove(TRACESTATE),
        };
    }

    /// Returns the id of the trace.
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// Returns the id of the span.
    pub fn span_id(&self) -> &str {
        &self.span_id
    }

    /// Returns whether the caller samples the trace. endspan keeps every span either way, and passes it on.
    pub const fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }

    /// Returns the text of `traceparent`.
    pub fn traceparent(&self) -> String {
        let (trace, span) = (hex(&trace_id_bytes(&self.trace_id)), hex(&span_id_bytes(&self.span_id)));
        format!("00-{trace}-{span}-{:02x}", self.flags & 3)
    }

    /// Returns the text of `tracestate`; empty: there is none.
    pub fn tracestate(&self) -> String {
        let told_by_bytes = hex(&trace_id_bytes(&self.trace_id)) == self.trace_id
            && hex(&span_id_bytes(&self.span_id)) == self.span_id;
        let value = format!("{}:{}", encoded(&self.trace_id), encoded(&self.span_id));
        if told_by_bytes || value.len() > MAX_VALUE_CHARS {
            return self.others.clone();
        }
        let separator = if self.others.is_empty() { "" } else { "," };
        format!("{MEMBER}={value}{separator}{}", self.others)
    }
}

/// Reads version, trace id, parent id and flags (W3C, section 3.2). Later versions may have more behind them.
fn parse_parent(text: &str) -> Option<(&str, &str, u8)> {
    let mut fields = text.splitn(5, '-');
    let (version, trace_id, span_id, flags) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |text: &str, digits| is_hex(text, digits) && text.bytes().any(|digit| digit != b'0');
    let complete = version != "00" || fields.next().is_none();
    let valid = is_hex(version, 2) && version != "ff" && is_id(trace_id, 32) && is_id(span_id, 16);
    (valid && complete && is_hex(flags, 2)).then_some(())?;
    Some((trace_id, span_id, u8::from_str_radix(flags, 16).ok()?))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Percent-encodes everything but letters, digits, `-`, `.`, `_` and `~`.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Tracer;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_callers_context_is_read_and_goes_out_again() {
        let context = TraceContext::parse(PARENT, " congo=t61rcWkgMzE , rojo=00f067aa0ba902b7 ").unwrap();
        assert_eq!(context.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(context.span_id(), "b7ad6b7169203331");
        assert!(context.is_sampled());
        assert_eq!(context.traceparent(), PARENT);
        assert_eq!(context.tracestate(), "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7");
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        for text in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(text, ""), None, "{text}");
        }
        let later = "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more";
        assert_eq!(TraceContext::parse(later, "").unwrap().traceparent(), PARENT.replace("-01", "-03"));
    }

    #[test]
    fn ids_that_are_text_arrive_as_text_unless_someone_else_became_the_parent() {
        let sent = TraceContext::new("turn of Zoë, 7=?", "018f0000-0000-7000-8000-000000000001").unwrap();
        let read = TraceContext::parse(&sent.traceparent(), &format!("a=1,{}", sent.tracestate())).unwrap();
        assert_eq!((read.trace_id(), read.span_id()), (sent.trace_id(), sent.span_id()));
        assert!(read.tracestate().ends_with(",a=1"), "{}", read.tracestate());
        let trace = sent.traceparent().split('-').nth(1).unwrap().to_owned();
        let between = format!("00-{trace}-b7ad6b7169203331-00");
        let read = TraceContext::parse(&between, &sent.tracestate()).unwrap();
        assert_eq!((read.trace_id(), read.span_id()), (sent.trace_id(), "b7ad6b7169203331"));
        assert!(!read.is_sampled());
        let foreign = TraceContext::parse(PARENT, &sent.tracestate()).unwrap();
        assert_eq!(foreign.trace_id(), "0af7651916cd43dd8448eb211c80319c", "of another trace");
        let long = TraceContext::new(&"ü".repeat(100), "s").unwrap();
        assert_eq!(long.tracestate(), "", "too long to go along");
    }

    #[test]
    fn a_remote_parent_holds_where_nothing_nearer_does() {
        let tracer = Tracer::builder()
            .environment(crate::Environment::fixed([]))
            .exporter(Nowhere)
            .spool(false)
            .build();
        let caller = TraceContext::parse(PARENT, "congo=1").unwrap();
        let trace = tracer.continue_trace(&caller);
        assert_eq!(TraceContext::current(), None);
        let span = trace.span("handle").start();
        assert_eq!((span.trace_id(), span.parent_id()), (caller.trace_id(), Some(caller.span_id())));
        assert_eq!(span.child("step").start().parent_id(), Some(span.id()));
        assert_eq!(trace.span("root").root().start().parent_id(), None);
        {
            let _entered = span.enter();
            assert_eq!(trace.span("inner").start().parent_id(), Some(span.id()));
            let outgoing = TraceContext::current().unwrap();
            assert_eq!(Some(&outgoing), TraceContext::of(&span).as_ref());
            let mut headers = HeaderMap::new();
            headers.insert(TRACESTATE, HeaderValue::from_static("old=1"));
            outgoing.inject(&mut headers);
            assert!(headers[TRACESTATE].to_str().unwrap().ends_with(",congo=1"));
            let read = TraceContext::extract(&headers).unwrap();
            assert_eq!((read.trace_id(), read.span_id()), (span.trace_id(), span.id()));
            headers.append(TRACEPARENT, HeaderValue::from_static(PARENT));
            assert_eq!(TraceContext::extract(&headers), None, "two parents are none");
        }
        assert_eq!(trace.clone().task_id("t").span("kept").start().parent_id(), Some(caller.span_id()));
    }

    struct Nowhere;

    impl crate::exporter::Exporter for Nowhere {
        fn name(&self) -> &str {
            "nowhere"
        }

        fn export(&self, _: crate::exporter::Batch) -> crate::exporter::Export {
            Box::pin(std::future::ready(crate::lane::Outcome::Delivered))
        }
    }

    proptest! {
        #[test]
        fn any_ids_come_back(trace_id in ".{1,20}", span_id in ".{1,8}") {
            let sent = TraceContext::new(&trace_id, &span_id).unwrap();
            let mut headers = HeaderMap::new();
            sent.inject(&mut headers);
            prop_assert_eq!(TraceContext::extract(&headers), Some(sent));
        }

        #[test]
        fn nothing_panics(parent in ".{0,80}", state in ".{0,80}") {
            let _ = TraceContext::parse(&parent, &state);
            let _ = TraceContext::parse(PARENT, &format!("endspan={state}"));
        }
    }
}
