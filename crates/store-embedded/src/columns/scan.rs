//! Finds the rows that may pass a filter, in the order of a key.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use endspan_model::{SpanType, Status};
use endspan_store::search::{SpanFilter, SpanSort};

use super::{
    View,
    names::OTHER_NAME,
    segment::{Column, NO_DURATION, Segment},
};
use crate::{id_index::AlreadyHashed, shared::KeyedHash};

/// A row that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The sort key, without nanoseconds.
    pub(crate) key: i64,
    pub(crate) sequence: i64,
    pub(crate) trace: u32,
    pub(crate) block: u32,
    pub(crate) name: u16,
}

/// A map by the key of a block.
pub(crate) type BlockMap<V> = HashMap<i64, V, std::hash::BuildHasherDefault<AlreadyHashed>>;

/// Which terms of a text a row may hold: a bit a term.
#[derive(Debug, Default)]
pub(crate) struct TextMasks {
    /// All terms.
    pub(crate) all: u16,
    /// Whether there are terms at all; else only traces count.
    pub(crate) has_terms: bool,
    /// Traces whose rows pass in any case.
    pub(crate) traces: HashSet<u32>,
    /// The terms that names hold, by number.
    pub(crate) names: Vec<u16>,
    /// The terms that payloads in a block may hold; a block that is not here may hold all.
    pub(crate) blocks: BlockMap<u16>,
}

impl TextMasks {
    pub(crate) fn of_name(&self, name: u16) -> u16 {
        // A name that is not told apart may hold anything.
        self.names.get(usize::from(name)).copied().unwrap_or(self.all)
    }

    pub(crate) fn has_trace(&self, trace: u32) -> bool {
        self.traces.contains(&trace)
    }

    pub(crate) fn of_block(&self, block: u32) -> u16 {
        match block {
            0 => 0,
            block => self.blocks.get(&i64::from(block)).copied().unwrap_or(self.all),
        }
    }
}

/// A column of hashes, and those that pass.
type OneOf = (fn(&Segment) -> &Column<u32>, Vec<u32>);

/// What to scan for.
pub(crate) struct Scan<'q> {
    filter: &'q SpanFilter,
    sort: SpanSort,
    descending: bool,
    accounts: Vec<u32>,
    statuses: Option<[bool; 256]>,
    types: Option<[bool; 256]>,
    names: Option<Vec<bool>>,
    hashes: Vec<OneOf>,
    durations: Option<(i64, i64)>,
    starts: (i64, i64),
}

impl<'q> Scan<'q> {
    pub(crate) fn new(
        filter: &'q SpanFilter,
        sort: SpanSort,
        descending: bool,
        accounts: &[i64],
        view: &View,
        keyed: KeyedHash,
    ) -> Self {
        let mut hashes: Vec<OneOf> = Vec::new();
        let mut one_of = |column: fn(&Segment) -> &Column<u32>, texts: &mut dyn Iterator<Item = &str>| {
            let mut wanted: Vec<u32> = texts.map(|text| keyed.text_hash(text)).collect();
            if !wanted.is_empty() {
                wanted.sort_unstable();
                wanted.dedup();
                hashes.push((column, wanted));
            }
        };
        one_of(|segment| &segment.parent, &mut filter.parent_ids.iter().map(|id| id.as_str()));
        one_of(|segment| &segment.group, &mut filter.group_id.iter().map(String::as_str));
        one_of(|segment| &segment.variant, &mut filter.application_variant_ids.iter().map(String::as_str));
        one_of(|segment| &segment.agent_id, &mut filter.agent_ids.iter().map(String::as_str));
        one_of(|segment| &segment.agent_name, &mut filter.agent_names.iter().map(String::as_str));
        one_of(|segment| &segment.acp_type, &mut filter.acp_types.iter().map(String::as_str));
        one_of(|segment| &segment.obs_trace, &mut filter.obs_trace_ids.iter().map(String::as_str));
        one_of(|segment| &segment.obs_span, &mut filter.obs_span_ids.iter().map(String::as_str));
        let table = |codes: &mut dyn Iterator<Item = u8>| {
            let mut table = [false; 256];
            for code in codes {
                if let Some(room) = table.get_mut(usize::from(code)) {
                    *room = true;
                }
            }
            table
        };
        // A completed span without a status counts as SUCCESS; whether it is completed the row will tell.
        let bare = filter.statuses.contains(&Status::Success).then_some(0);
        let statuses = (!filter.statuses.is_empty())
            .then(|| table(&mut filter.statuses.iter().map(|status| status.code()).chain(bare)));
        let bare = filter.types.contains(&SpanType::Standalone).then_some(0);
        let types = (!filter.types.is_empty())
            .then(|| table(&mut filter.types.iter().map(|one| one.code()).chain(bare)));
        let names = (!filter.names.is_empty()).then(|| {
            let mut table = vec![false; usize::from(u16::MAX) + 1];
            for number in view.wanted_names.iter().chain([&OTHER_NAME]) {
                if let Some(room) = table.get_mut(usize::from(*number)) {
                    *room = true;
                }
            }
            table
        });
        let (shortest, longest) = (filter.min_duration_micros, filter.max_duration_micros);
        let durations = (shortest.is_some() || longest.is_some())
            .then_some((shortest.unwrap_or(NO_DURATION + 1), longest.unwrap_or(i64::MAX)));
        let starts = (
            filter.start_from.map_or(i64::MIN, |from| from.unix_micros()),
            filter.start_to.map_or(i64::MAX, |to| to.unix_micros()),
        );
        Self {
            filter,
            sort,
            descending,
            accounts: accounts.iter().map(|key| *key as u32).collect(),
            statuses,
            types,
            names,
            hashes,
            durations,
            starts,
        }
    }

