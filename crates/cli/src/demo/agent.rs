//! The agent itself. It does no work; it takes its time as if it did.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use endspan::{Span, SpanType, Tracer, TurnUsage};
use serde_json::{Value, json};

use super::script::{Answer, Call, Conversation, Ending, Turn};

const MODEL: &str = "gpt-4o";

/// Tells agents to stop taking their time. What they are at, they finish.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    pub(crate) fn set(&self) {
        let (stopped, changed) = &*self.0;
        *stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }

    pub(crate) fn is_set(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, but not longer than until the stop.
    pub(crate) fn sleep(&self, duration: Duration) {
        let (stopped, changed) = &*self.0;
        let guard = stopped.lock().unwrap_or_else(PoisonError::into_inner);
        drop(changed.wait_timeout_while(guard, duration, |stopped| !*stopped));
    }
}

/// Works through conversations. The first error of a turn ends it; the agent itself goes on.
pub(crate) struct Agent<'a> {
    pub(crate) tracer: &'a Tracer,
    pub(crate) stop: &'a Stop,
    /// How long a second takes, in seconds.
    pub(crate) pace: f64,
}

/// What a conversation used.
#[derive(Default)]
struct Used {
    input_tokens: u64,
    output_tokens: u64,
    model_calls: u64,
    tool_calls: u64,
}

/// Why a turn failed: kind and message.
type Failure = (&'static str, &'static str);

