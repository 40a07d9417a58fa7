//! Deterministic generator of LLM-agent traces: the workload of every figure in `bench/README.md`.
//!
//! A trace is one agent run: a root AGENT span, several TURN spans, and under each
//! turn an LLM call, tool calls (some with a nested sub-span) and sometimes a
//! retrieval. The conversation grows turn by turn, so the input of a later LLM span
//! repeats every earlier message.
mod vocabulary;

use std::fmt::Write as _;

pub use self::vocabulary::Rng;
use self::vocabulary::Vocab;

pub fn uuid_str(b: &[u8; 16]) -> String {
    const H: &[u8; 16] = b"0123456789abcdef";
    let mut s = String::with_capacity(36);
    for (i, x) in b.iter().enumerate() {
        if i == 4 || i == 6 || i == 8 || i == 10 {
            s.push('-');
        }
        s.push(H[(x >> 4) as usize] as char);
        s.push(H[(x & 15) as usize] as char);
    }
    s
}

#[derive(Clone)]
pub struct Span {
    pub id: [u8; 16],
    pub trace_id: [u8; 16],
    pub parent_id: Option<[u8; 16]>,
    pub name: String,
    pub kind: &'static str,
    pub status: &'static str,
    pub start_us: i64,
    pub end_us: i64,
    pub agent: String,
    pub input: String,
    pub output: String,
    pub metadata: String,
}

impl Span {
    pub fn raw_len(&self) -> usize {
        self.input.len()
            + self.output.len()
            + self.metadata.len()
            + self.name.len()
            + 36 * 3
            + 40
            + self.agent.len()
    }
    pub fn json(&self, out: &mut String) {
        let _ = write!(
            out,
            "{{\"id\":\"{}\",\"trace_id\":\"{}\",\"parent_id\":{},\"name\":\"{}\",\"type\":\"{}\",\"status\":\"{}\",\"start_time\":\"{}\",\"end_time\":\"{}\",\"agent\":\"{}\",\"input\":{},\"output\":{},\"metadata\":{}}}",
            uuid_str(&self.id),
            uuid_str(&self.trace_id),
            self.parent_id.as_ref().map(|p| format!("\"{}\"", uuid_str(p))).unwrap_or_else(|| "null".into()),
            self.name,
            self.kind,
            self.status,
            iso(self.start_us),
            iso(self.end_us),
            self.agent,
            self.input,
            self.output,
            self.metadata
        );
    }
}

/// Returns how many bytes the spans are as JSON: what figures call raw.
pub fn raw_bytes(spans: &[Span]) -> usize {
    let mut text = String::new();
    spans
        .iter()
        .map(|span| {
            text.clear();
            span.json(&mut text);
            text.len()
        })
        .sum()
}

/// Microseconds since the Unix epoch as RFC 3339 in UTC.
pub fn iso(us: i64) -> String {
    endspan_model::Timestamp::from_unix_micros(us)
        .map(|moment| format!("{}Z", moment.format_micros()))
        .unwrap_or_default()
}

#[derive(Clone, Copy, PartialEq)]
pub enum Set {
    Small,
    Llm,
}
impl Set {
    pub fn parse(s: &str) -> Option<Set> {
        Some(match s {
            "small" => Set::Small,
            "llm" => Set::Llm,
            _ => return None,
        })
    }
    pub fn spans(&self) -> usize {
        match self {
            Set::Small => 100_000,
            Set::Llm => 20_000,
        }
    }
}

pub struct Sizes {
    sys: u64,
    user: u64,
    asst: u64,
    tool: u64,
    retr: u64,
}

const TOOLS: [&str; 8] = [
    "search_docs",
    "run_sql",
    "get_ticket",
    "http_request",
    "read_file",
    "send_email",
    "list_orders",
    "calculator",
];
const MODELS: [&str; 4] = ["gpt-4o-2024-11-20", "claude-sonnet-4-5", "gpt-4o-mini", "llama-3.3-70b"];
const AGENTS: [&str; 6] =
    ["support-agent", "research-agent", "billing-agent", "code-agent", "triage-agent", "planner"];

