//! The tree that the spans of a trace make up, whatever their parents say.

use std::collections::HashMap;

use endspan_model::{Span, SpanId};

/// Who stands below whom. Spans go by their places in the list that the tree was made from.
pub(super) struct Tree {
    parents: Vec<Option<usize>>,
    /// Every place, children before parents.
    upwards: Vec<usize>,
}

impl Tree {
    /// Reads the parents. One that is missing, or the span itself, is none; where they go in a circle, the earliest
    /// span in it (by start, then id) is taken for a root.
    pub(super) fn new<'a>(spans: impl Iterator<Item = &'a Span>) -> Self {
        let spans: Vec<&Span> = spans.collect();
        let mut places: HashMap<&SpanId, usize> = HashMap::with_capacity(spans.len());
        for (place, span) in spans.iter().enumerate() {
            places.entry(&span.id).or_insert(place);
        }
        let parent = |(place, span): (usize, &&Span)| {
            let parent = span.parent_id.as_ref().and_then(|id| places.get(id).copied());
            parent.filter(|parent| *parent != place)
        };
        let mut parents: Vec<Option<usize>> = spans.iter().enumerate().map(parent).collect();
        break_circles(&mut parents, &spans);

        let mut open_children = vec![0_usize; spans.len()];
        for parent in parents.iter().flatten() {
            if let Some(count) = open_children.get_mut(*parent) {
                *count += 1;
            }
        }
        let mut upwards: Vec<usize> = open_children
            .iter()
            .enumerate()
            .filter(|(_, count)| **count == 0)
            .map(|(place, _)| place)
            .collect();
        let mut next = 0;
        while let Some(&place) = upwards.get(next) {
            next += 1;
            let Some(parent) = parents.get(place).copied().flatten() else { continue };
            if let Some(count) = open_children.get_mut(parent) {
                *count -= 1;
                if *count == 0 {
                    upwards.push(parent);
                }
            }
        }
        Self { parents, upwards }
    }

    /// Hands every span's value, complete with what came from below it, to its parent's: `fold(value, place of the
    /// span, parent's value)`.
    pub(super) fn fold_up<T>(&self, values: &mut [T], mut fold: impl FnMut(&T, usize, &mut T)) {
        for &place in &self.upwards {
            let Some(parent) = self.parents.get(place).copied().flatten() else { continue };
            if let Ok([value, into]) = values.get_disjoint_mut([place, parent]) {
                fold(value, place, into);
            }
        }
    }
}

/// Takes one parent out of every circle.
fn break_circles(parents: &mut [Option<usize>], spans: &[&Span]) {
    /// On which walk a place was seen first; 0 is none.
    type Walk = usize;
    let mut seen: Vec<Walk> = vec![0; parents.len()];
    for start in 0..parents.len() {
        let walk = start + 1;
        let mut at = Some(start);
        while let Some(place) = at {
            match seen.get_mut(place) {
                Some(mark) if *mark == 0 => *mark = walk,
                Some(mark) if *mark == walk => {
                    let root = earliest_of_circle(place, parents, spans);
                    if let Some(parent) = parents.get_mut(root) {
                        *parent = None;
                    }
                    break;
                }
                _ => break,
            }
            at = parents.get(place).copied().flatten();
        }
    }
}

fn earliest_of_circle(start: usize, parents: &[Option<usize>], spans: &[&Span]) -> usize {
    let key = |place: usize| spans.get(place).map(|span| (span.start_time, span.id.as_str()));
    let mut earliest = start;
    let mut at = parents.get(start).copied().flatten();
    while let Some(place) = at.filter(|place| *place != start) {
        if key(place) < key(earliest) {
            earliest = place;
        }
        at = parents.get(place).copied().flatten();
    }
    earliest
}
