//! What the demo agent is asked, what its model decides, and what its tools answer.
//!
//! All of it is made up. Payloads are JSON text, because that is what an agent holds too.

/// A conversation: one trace.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// Name of the agent, and of the trace's root span.
    pub(crate) agent: &'static str,
    /// What the model is told before everything else.
    pub(crate) instructions: &'static str,
    pub(crate) turns: &'static [Turn],
}

/// What a user says, and what the agent does about it.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) user: &'static str,
    /// What the agent looks up first: a query and the texts found, best last before reranking.
    pub(crate) lookup: Option<(&'static str, &'static [&'static str])>,
    /// The tools that the model calls, one after another.
    pub(crate) calls: &'static [Call],
    pub(crate) ending: Ending,
}

/// One call of a tool.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) tool: &'static str,
    /// A JSON object.
    pub(crate) arguments: &'static str,
    pub(crate) answer: Answer,
    /// How long the tool takes.
    pub(crate) takes_ms: u32,
}

/// What a tool does.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Answers with a JSON object.
    Json(&'static str),
    /// Fails: kind of error, message.
    Failure(&'static str, &'static str),
}

/// How a turn ends.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The model says this.
    Reply(&'static str),
    /// The model cannot be reached: kind of error, message. The turn fails with it.
    ModelFailure(&'static str, &'static str),
}

use Answer::{Failure, Json};
use Ending::{ModelFailure, Reply};

