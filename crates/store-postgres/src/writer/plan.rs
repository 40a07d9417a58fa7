//! What can be done about a group before it is its turn: the payloads of the versions that will win are compressed, and
//! their facets read. Of several versions of one identity only one reaches the database.

use std::collections::HashMap;

use endspan_model::{Facets, Span, merge};
use endspan_store::{
    WriteOperation, WriteRequest,
    engine::block::{BlockBuilder, Compressor},
};

use crate::{
    error::Result,
    shared::{KeyedHash, block_mark},
};

/// A place in a block that has no key yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedPlace {
    /// The index of the block.
    pub(crate) block: usize,
    pub(crate) offset: usize,
}

/// What is ready of one operation.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) facets: Facets,
    /// `None` when the span has no payloads.
    pub(crate) place: Option<PlannedPlace>,
}

/// The index of a request and of an operation in it.
pub(crate) type OperationIndex = (usize, usize);

/// What is ready of a group.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) blocks: Vec<NewBlock>,
    operations: HashMap<OperationIndex, Planned>,
}

impl Plan {
    pub(crate) fn get(&self, operation: OperationIndex) -> Option<&Planned> {
        self.operations.get(&operation)
    }
}

/// Prepares a group.
pub(crate) fn plan(requests: &[WriteRequest], keyed: KeyedHash, max_span_bytes: usize) -> Result<Plan> {
    let mut winners: HashMap<(&str, &str, &str), (OperationIndex, &Span)> = HashMap::new();
    for (request_index, request) in requests.iter().enumerate() {
        for (index, operation) in request.operations.iter().enumerate() {
            let Some(span) = operation.span().filter(|span| span.payload_bytes() <= max_span_bytes) else {
                continue;
            };
            let key = (request.account.as_str(), span.trace_id.as_str(), span.id.as_str());
            let place = (request_index, index);
            match winners.get_mut(&key) {
                None => drop(winners.insert(key, (place, span))),
                // An insert of an id that is there already changes nothing.
                Some(_) if matches!(operation, WriteOperation::Insert(_)) => {}
                Some(winner) => {
                    if merge::decide(winner.1.is_completed(), span.is_completed()) == merge::Winner::Incoming
                    {
                        *winner = (place, span);
                    }
                }
            }
        }
    }
    // The spans of a trace repeat one another: side by side they compress best.
    let mut order: Vec<_> = winners.into_iter().collect();
    order.sort_unstable_by(|(left, (at_left, _)), (right, (at_right, _))| {
        (left.0, left.1, at_left).cmp(&(right.0, right.1, at_right))
    });
    let mut encoder = Encoder::new()?;
    let mut operations = HashMap::with_capacity(order.len());
    for (_, (index, span)) in order {
        let place = encoder.push(keyed.hash(span.id.as_str()), span)?;
        operations.insert(index, Planned { facets: Facets::of(span), place });
    }
    Ok(Plan { blocks: encoder.finish()?, operations })
}

/// A block on its way to the database.
#[derive(Debug)]
pub(crate) struct NewBlock {
    pub(crate) frame: Vec<u8>,
    pub(crate) raw_bytes: usize,
    pub(crate) spans: usize,
}

/// Packs payloads into blocks.
pub(crate) struct Encoder {
    compressor: Compressor,
    builder: BlockBuilder,
    blocks: Vec<NewBlock>,
}

impl Encoder {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { compressor: Compressor::new()?, builder: BlockBuilder::default(), blocks: Vec::new() })
    }

    pub(crate) fn push(&mut self, id_hash: i64, span: &Span) -> Result<Option<PlannedPlace>> {
        if self.builder.lacks_room_for(span.payload_bytes()) {
            self.end_block()?;
        }
        let offset = self.builder.push(block_mark(id_hash), span);
        Ok(offset.map(|offset| PlannedPlace { block: self.blocks.len(), offset }))
    }

    pub(crate) fn finish(mut self) -> Result<Vec<NewBlock>> {
        if !self.builder.is_empty() {
            self.end_block()?;
        }
        Ok(self.blocks)
    }

    fn end_block(&mut self) -> Result<()> {
        let (raw_bytes, spans) = (self.builder.content().len(), self.builder.spans());
        self.blocks.push(NewBlock { frame: self.compressor.compress(&self.builder)?, raw_bytes, spans });
        self.builder.clear();
        Ok(())
    }
}