    /// Returns at least `most` rows that come first among those whose key lies at or beyond `from` in the order of
    /// the scan, or all there are; those with the last key all of them. Says whether there may be more.
    pub(crate) fn first(
        &self,
        view: &View,
        from: Option<i64>,
        most: usize,
        text: Option<&TextMasks>,
        also: &[Found],
    ) -> (Vec<Found>, bool) {
        // From here on smaller ranks come first.
        let rank = |key: i64| if self.descending { !key } else { key };
        let from = from.map_or(i64::MIN, rank);
        let mut best: Vec<Found> = also.iter().filter(|found| rank(found.key) >= from).copied().collect();
        let mut worst = i64::MAX;
        let mut is_cut = false;
        let mut segments: Vec<(i64, i64, &Segment)> = view
            .segments
            .iter()
            .map(|segment| {
                let (low, high) = self.bounds(segment);
                if self.descending { (rank(high), rank(low), &**segment) } else { (low, high, &**segment) }
            })
            .collect();
        segments.sort_by_key(|(first, ..)| *first);
        let mut passes = Vec::new();
        for (first, last, segment) in segments {
            if first > worst {
                is_cut = true;
                break;
            }
            let starts = segment.starts();
            if last < from || starts.1 < self.starts.0 || starts.0 > self.starts.1 {
                continue;
            }
            self.mark(segment, text, &mut passes);
            each_marked(&passes, |at| {
                let rank = rank(self.key(segment, at));
                if rank < from {
                    return;
                }
                if rank > worst {
                    is_cut = true;
                    return;
                }
                let found = Found {
                    key: self.key(segment, at),
                    sequence: segment.sequence(at),
                    trace: segment.trace.get(at),
                    block: segment.block.get(at),
                    name: segment.name.get(at),
                };
                if view.rewritten.is_empty() || !view.rewritten.contains(&found.sequence) {
                    best.push(found);
                }
            });
            if best.len() >= most.saturating_mul(2) && most > 0 {
                let (_, last, _) = best.select_nth_unstable_by_key(most - 1, |found| rank(found.key));
                worst = rank(last.key);
                let before = best.len();
                best.retain(|found| rank(found.key) <= worst);
                is_cut |= best.len() < before;
            }
        }
        best.sort_unstable_by_key(|found| (rank(found.key), Reverse(found.block), found.sequence));
        if let Some(last) = most.checked_sub(1).and_then(|last| best.get(last)) {
            let worst = rank(last.key);
            let end = best.partition_point(|found| rank(found.key) <= worst);
            is_cut |= end < best.len();
            best.truncate(end);
        }
        (best, is_cut)
    }

    fn bounds(&self, segment: &Segment) -> (i64, i64) {
        match self.sort {
            SpanSort::StartTime => segment.starts(),
            // A span may end before it begins.
            SpanSort::Duration => (i64::MIN, segment.longest_duration()),
            SpanSort::InputTokens | SpanSort::OutputTokens => (i64::MIN, i64::MAX),
        }
    }

