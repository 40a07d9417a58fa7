use endspan_model::DropReason;

use crate::moment::Moment;

/// Identifies a span (trace id and id together) inside the pipeline: 128 bits of hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanKey(u128);

impl SpanKey {
    /// Hashes the identity of a span. Two spans share a key with a chance of 2^-128.
    pub fn of(trace_id: &str, id: &str) -> Self {
        let high = fold(trace_id.as_bytes(), fold(id.as_bytes(), 0x9E37_79B9_7F4A_7C15));
        let low = fold(id.as_bytes(), fold(trace_id.as_bytes(), 0xD1B5_4A32_D192_ED03));
        Self((u128::from(high) << 64) | u128::from(low))
    }

    /// Makes a key from a number, for tests and simulations that have no ids.
    pub const fn from_number(number: u128) -> Self {
        Self(number)
    }
}

impl std::hash::Hash for SpanKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.0 as u64);
    }
}

/// Hashes by multiplying and folding 64 bits at a time. Not keyed: the ids come from this process.
fn fold(bytes: &[u8], seed: u64) -> u64 {
    let mix = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ (product >> 64) as u64
    };
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(0xA076_1D64_78BD_642F);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0_u8; 8];
        word.copy_from_slice(chunk);
        state = mix(state ^ u64::from_le_bytes(word), 0xE703_7ED1_A0B4_28DB) ^ state.rotate_left(23);
    }
    let mut last = [0_u8; 8];
    for (to, from) in last.iter_mut().zip(chunks.remainder()) {
        *to = *from;
    }
    mix(state ^ u64::from_le_bytes(last), 0x8EBC_6AF0_9C88_C6E3)
}

/// A hasher for keys that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AlreadyHashed(u64);

impl std::hash::Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = fold(bytes, self.0);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

pub(crate) type KeyMap<V> =
    std::collections::HashMap<SpanKey, V, std::hash::BuildHasherDefault<AlreadyHashed>>;

/// Which half of a span a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The span began.
    Start,
    /// The span is complete.
    End,
}

impl Phase {
    /// Returns `start` or `end`, as metrics name them.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::End => "end",
        }
    }
}

/// What a lane knows of a record that it has to deliver.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// The caller's name for the record; comes back in effects.
    pub id: u64,
    /// Which span it belongs to.
    pub key: SpanKey,
    /// Which half of it.
    pub phase: Phase,
    /// Bytes of the record.
    pub bytes: u32,
    /// When the record was made.
    pub accepted: Moment,
    /// The destination may hold a version of this span from before (another attempt, another process).
    pub maybe_stored: bool,
}

/// Names a request of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A request that the lane wants sent.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Its name, to be given back with the outcome.
    pub request: RequestId,
    /// The half of the spans that it carries.
    pub phase: Phase,
    /// Its records in order, each with whether the destination may hold a version of the span already.
    pub items: Vec<(u64, bool)>,
    /// How often these records were sent before.
    pub attempt: u32,
}

/// The final fate of a record in one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// The destination has it.
    Delivered,
    /// A newer version of the span stands for it, so that it need not be sent.
    Superseded,
    /// It was given up.
    Dropped(DropReason),
}

/// What a lane wants done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Send a request.
    Send(Dispatch),
    /// Stop waiting for a request: its deadline has passed, its answer no longer matters.
    Cancel(RequestId),
    /// A record is done with.
    Resolve(u64, Resolution),
}
