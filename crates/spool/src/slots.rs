//! Records that are held in slots of their own while something lasts, and let go when it is over.
//!
//! A segment file of fixed places beside the log: what is held when the process dies is recovered like any other
//! record; what was let go leaves nothing to read. A producer takes a place by a bit in a word that is its thread's
//! before it is others', so that threads seldom meet.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::filesystem::Filesystem;
use crate::format::{self, Head, MAX_HELD_BYTES, SLOT_BYTES, SegmentHeader};
use crate::instance::segment_name;
use crate::memory::{Region, Slot};
use crate::publication::{give, take};
use crate::recovery::DamageKind;
use crate::scan::{Scan, is_intact};
use crate::segment::Aligned;

/// Most records that can be held at a time: two thousand open spans in 1 MiB.
pub(crate) const MAX_SLOTS: usize = 2048;

/// Places in a row that a thread begins to look in: two cache lines of flags.
const ROW_PLACES: usize = 64;
/// How many records a thread does not try to hold after it found every place taken.
const PAUSE: u32 = 64;

/// Tells the places of one log from those of another, also across a fork.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A record held by [`Log::hold`](crate::Log::hold), to be given to [`Log::append_releasing`](crate::Log::append_releasing)
/// or [`Log::release`](crate::Log::release). Dropped, the record stays held until the log is closed, and is there for the next
/// process.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    id: u64,
    index: u32,
}

/// The places of one log.
#[derive(Debug)]
pub(crate) struct Slots {
    id: u64,
    region: Arc<Region>,
    start: usize,
    salt: u32,
    pub(crate) path: PathBuf,
    /// For each place, whether it is taken.
    taken: Vec<Aligned<[AtomicBool; ROW_PLACES]>>,
    places: usize,
    /// Another process owns the file: nothing more is held.
    closed: AtomicBool,
}

impl Slots {
    /// Returns the length of the file for this many records after a user header of this length.
    pub(crate) fn file_bytes(records: usize, user_header_bytes: usize) -> usize {
        (format::data_start(user_header_bytes) + records.min(MAX_SLOTS) * SLOT_BYTES)
            .next_multiple_of(crate::options::PAGE_BYTES)
    }

    /// Takes over a blank file whose header is written.
    pub(crate) fn new(region: Region, start: usize, salt: u32, path: PathBuf) -> Self {
        let places = (region.len().saturating_sub(start) / SLOT_BYTES).min(MAX_SLOTS);
        let taken = (0..places.div_ceil(ROW_PLACES))
            .map(|_| Aligned([const { AtomicBool::new(false) }; ROW_PLACES]))
            .collect();
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Self {
            id,
            region: Arc::new(region),
            start,
            salt,
            path,
            taken,
            places,
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// Returns how many records are held.
    pub(crate) fn held(&self) -> u64 {
        self.taken.iter().flat_map(|row| &row.0).map(|taken| u64::from(taken.load(Ordering::Relaxed))).sum()
    }

    /// From here on nothing is held any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Holds a record. `None` when it is too long or no place is free.
    #[inline]
    pub(crate) fn hold(&self, head: &Head, parts: &[&[u8]]) -> Option<Held> {
        if head.payload_bytes as usize > MAX_HELD_BYTES || self.closed.load(Ordering::Relaxed) {
            return None;
        }
        let index = self.take()?;
        self.region.fill_slot(self.offset(index), self.salt, head, parts);
        Some(Held { id: self.id, index })
    }

    /// Says where the record is going to be that takes the place of a held one.
    #[inline]
    pub(crate) fn note_successor(&self, held: &Held, sequence: u64, offset: u32) {
        if held.id == self.id {
            self.region.store_successor(self.offset(held.index), sequence, offset);
        }
    }

    /// Lets a record go.
    #[inline]
    pub(crate) fn release(&self, held: &Held) {
        if held.id != self.id {
            return;
        }
        self.region.clear_slot(self.offset(held.index));
        if let Some(taken) = self.flag(held.index as usize) {
            give(taken);
        }
        let _ = LOOK.try_with(|look| look.set(Look { first: held.index, pause: 0 }));
    }

    fn flag(&self, index: usize) -> Option<&AtomicBool> {
        self.taken.get(index / ROW_PLACES)?.0.get(index % ROW_PLACES)
    }

    fn offset(&self, index: u32) -> usize {
        self.start + index as usize * SLOT_BYTES
    }

    /// Takes a free place.
    #[inline]
    fn take(&self) -> Option<u32> {
        let look = LOOK.try_with(Cell::get).unwrap_or(Look::NOWHERE);
        let first = self.flag(look.first as usize).filter(|_| (look.first as usize) < self.places);
        if first.is_some_and(take) {
            let _ = LOOK.try_with(|next| next.set(Look { first: look.first + 1, pause: 0 }));
            return Some(look.first);
        }
        self.take_elsewhere(look)
    }

    #[cold]
    fn take_elsewhere(&self, look: Look) -> Option<u32> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);

        let set = |look| {
            let _ = LOOK.try_with(|next| next.set(look));
        };
        if look.pause > 0 {
            set(Look { pause: look.pause - 1, ..look });
            return None;
        }
        let first = if (look.first as usize) < self.places {
            look.first as usize
        } else {
            THREADS.fetch_add(1, Ordering::Relaxed) * ROW_PLACES % self.places.max(1)
        };
        for index in (first..self.places).chain(0..first) {
            if self.flag(index).is_some_and(take) {
                set(Look { first: index as u32 + 1, pause: 0 });
                return Some(index as u32);
            }
        }
        set(Look { first: first as u32, pause: PAUSE });
        None
    }
}

