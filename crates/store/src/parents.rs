//! The part of the parent check that needs no store: cycles within one request (`sgp-api` section 4, rule 3).

use std::collections::HashMap;

use endspan_model::{Span, merge};

use crate::WriteOperation;

/// Says for each operation whether its span lies on a cycle of parents within the request.
///
/// Edges go from (trace id, id) to (trace id, parent id), over the spans that the request inserts or upserts;
/// patches take no part. When the request holds several versions of one identity, the edge of the version
/// that wins by the merge rule counts, and the answer holds for all of them. A span that merely descends from
/// a cycle is not on it. A span that is its own parent is.
pub fn on_a_cycle(operations: &[WriteOperation]) -> Vec<bool> {
    let mut winners: HashMap<(&str, &str), &Span> = HashMap::with_capacity(operations.len());
    for span in operations.iter().filter_map(WriteOperation::span) {
        let winner = winners.entry((span.trace_id.as_str(), span.id.as_str())).or_insert(span);
        if merge::decide(winner.is_completed(), span.is_completed()) == merge::Winner::Incoming {
            *winner = span;
        }
    }
    let parent_of = |key: (&str, &str)| -> Option<(&str, &str)> {
        let span = winners.get(&key)?;
        let parent = (span.trace_id.as_str(), span.parent_id.as_ref()?.as_str());
        winners.get_key_value(&parent).map(|(key, _)| *key)
    };

    // Every node has at most one edge, so that one walk colours a whole path: nodes seen in this walk have its
    // number, and meeting that number again closes a cycle.
    let mut walks: HashMap<(&str, &str), usize> = HashMap::with_capacity(winners.len());
    let mut cyclic: HashMap<(&str, &str), bool> = HashMap::new();
    for (walk, start) in winners.keys().enumerate() {
        let mut node = Some(*start);
        while let Some(key) = node {
            match walks.get(&key) {
                Some(seen) if *seen == walk => {
                    let mut member = Some(key);
                    while let Some(key) = member.filter(|key| cyclic.insert(*key, true).is_none()) {
                        member = parent_of(key);
                    }
                    break;
                }
                Some(_) => break,
                None => {
                    walks.insert(key, walk);
                    node = parent_of(key);
                }
            }
        }
    }
    operations
        .iter()
        .map(|operation| {
            operation
                .span()
                .is_some_and(|span| cyclic.contains_key(&(span.trace_id.as_str(), span.id.as_str())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use endspan_model::Timestamp;

    use super::*;

    fn upserts(spans: &[(&str, &str, Option<&str>)]) -> Vec<WriteOperation> {
        spans
            .iter()
            .map(|(trace, id, parent)| {
                let mut span = Span::new(*trace, *id, "n", Timestamp::MIN);
                span.parent_id = parent.map(Into::into);
                WriteOperation::Upsert(span)
            })
            .collect()
    }

    #[test]
    fn sgp_row_17_two_spans_that_are_each_others_parent() {
        assert_eq!(on_a_cycle(&upserts(&[("t", "a", Some("b")), ("t", "b", Some("a"))])), [true, true]);
    }

    #[test]
    fn own_parent_is_a_cycle_and_descendants_of_a_cycle_are_not_on_it() {
        let operations = upserts(&[("t", "c", Some("a")), ("t", "a", Some("a")), ("t", "d", Some("c"))]);
        assert_eq!(on_a_cycle(&operations), [false, true, false]);
    }

    #[test]
    fn the_same_ids_in_two_traces_do_not_meet() {
        assert_eq!(on_a_cycle(&upserts(&[("t", "a", Some("b")), ("u", "b", Some("a"))])), [false, false]);
    }

    #[test]
    fn long_chains_are_no_cycle_and_cost_no_stack() {
        let ids: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
        let mut spans: Vec<_> =
            ids.windows(2).map(|pair| ("t", pair[0].as_str(), Some(pair[1].as_str()))).collect();
        assert!(on_a_cycle(&upserts(&spans)).iter().all(|cyclic| !cyclic));
        spans.push(("t", "19999", Some("0")));
        assert!(on_a_cycle(&upserts(&spans)).iter().all(|cyclic| *cyclic));
    }

    #[test]
    fn the_winning_version_of_a_span_decides() {
        let mut operations = upserts(&[("t", "a", Some("b")), ("t", "b", Some("a"))]);
        let mut ended = Span::new("t", "b", "n", Timestamp::MIN);
        ended.end_time = Some(Timestamp::MAX);
        operations.insert(0, WriteOperation::Upsert(ended));
        assert_eq!(on_a_cycle(&operations), [false, false, false]);
    }
}