    fn key(&self, segment: &Segment, at: usize) -> i64 {
        match self.sort {
            SpanSort::StartTime => segment.start.get(at),
            SpanSort::Duration => match segment.duration.get(at) {
                NO_DURATION => 0,
                duration => duration,
            },
            SpanSort::InputTokens => segment.input_tokens.get(at),
            SpanSort::OutputTokens => segment.output_tokens.get(at),
        }
    }

    /// Marks the rows of a segment that may pass.
    fn mark(&self, segment: &Segment, text: Option<&TextMasks>, passes: &mut Vec<bool>) {
        passes.clear();
        passes.resize(segment.len(), true);
        match &*self.accounts {
            [account] => narrow(passes, &segment.account, |value| value == *account),
            accounts => narrow(passes, &segment.account, |value| accounts.contains(&value)),
        }
        if let Some(table) = &self.statuses {
            narrow(passes, &segment.status, |code| {
                table.get(usize::from(code)).is_some_and(|passes| *passes)
            });
        }
        if let Some(table) = &self.types {
            narrow(passes, &segment.span_type, |code| {
                table.get(usize::from(code)).is_some_and(|passes| *passes)
            });
        }
        if let Some(table) = &self.names {
            narrow(passes, &segment.name, |name| table.get(usize::from(name)).is_some_and(|passes| *passes));
        }
        if let Some((shortest, longest)) = self.durations {
            narrow(passes, &segment.duration, |duration| {
                duration != NO_DURATION && duration >= shortest && duration <= longest
            });
        }
        if self.filter.parents_only {
            narrow(passes, &segment.parent, |parent| parent == 0);
        }
        for (column, wanted) in &self.hashes {
            match &**wanted {
                [one] => narrow(passes, column(segment), |value| value == *one),
                wanted => narrow(passes, column(segment), |value| wanted.binary_search(&value).is_ok()),
            }
        }
        let starts = segment.starts();
        if starts.0 < self.starts.0 || starts.1 > self.starts.1 {
            narrow(passes, &segment.start, |start| start >= self.starts.0 && start <= self.starts.1);
        }
        if let Some(text) = text {
            narrow_by_text(passes, segment, text);
        }
    }
}

impl View {
    /// Returns the traces of accounts with a row that may hold a text.
    pub(crate) fn traces_with(&self, text: &TextMasks, accounts: &[i64]) -> HashSet<u32> {
        let accounts: Vec<u32> = accounts.iter().map(|key| *key as u32).collect();
        let mut traces = HashSet::new();
        let mut passes = Vec::new();
        for segment in &self.segments {
            passes.clear();
            passes.resize(segment.len(), true);
            narrow(&mut passes, &segment.account, |value| accounts.contains(&value));
            narrow_by_text(&mut passes, segment, text);
            each_marked(&passes, |at| {
                traces.insert(segment.trace.get(at));
            });
        }
        traces
    }
}

/// Takes away the marks of rows whose value does not pass.
fn narrow<T: Copy + PartialEq + Default>(passes: &mut [bool], column: &Column<T>, test: impl Fn(T) -> bool) {
    match column {
        Column::Same(value) if test(*value) => {}
        Column::Same(_) => passes.fill(false),
        Column::Each(values) => {
            for (passes, value) in passes.iter_mut().zip(values) {
                *passes &= test(*value);
            }
        }
    }
}

fn narrow_by_text(passes: &mut [bool], segment: &Segment, text: &TextMasks) {
    // Neighbours share blocks.
    let mut latest = (0, 0);
    for (at, passes) in passes.iter_mut().enumerate().filter(|(_, passes)| **passes) {
        let block = segment.block.get(at);
        if latest.0 != block {
            latest = (block, text.of_block(block));
        }
        *passes = (text.has_terms && (latest.1 | text.of_name(segment.name.get(at))) == text.all)
            || text.has_trace(segment.trace.get(at));
    }
}

/// Calls for each mark with its place.
fn each_marked(passes: &[bool], mut each: impl FnMut(usize)) {
    for (index, chunk) in passes.chunks(64).enumerate() {
        if chunk.iter().any(|passes| *passes) {
            for (offset, _) in chunk.iter().enumerate().filter(|(_, passes)| **passes) {
                each(index * 64 + offset);
            }
        }
    }
}