/// Where a thread looks for a free place first.
#[derive(Clone, Copy)]
struct Look {
    first: u32,
    /// How many times it does not look, since every place was taken.
    pause: u32,
}

impl Look {
    const NOWHERE: Self = Self { first: u32::MAX, pause: 0 };
}

thread_local! {
    static LOOK: Cell<Look> = const { Cell::new(Look::NOWHERE) };
}

/// Reads what a dead process held. What it was just letting go counts by whether its successor is in the log.
pub(crate) fn scan(
    region: &Region,
    header: &SegmentHeader,
    salt: u32,
    files: &Filesystem,
    directory: &Path,
) -> Scan {
    let mut found = Scan::default();
    let mut at = header.data_start();
    while at + SLOT_BYTES <= region.len() {
        match region.slot(at) {
            Slot::Record(head)
                if head.payload_bytes as usize <= MAX_HELD_BYTES && is_intact(region, at, &head, salt) =>
            {
                let is_over = region
                    .successor(at)
                    .is_some_and(|(sequence, offset)| is_appended(files, directory, sequence, offset));
                if !is_over {
                    found.records.push((at as u32, head));
                }
            }
            Slot::Record(_) => found.damage.push((at, SLOT_BYTES, 1, DamageKind::Checksum)),
            Slot::Invalid => found.damage.push((at, SLOT_BYTES, 0, DamageKind::Garbage)),
            // Free, or `hold` had not returned.
            Slot::Empty | Slot::Reserved { .. } => {}
        }
        at += SLOT_BYTES;
    }
    found
}

/// Whether a record was published at a place in a segment. Where the segment is gone, it was, and is done with.
fn is_appended(files: &Filesystem, directory: &Path, sequence: u64, offset: u32) -> bool {
    use std::io::{Read as _, Seek as _, SeekFrom};

    let Ok((mut file, _)) = files.open(&directory.join(segment_name(sequence))) else { return true };
    let mut magic = [0; 8];
    let mut head = [0; format::RECORD_HEAD_BYTES];
    let read = file
        .read_exact(&mut magic)
        .and_then(|()| file.seek(SeekFrom::Start(u64::from(offset))))
        .and_then(|_| file.read_exact(&mut head));
    if magic == format::MAGIC_FREE {
        return true;
    }
    let word = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    read.is_ok() && word & format::STATE_MASK == format::PUBLISHED && head[13] == format::RECORD_MAGIC
}