/// Every conversation. The demo goes through them in turn.
pub(crate) const CONVERSATIONS: &[Conversation] = &[
    Conversation {
        agent: "order support",
        instructions: "You help customers of a bicycle shop with their orders. Look things up before you answer.",
        turns: &[
            Turn {
                user: "Where is my order B-2041? It should have been here on Monday.",
                lookup: Some((
                    "late delivery policy",
                    &[
                        "Returns are free within 30 days if the bicycle has not been ridden outdoors.",
                        "Orders that arrive more than three days late get the shipping fee back.",
                        "Oversized parcels travel by truck and have no live tracking on weekends.",
                    ],
                )),
                calls: &[
                    Call {
                        tool: "find_order",
                        arguments: r#"{"order_id":"B-2041"}"#,
                        answer: Json(
                            r#"{"order_id":"B-2041","status":"in transit","carrier":"Nordfracht","tracking":"NF 7731 0098"}"#,
                        ),
                        takes_ms: 90,
                    },
                    Call {
                        tool: "track_parcel",
                        arguments: r#"{"tracking":"NF77310098"}"#,
                        answer: Failure(
                            "TrackingNotFound",
                            "no parcel NF77310098: expected the form NF 0000 0000",
                        ),
                        takes_ms: 240,
                    },
                    Call {
                        tool: "track_parcel",
                        arguments: r#"{"tracking":"NF 7731 0098"}"#,
                        answer: Json(r#"{"last_seen":"depot Malmö","expected":"2026-03-17","days_late":4}"#),
                        takes_ms: 310,
                    },
                ],
                ending: Reply(
                    "Your bicycle is at the depot in Malmö and should reach you tomorrow. It is four days late, so the shipping fee can be paid back. Shall I do that?",
                ),
            },
            Turn {
                user: "Yes please, and can I still return the helmet?",
                lookup: Some((
                    "return helmet",
                    &[
                        "Safety gear can be returned unopened, with its seal intact.",
                        "Returns are free within 30 days if the bicycle has not been ridden outdoors.",
                    ],
                )),
                calls: &[Call {
                    tool: "refund_shipping",
                    arguments: r#"{"order_id":"B-2041","amount":14.90,"currency":"EUR"}"#,
                    answer: Json(
                        r#"{"refund_id":"R-118","amount":14.90,"currency":"EUR","arrives_in_days":3}"#,
                    ),
                    takes_ms: 520,
                }],
                ending: Reply(
                    "Done: 14.90 EUR will be on your account within three days. The helmet can go back as long as its seal is intact.",
                ),
            },
        ],
    },
    Conversation {
        agent: "data analyst",
        instructions: "You answer questions about sales with SQL. Check column names when a query fails.",
        turns: &[
            Turn {
                user: "Which three products grew most last quarter?",
                lookup: Some((
                    "sales tables",
                    &[
                        "Table sales_daily: day, product_id, units, net_amount.",
                        "Table products: id, title, category, launched_on.",
                    ],
                )),
                calls: &[
                    Call {
                        tool: "run_sql",
                        arguments: r#"{"sql":"SELECT p.name, sum(s.net_amount) FROM sales_daily s JOIN products p ON p.id = s.product_id GROUP BY 1"}"#,
                        answer: Failure("UndefinedColumn", "column p.name does not exist; there is p.title"),
                        takes_ms: 60,
                    },
                    Call {
                        tool: "run_sql",
                        arguments: r#"{"sql":"SELECT p.title, quarter(s.day) AS q, sum(s.net_amount) AS net FROM sales_daily s JOIN products p ON p.id = s.product_id GROUP BY 1, 2"}"#,
                        answer: Json(
                            r#"{"columns":["title","q","net"],"rows":[["Gravel bar",3,18200.5],["Gravel bar",4,31877.25],["Dynamo hub",3,9050.0],["Dynamo hub",4,14100.75],["Rain cape",3,2100.0],["Rain cape",4,3050.1]],"row_count":6}"#,
                        ),
                        takes_ms: 840,
                    },
                ],
                ending: Reply("Gravel bar grew most (+75 %), then Dynamo hub (+56 %) and Rain cape (+45 %)."),
            },
            Turn {
                user: "Draw that as a chart.",
                lookup: None,
                calls: &[Call {
                    tool: "draw_chart",
                    arguments: r#"{"kind":"bar","x":["Gravel bar","Dynamo hub","Rain cape"],"y":[0.75,0.56,0.45]}"#,
                    answer: Json(r#"{"file":"growth.svg","bytes":18044}"#),
                    takes_ms: 410,
                }],
                ending: Reply("Here is the chart: growth.svg."),
            },
            Turn {
                user: "Now forecast the next quarter.",
                lookup: None,
                calls: &[],
                ending: ModelFailure(
                    "RateLimitError",
                    "the model is over its limit of 60 requests a minute; try again in 12 s",
                ),
            },
        ],
    },
    Conversation {
        agent: "travel planner",
        instructions: "You plan trips by train. Prefer few changes over short journeys.",
        turns: &[
            Turn {
                user: "Vienna to Ljubljana next Friday morning, two people, 座席は窓側で。",
                lookup: None,
                calls: &[
                    Call {
                        tool: "search_trains",
                        arguments: r#"{"from":"Wien Hbf","to":"Ljubljana","date":"2026-03-20","after":"06:00"}"#,
                        answer: Json(
                            r#"{"journeys":[{"train":"EC 151","departs":"07:58","arrives":"14:07","changes":0},{"train":"RJ 533","departs":"08:25","arrives":"13:50","changes":1}]}"#,
                        ),
                        takes_ms: 650,
                    },
                    Call {
                        tool: "reserve_seats",
                        arguments: r#"{"train":"EC 151","seats":2,"window":true}"#,
                        answer: Json(r#"{"reservation":"7KQ2M","coach":21,"seats":[14,16]}"#),
                        takes_ms: 430,
                    },
                ],
                ending: Reply(
                    "EC 151 at 07:58, no changes, arrives 14:07. Seats 14 and 16 in coach 21 are by the window. 🚆",
                ),
            },
            Turn {
                user: "What is the weather there?",
                lookup: None,
                calls: &[Call {
                    tool: "get_weather",
                    arguments: r#"{"place":"Ljubljana","date":"2026-03-20"}"#,
                    answer: Json(r#"{"high_celsius":13.5,"low_celsius":-0.5,"sky":"clear"}"#),
                    takes_ms: 180,
                }],
                ending: Reply("Clear, up to 13.5 °C, and a light frost in the morning."),
            },
        ],
    },
    Conversation {
        agent: "release helper",
        instructions: "You prepare releases of a small library. Never publish when a test fails.",
        turns: &[Turn {
            user: "Prepare release 2.4.1.",
            lookup: Some((
                "release checklist",
                &[
                    "Versions are set in one place: package.toml.",
                    "Run every test before the tag.",
                    "The changelog names each visible change.",
                ],
            )),
            calls: &[
                Call {
                    tool: "read_file",
                    arguments: r#"{"path":"package.toml"}"#,
                    answer: Json(r#"{"text":"[package]\nname = \"tinyroute\"\nversion = \"2.4.0\"\n"}"#),
                    takes_ms: 12,
                },
                Call {
                    tool: "run_tests",
                    arguments: r#"{"suite":"all"}"#,
                    answer: Failure("TestsFailed", "1 of 212 tests failed: router::trailing_slash"),
                    takes_ms: 1_900,
                },
                Call {
                    tool: "edit_file",
                    arguments: r#"{"path":"src/router.rs","replace":"path.trim_end()","with":"path.trim_end_matches('/')"}"#,
                    answer: Json(r#"{"changed_lines":1}"#),
                    takes_ms: 15,
                },
                Call {
                    tool: "run_tests",
                    arguments: r#"{"suite":"all"}"#,
                    answer: Json(r#"{"passed":212,"failed":0,"seconds":1.87}"#),
                    takes_ms: 1_870,
                },
            ],
            ending: Reply(
                "2.4.1 is ready: a trailing slash no longer breaks a route, all 212 tests pass. The tag is yours to push.",
            ),
        }],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_is_a_json_object() {
        for call in CONVERSATIONS.iter().flat_map(|one| one.turns).flat_map(|turn| turn.calls) {
            let mut texts = vec![call.arguments];
            if let Json(text) = call.answer {
                texts.push(text);
            }
            for text in texts {
                let value: serde_json::Value =
                    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
                assert!(value.is_object(), "{text}");
            }
        }
    }

    #[test]
    fn the_script_shows_failures_of_tools_and_of_models() {
        let turns = || CONVERSATIONS.iter().flat_map(|one| one.turns);
        assert!(turns().flat_map(|turn| turn.calls).any(|call| matches!(call.answer, Failure(..))));
        assert!(turns().any(|turn| matches!(turn.ending, ModelFailure(..))));
        assert!(turns().any(|turn| turn.lookup.is_some()));
    }
}
