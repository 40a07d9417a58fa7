//! The check of parents (`sgp-api` section 4, rule 3): no cycle within one request, and none in another trace.

use std::collections::HashMap;

use endspan_model::{Span, SpanId, TraceId, merge};

use crate::{Rejection, WriteOperation, WriteRequest};

/// Returns for each operation of a request why its parent is not valid, if it is not; nothing at all when the request
/// does not ask for the check. A parent is valid when nobody has it, or its own trace does.
///
/// `is_stored` says whether the store has an id in a trace, or without one in any trace of the account.
///
/// # Errors
/// Those of `is_stored`.
pub fn invalid<E>(
    request: &WriteRequest,
    mut is_stored: impl FnMut(&SpanId, Option<&TraceId>) -> Result<bool, E>,
) -> Result<Vec<Option<Rejection>>, E> {
    if !request.check_parents {
        return Ok(Vec::new());
    }
    let mut given: HashMap<&SpanId, Vec<&Span>> = HashMap::new();
    for span in request.operations.iter().filter_map(WriteOperation::span) {
        given.entry(&span.id).or_default().push(span);
    }
    let on_a_cycle = on_a_cycle(&request.operations);
    let mut checked = Vec::with_capacity(request.operations.len());
    for (operation, on_a_cycle) in request.operations.iter().zip(on_a_cycle) {
        let child = operation.span().and_then(|span| Some((span, span.parent_id.as_ref()?)));
        let Some((span, parent)) = child else {
            checked.push(None);
            continue;
        };
        let namesakes = given.get(parent).map(Vec::as_slice).unwrap_or_default();
        checked.push(if on_a_cycle {
            Some(Rejection::parent_cycle())
        } else if namesakes.iter().any(|other| other.trace_id == span.trace_id)
            || is_stored(parent, Some(&span.trace_id))?
        {
            None
        } else if !namesakes.is_empty() || is_stored(parent, None)? {
            Some(Rejection::parent_in_another_trace())
        } else {
            None
        });
    }
    Ok(checked)
}

/// Says for each operation whether its span lies on a cycle of parents within the request.
///
/// Edges go from (trace id, id) to (trace id, parent id), over the spans that the request inserts or upserts;
/// patches take no part. When the request holds several versions of one identity, the edge of the version
/// that wins by the merge rule counts, and the answer holds for all of them. A span that merely descends from
/// a cycle is not on it. A span that is its own parent is.
pub fn on_a_cycle(operations: &[WriteOperation]) -> Vec<bool> {
    // Identities get numbers, so that each is hashed once as a span and once as a parent.
    let mut numbers: HashMap<(&str, &str), usize> = HashMap::with_capacity(operations.len());
    let mut winners: Vec<&Span> = Vec::with_capacity(operations.len());
    let mut number_of: Vec<Option<usize>> = Vec::with_capacity(operations.len());
    for operation in operations {
        number_of.push(operation.span().map(|span| {
            let number = *numbers.entry((span.trace_id.as_str(), span.id.as_str())).or_insert(winners.len());
            match winners.get_mut(number) {
                Some(winner) => {
                    if merge::decide(winner.is_completed(), span.is_completed()) == merge::Winner::Incoming {
                        *winner = span;
                    }
                }
                None => winners.push(span),
            }
            number
        }));
    }
    let parents: Vec<Option<usize>> = winners
        .iter()
        .map(|span| {
            let parent = span.parent_id.as_ref()?;
            numbers.get(&(span.trace_id.as_str(), parent.as_str())).copied()
        })
        .collect();
    let parent_of = |node: usize| parents.get(node).copied().flatten();

    // Every node has at most one edge, so that one walk colours a whole path: nodes seen in this walk have its
    // number, and meeting that number again closes a cycle.
    let mut walks: Vec<Option<usize>> = vec![None; parents.len()];
    let mut cyclic = vec![false; parents.len()];
    for start in 0..parents.len() {
        let mut next = Some(start);
        while let Some(node) = next {
            match walks.get_mut(node) {
                Some(walk @ None) => {
                    *walk = Some(start);
                    next = parent_of(node);
                }
                Some(Some(seen)) if *seen == start => {
                    let mut member = Some(node);
                    while let Some(node) = member
                        && let Some(is_cyclic @ false) = cyclic.get_mut(node)
                    {
                        *is_cyclic = true;
                        member = parent_of(node);
                    }
                    break;
                }
                _ => break,
            }
        }
    }
    number_of.iter().map(|number| number.is_some_and(|number| cyclic.get(number) == Some(&true))).collect()
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