pub struct Gen {
    v: Vocab,
    set: Set,
    sz: Sizes,
    sys: Vec<String>,
}
impl Gen {
    pub fn new(set: Set) -> Gen {
        let v = Vocab::new();
        let sz = match set {
            Set::Small => Sizes { sys: 500, user: 140, asst: 230, tool: 420, retr: 700 },
            Set::Llm => Sizes { sys: 4200, user: 950, asst: 2100, tool: 4700, retr: 6500 },
        };
        let mut r = Rng::new(99);
        let sys = AGENTS
            .iter()
            .map(|_| {
                let mut s = String::new();
                v.prose(&mut r, sz.sys as usize, &mut s);
                s
            })
            .collect();
        Gen { v, set, sz, sys }
    }
    fn amount(&self, r: &mut Rng, mean: u64) -> usize {
        // skewed: 0.3..~3 x mean, mean about 1
        let u = r.unit();
        (mean as f64 * (0.35 + 1.3 * u * u * 1.5)) as usize
    }
    fn msg(&self, role: &str, body: &str) -> String {
        format!("{{\"role\":\"{}\",\"content\":\"{}\"}}", role, body)
    }
    /// One trace of exactly 20 spans.
    pub fn trace(&self, n: u64) -> Vec<Span> {
        let mut r = Rng::new(0xA11CE + n * 2 + (self.set == Set::Llm) as u64);
        let trace_id = r.uuid();
        let ai = r.below(AGENTS.len() as u64) as usize;
        let agent = AGENTS[ai].to_string();
        let model = MODELS[r.below(4) as usize];
        let session = r.below(100_000);
        let mut t = 1_767_225_600_000_000i64 + n as i64 * 2_400_000 + r.below(1_000_000) as i64;
        let root = r.uuid();
        let t0 = t;
        let mut spans: Vec<Span> = Vec::with_capacity(20);
        let mut messages: Vec<String> = vec![self.msg("system", &self.sys[ai])];
        let mut first_user = String::new();
        let mut turns = 0u32;
        let mut last_answer = String::new();
        let meta = |extra: &str, turn: u32| {
            format!(
                "{{\"agent_name\":\"{}\",\"session_id\":\"sess-{}\",\"turn\":{},\"environment\":\"production\",\"sdk\":\"py-1.4.2\",\"tags\":[\"{}\",\"v3\"]{}}}",
                AGENTS[ai], session, turn, AGENTS[ai], extra
            )
        };
        // root is pushed last in end order but kept first in the vector
        let mut left = 19usize;
        while left > 0 {
            turns += 1;
            let turn_id = r.uuid();
            let turn_start = t;
            let mut user = String::new();
            let ulen = self.amount(&mut r, self.sz.user);
            self.v.prose(&mut r, ulen, &mut user);
            if turns == 1 {
                first_user = user.clone();
            }
            messages.push(self.msg("user", &user));
            let turn_pos = spans.len();
            spans.push(Span {
                id: turn_id,
                trace_id,
                parent_id: Some(root),
                name: format!("turn_{}", turns),
                kind: "TURN",
                status: "OK",
                start_us: turn_start,
                end_us: 0,
                agent: agent.clone(),
                input: format!("{{\"messages\":[{}]}}", messages.last().unwrap()),
                output: String::new(),
                metadata: meta("", turns),
            });
            left -= 1;
            let mut steps = 2 + r.below(4) as usize;
            while left > 0 && steps > 0 {
                steps -= 1;
                t += 2_000 + r.below(5_000) as i64;
                let k = r.below(100);
                if k < 42 || left == 1 {
                    // LLM call: whole conversation so far
                    let dur = 300_000 + r.below(900_000) as i64;
                    let mut ans = String::new();
                    let alen = self.amount(&mut r, self.sz.asst);
                    self.v.prose(&mut r, alen, &mut ans);
                    let err = r.below(60) == 0;
                    let input = format!(
                        "{{\"model\":\"{}\",\"temperature\":0.{},\"messages\":[{}]}}",
                        model,
                        r.below(10),
                        messages.join(",")
                    );
                    let it = input.len() / 4;
                    let ot = ans.len() / 4;
                    let m = self.msg("assistant", &ans);
                    spans.push(Span {
                        id: r.uuid(),
                        trace_id,
                        parent_id: Some(turn_id),
                        name: "chat.completions".into(),
                        kind: "LLM",
                        status: if err { "ERROR" } else { "OK" },
                        start_us: t,
                        end_us: t + dur,
                        agent: agent.clone(),
                        input,
                        output: format!("{{\"choices\":[{{\"index\":0,\"finish_reason\":\"stop\",\"message\":{}}}]}}", m),
                        metadata: meta(
                            &format!(
                                ",\"model\":\"{}\",\"usage\":{{\"prompt_tokens\":{},\"completion_tokens\":{},\"total_tokens\":{},\"cached_tokens\":{}}},\"cost_usd\":0.{:06}",
                                model,
                                it,
                                ot,
                                it + ot,
                                it / 3,
                                r.below(100_000)
                            ),
                            turns,
                        ),
                    });
                    messages.push(m);
                    last_answer = ans;
                    t += dur;
                    left -= 1;
                } else if k < 85 {
                    let tool = TOOLS[r.below(TOOLS.len() as u64) as usize];
                    let dur = 20_000 + r.below(200_000) as i64;
                    let tid = r.uuid();
                    let mut q = String::new();
                    self.v.prose_plain(&mut r, 60, &mut q);
                    let mut res = String::new();
                    let tlen = self.amount(&mut r, self.sz.tool);
                    self.v.tool_json(&mut r, tlen, &mut res);
                    let err = r.below(25) == 0;
                    let call = r.below(1_000_000_000);
                    spans.push(Span {
                        id: tid,
                        trace_id,
                        parent_id: Some(turn_id),
                        name: tool.into(),
                        kind: "TOOL",
                        status: if err { "ERROR" } else { "OK" },
                        start_us: t,
                        end_us: t + dur,
                        agent: agent.clone(),
                        input: format!("{{\"tool\":\"{}\",\"call_id\":\"call_{:09}\",\"arguments\":{{\"query\":\"{}\",\"limit\":{}}}}}", tool, call, q, 5 + r.below(20)),
                        output: format!("{{\"content\":\"{}\"}}", res),
                        metadata: meta(&format!(",\"tool_call_id\":\"call_{:09}\"", call), turns),
                    });
                    left -= 1;
                    messages.push(format!(
                        "{{\"role\":\"tool\",\"tool_call_id\":\"call_{:09}\",\"content\":\"{}\"}}",
                        call, res
                    ));
                    if left > 1 && r.below(3) == 0 {
                        // nested client request (depth 3)
                        spans.push(Span {
                            id: r.uuid(),
                            trace_id,
                            parent_id: Some(tid),
                            name: format!("{}.http", tool),
                            kind: "HTTP",
                            status: "OK",
                            start_us: t + 1_000,
                            end_us: t + dur - 1_000,
                            agent: agent.clone(),
                            input: format!("{{\"method\":\"POST\",\"url\":\"https://api.example.com/{}/{}\",\"query\":\"{}\"}}", tool, r.below(100_000), q),
                            output: format!("{{\"status\":200,\"bytes\":{}}}", res.len()),
                            metadata: meta(&format!(",\"http.status_code\":200,\"net.peer.port\":443,\"retry\":{}", r.below(3)), turns),
                        });
                        left -= 1;
                    }
                    t += dur;
                } else {
                    let dur = 10_000 + r.below(80_000) as i64;
                    let mut q = String::new();
                    self.v.prose_plain(&mut r, 80, &mut q);
                    let mut docs = String::new();
                    let n = 3 + r.below(4);
                    for i in 0..n {
                        if i > 0 {
                            docs.push(',');
                        }
                        let _ = write!(
                            docs,
                            "{{\"id\":\"doc-{}\",\"score\":0.{:04},\"text\":\"",
                            r.below(1_000_000),
                            r.below(10_000)
                        );
                        self.v.prose(&mut r, (self.sz.retr / 4) as usize, &mut docs);
                        docs.push_str("\"}");
                    }
                    spans.push(Span {
                        id: r.uuid(),
                        trace_id,
                        parent_id: Some(turn_id),
                        name: "retrieve".into(),
                        kind: "RETRIEVAL",
                        status: "OK",
                        start_us: t,
                        end_us: t + dur,
                        agent: agent.clone(),
                        input: format!("{{\"query\":\"{}\",\"top_k\":{}}}", q, n),
                        output: format!("{{\"documents\":[{}]}}", docs),
                        metadata: meta(
                            ",\"index\":\"kb-main\",\"embedding_model\":\"text-embedding-3-small\"",
                            turns,
                        ),
                    });
                    left -= 1;
                    t += dur;
                }
            }
            t += 1_500;
            let out = format!("{{\"content\":\"{}\"}}", last_answer);
            spans[turn_pos].end_us = t;
            spans[turn_pos].output = out;
        }
        t += 1_000;
        spans.insert(
            0,
            Span {
                id: root,
                trace_id,
                parent_id: None,
                name: format!("{}.run", agent),
                kind: "AGENT",
                status: "OK",
                start_us: t0,
                end_us: t,
                agent: agent.clone(),
                input: format!("{{\"messages\":[{}]}}", self.msg("user", &first_user)),
                output: format!("{{\"content\":\"{}\"}}", last_answer),
                metadata: meta(&format!(",\"turns\":{}", turns), turns),
            },
        );
        spans
    }
    pub fn all(&self) -> Vec<Span> {
        let n = self.set.spans() / 20;
        (0..n as u64).flat_map(|i| self.trace(i)).collect()
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Ev {
    Start(usize),
    End(usize),
}
/// Start and end events in time order (traces start every 2.4 s and run for several
/// seconds, so a handful of traces interleave, as on a busy server).
///
/// With `lag` every end comes that many spans after its start, so that no pair falls into one batch
/// (long-running spans).
pub fn events(spans: &[Span], with_start: bool, lag: Option<usize>) -> Vec<Ev> {
    if let (true, Some(lag)) = (with_start, lag) {
        let mut v = Vec::with_capacity(spans.len() * 2);
        for i in 0..spans.len() + lag {
            if i < spans.len() {
                v.push(Ev::Start(i));
            }
            if i >= lag {
                v.push(Ev::End(i - lag));
            }
        }
        return v;
    }
    let mut e: Vec<(i64, u8, Ev)> = Vec::with_capacity(spans.len() * 2);
    for (i, s) in spans.iter().enumerate() {
        if with_start {
            e.push((s.start_us, 0, Ev::Start(i)));
        }
        e.push((s.end_us, 1, Ev::End(i)));
    }
    e.sort_by_key(|x| (x.0, x.1));
    e.into_iter().map(|x| x.2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published figures hold for exactly these bytes: a change of the generator must show.
    #[test]
    fn workload_is_the_one_that_was_measured() {
        for (set, spans, bytes) in [(Set::Small, 100_000, 210_395_301), (Set::Llm, 20_000, 236_227_519)] {
            let all = Gen::new(set).all();
            let mut text = String::new();
            let total: usize = all
                .iter()
                .map(|span| {
                    text.clear();
                    span.json(&mut text);
                    text.len()
                })
                .sum();
            assert_eq!((all.len(), total), (spans, bytes));
        }
    }
}