impl Agent<'_> {
    /// Goes through a conversation as one trace, and returns the trace's id.
    pub(crate) fn converse(&self, conversation: &Conversation, customer: u32) -> String {
        let trace = self.tracer.new_trace().group_id(format!("customer-{customer}"));
        let input = json!({"channel": "chat", "customer": customer, "turns": conversation.turns.len()});
        trace.span(conversation.agent).span_type(SpanType::AgentTracer).input(&input).in_scope(|root| {
            let mut messages = vec![json!({"role": "system", "content": conversation.instructions})];
            let mut used = Used::default();
            let mut answered = 0;
            for (index, turn) in conversation.turns.iter().enumerate() {
                match self.take_turn(root, index + 1, turn, &mut messages, &mut used) {
                    Ok(()) => answered += 1,
                    Err((kind, message)) => root.record_error_as(kind, message),
                }
                self.take(200);
            }
            root.set_output(json!({"turns_answered": answered, "messages": messages.len()}));
            root.record_usage(
                TurnUsage {
                    model: Some(MODEL.to_owned()),
                    input_tokens: Some(used.input_tokens),
                    output_tokens: Some(used.output_tokens),
                    total_tokens: Some(used.input_tokens + used.output_tokens),
                    num_llm_calls: Some(used.model_calls),
                    num_tool_calls: used.tool_calls,
                    ..TurnUsage::default()
                },
                Some((used.input_tokens * 5 + used.output_tokens * 15) as f64 / 2_000_000.0),
            );
        });
        trace.id().to_owned()
    }

    fn take_turn(
        &self,
        root: &Span,
        number: usize,
        turn: &Turn,
        messages: &mut Vec<Value>,
        used: &mut Used,
    ) -> Result<(), Failure> {
        let span = root.child(format!("turn {number}")).span_type(SpanType::AgentWorkflow);
        span.input(json!({"message": turn.user})).in_scope(|span| {
            messages.push(json!({"role": "user", "content": turn.user}));
            if let Some((query, documents)) = turn.lookup {
                let found = self.look_up(span, query, documents);
                messages.push(json!({"role": "system", "content": format!("Context:\n{found}")}));
            }
            for call in turn.calls {
                let wish = json!({"role": "assistant", "content": null, "tool_calls": [
                    {"type": "function", "function": {"name": call.tool, "arguments": call.arguments}}
                ]});
                self.ask_model(span, messages, wish, used);
                messages.push(self.call_tool(span, call, used));
            }
            let reply = match turn.ending {
                Ending::Reply(reply) => reply,
                Ending::ModelFailure(kind, message) => {
                    self.fail_model(span, messages, (kind, message));
                    span.record_error_as(kind, message);
                    return Err((kind, message));
                }
            };
            self.ask_model(span, messages, json!({"role": "assistant", "content": reply}), used);
            self.check_reply(span, reply);
            span.set_output(json!({"reply": reply}));
            Ok(())
        })
    }

    /// Returns the best text found.
    fn look_up(&self, turn: &Span, query: &str, documents: &[&str]) -> String {
        let span = turn.child("search knowledge base").span_type(SpanType::KbRetrieval);
        span.input(json!({"query": query, "top_k": 5})).in_scope(|span| {
            self.take(120);
            let scored = |score: f64| {
                let each = documents.iter().enumerate();
                each.map(|(index, text)| json!({"score": score - index as f64 / 16.0, "text": text}))
                    .collect::<Vec<_>>()
            };
            let rerank = span.child("rerank").span_type(SpanType::Reranking);
            let best =
                rerank.input(json!({"query": query, "documents": scored(0.8125)})).in_scope(|rerank| {
                    self.take(60);
                    let best = documents.last().copied().unwrap_or_default();
                    rerank.set_output(json!({"best": best, "score": 0.9375}));
                    best
                });
            span.set_output(json!({"documents": scored(0.9375)}));
            best.to_owned()
        })
    }

    fn model_input(messages: &[Value]) -> Value {
        json!({"model": MODEL, "temperature": 0.2, "messages": messages})
    }

    /// Asks the model, which answers with the message that the script holds; adds the answer to the messages.
    fn ask_model(&self, turn: &Span, messages: &mut Vec<Value>, answer: Value, used: &mut Used) {
        let input = Self::model_input(messages);
        let (read, written) = (tokens(&input), tokens(&answer));
        turn.child(format!("chat {MODEL}")).span_type(SpanType::Completion).input(&input).in_scope(|span| {
            self.take(250 + written as u32 * 12);
            let finish = if answer["content"].is_null() { "tool_calls" } else { "stop" };
            span.set_output(json!({
                "message": answer,
                "finish_reason": finish,
                "usage": {"input_tokens": read, "output_tokens": written, "total_tokens": read + written},
            }));
        });
        used.input_tokens += read;
        used.output_tokens += written;
        used.model_calls += 1;
        messages.push(answer);
    }

    fn fail_model(&self, turn: &Span, messages: &[Value], (kind, message): Failure) {
        let span = turn.child(format!("chat {MODEL}")).span_type(SpanType::Completion);
        span.input(Self::model_input(messages)).in_scope(|span| {
            self.take(90);
            span.record_error_as(kind, message);
        });
    }

    /// Returns the message that tells the model what the tool said.
    fn call_tool(&self, turn: &Span, call: &Call, used: &mut Used) -> Value {
        used.tool_calls += 1;
        let span = turn.child(call.tool).span_type(SpanType::ExternalEndpoint);
        span.input(endspan::PayloadSource::json(call.arguments)).in_scope(|span| {
            self.take(call.takes_ms);
            let said = match call.answer {
                Answer::Json(text) => {
                    span.set_output(endspan::PayloadSource::json(text));
                    text.to_owned()
                }
                Answer::Failure(kind, message) => {
                    span.record_error_as(kind, message);
                    format!("{kind}: {message}")
                }
            };
            json!({"role": "tool", "name": call.tool, "content": said})
        })
    }

    fn check_reply(&self, turn: &Span, reply: &str) {
        let span = turn.child("check reply").span_type(SpanType::OutputGuardrail);
        span.input(json!({"text": reply})).in_scope(|span| {
            self.take(25);
            span.set_output(json!({"allowed": true, "rules": ["no personal data", "no promises"]}));
        });
    }

    /// Takes about this long, at the agent's pace.
    fn take(&self, usual_ms: u32) {
        let seconds = f64::from(usual_ms) / 1000.0 * self.pace * (0.75 + fastrand::f64() / 2.0);
        self.stop.sleep(Duration::from_secs_f64(seconds));
    }
}

/// Returns about as many tokens as a model would count.
fn tokens(value: &Value) -> u64 {
    value.to_string().len() as u64 / 4
}
