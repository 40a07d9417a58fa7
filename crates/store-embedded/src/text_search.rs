//! Which rows can hold a text, and which of them do.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use endspan_model::{AccountId, TraceId};
use endspan_store::text::TextQuery;

use crate::{
    block_filter::TermBits,
    columns::{Found, NameTexts, TextMasks},
    error::Result,
    filter_group,
    readers::Reading,
    row::SpanRow,
    text_scan::{Needles, Wanted, all_terms, scan_blocks},
};

/// The search for one text.
pub(crate) struct TextSearch<'q> {
    needles: Needles<'q>,
    masks: TextMasks,
    hits: HashSet<i64>,
    /// What the filters of blocks must hold, by term.
    bits: Vec<TermBits>,
    has_filters: bool,
}

impl<'q> TextSearch<'q> {
    pub(crate) fn new(
        reading: &Reading<'_>,
        account: Option<&AccountId>,
        text: &'q TextQuery,
        names: &NameTexts,
    ) -> Result<Self> {
        reading.shared.note_text_search();
        let mut traces = HashSet::new();
        for trace_id in text.trace_ids() {
            traces.extend(named_traces(reading, account, trace_id)?);
        }
        let masks = TextMasks {
            all: all_terms(text.terms().len()),
            has_terms: !text.terms().is_empty(),
            traces,
            ..TextMasks::default()
        };
        let mut search = Self {
            needles: Needles::new(text.terms()),
            masks,
            hits: HashSet::new(),
            bits: text.terms().iter().map(TermBits::new).collect(),
            has_filters: false,
        };
        search.name_all(names);
        Ok(search)
    }

    /// Learns which terms names hold.
    pub(crate) fn name_all(&mut self, names: &NameTexts) {
        self.masks.names = names.iter().map(|name| self.needles.of_name(name)).collect();
    }

    /// Reads what the filters say of the terms, once. Worth its while when the first blocks did not fill the page.
    pub(crate) fn read_filters(&mut self, reading: &Reading<'_>) -> Result<()> {
        if std::mem::replace(&mut self.has_filters, true) || self.bits.is_empty() {
            return Ok(());
        }
        let Self { bits, masks, .. } = self;
        let blocks = &mut masks.blocks;
        filter_group::each_block(reading.connection, bits, |block, held| {
            blocks.insert(block, held);
        })?;
        let mut filters = reading.connection.prepare_cached("SELECT block_key, filter FROM block_filters")?;
        let mut rows = filters.query([])?;
        while let Some(row) = rows.next()? {
            let filter = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            blocks.insert(row.get(0)?, held_by(bits, filter));
        }
        // After the snapshot began: what is in no group of it is here.
        reading.shared.fresh_filters.each(|block, filter| {
            blocks.insert(block, held_by(bits, filter));
        });
        Ok(())
    }

    /// Returns which rows can hold the text, as far as is known.
    pub(crate) fn masks(&self) -> &TextMasks {
        &self.masks
    }

    /// Looks through the blocks of candidates, those of the first candidates first. Returns the candidates that were looked
    /// at, and whether a deadline kept it from the others. Those with the first key are looked at in any case.
    pub(crate) fn look_through(
        &mut self,
        reading: &mut Reading<'_>,
        mut found: Vec<Found>,
        deadline: Option<Instant>,
    ) -> Result<(Vec<Found>, bool)> {
        self.hits.clear();
        let mut order: HashMap<u32, usize> = HashMap::new();
        let mut blocks: Vec<(i64, Wanted)> = Vec::new();
        let mut least = 0;
        let first_key = found.first().map(|found| found.key);
        for one in &found {
            let given = self.masks.of_name(one.name);
            let is_sure =
                self.masks.has_trace(one.trace) || (self.masks.has_terms && self.is_told_by_name(one));
            if is_sure || one.block == 0 {
                if is_sure || one.name == crate::columns::OTHER_NAME {
                    self.hits.insert(one.sequence);
                }
                continue;
            }
            let index = *order.entry(one.block).or_insert_with(|| {
                blocks.push((i64::from(one.block), Wanted::new()));
                blocks.len() - 1
            });
            if let Some((_, wanted)) = blocks.get_mut(index) {
                // A name that is not told apart is left to the row.
                let given = if one.name == crate::columns::OTHER_NAME { self.masks.all } else { given };
                wanted.insert(one.sequence, given);
            }
            if first_key == Some(one.key) {
                least = least.max(index + 1);
            }
        }
        let asked = blocks.len();
        let scanned = scan_blocks(reading, &self.needles, blocks, least, deadline)?;
        self.hits.extend(scanned.sequences);
        if scanned.blocks == asked {
            return Ok((found, false));
        }
        // Up to the last key of which everything was looked at.
        let is_open = |one: &Found| order.get(&one.block).is_some_and(|index| *index >= scanned.blocks);
        let end = found.iter().position(is_open).unwrap_or(found.len());
        let key = found.get(end).map(|one| one.key);
        let end = found.iter().position(|one| Some(one.key) == key).unwrap_or(end);
        found.truncate(end);
        Ok((found, true))
    }

    /// Returns whether one of these rows, which are as the snapshot has them, holds the text.
    pub(crate) fn any_holds(&self, reading: &mut Reading<'_>, rows: Vec<SpanRow>) -> Result<bool> {
        if !self.masks.has_terms {
            return Ok(false);
        }
        let mut blocks: HashMap<i64, Wanted> = HashMap::new();
        for row in rows {
            let given = self.needles.of_name(&row.span.name);
            if given == self.masks.all {
                return Ok(true);
            }
            if let Some(place) = row.place
                && (self.masks.of_block(place.block_key as u32) | given) == self.masks.all
            {
                blocks.entry(place.block_key).or_default().insert(row.sequence, given);
            }
        }
        Ok(!scan_blocks(reading, &self.needles, blocks.into_iter().collect(), 0, None)?.sequences.is_empty())
    }

    fn is_told_by_name(&self, found: &Found) -> bool {
        found.name != crate::columns::OTHER_NAME && self.masks.of_name(found.name) == self.masks.all
    }

    /// Returns whether a candidate that was looked at holds the text, or must be asked itself.
    pub(crate) fn hits(&self, found: &Found) -> bool {
        self.hits.contains(&found.sequence)
    }
}

/// Returns the terms that a block with this filter may hold.
fn held_by(bits: &[TermBits], filter: &[u8]) -> u16 {
    let held = bits.iter().enumerate().filter(|(_, bits)| bits.may_be_in(filter));
    held.fold(0, |held, (bit, _)| held | 1 << bit)
}

/// Returns the keys of the traces with an id in the form of a UUID, letter case aside.
fn named_traces(
    reading: &Reading<'_>,
    account: Option<&AccountId>,
    trace_id: &TraceId,
) -> Result<HashSet<u32>> {
    let lower = TraceId::from(trace_id.as_str().to_ascii_lowercase());
    let mut keys: HashSet<u32> =
        reading.trace_keys(account, &lower)?.into_iter().map(|(_, key)| key as u32).collect();
    // Ids with capital letters are stored as text; there are few.
    let mut others = reading.connection.prepare_cached(
        "SELECT trace_key FROM traces INDEXED BY traces_by_odd_id WHERE typeof(trace_id) = 'text' \
         AND length(trace_id) = 36 AND trace_id = ?1 COLLATE NOCASE",
    )?;
    for key in others.query_map([lower.as_str()], |row| row.get::<_, i64>(0))? {
        keys.insert(key? as u32);
    }
    Ok(keys)
}
