//! Random settings of a lane.

use std::time::Duration;

use endspan::lane::{LaneConfig, StartMode};
use fastrand::Rng;

pub(crate) fn config(random: &mut Rng) -> LaneConfig {
    let batch_spans = random.usize(1..50);
    LaneConfig {
        start_mode: match random.u8(..4) {
            0 | 1 => StartMode::EndOnly,
            2 => StartMode::Deferred(Duration::from_millis(random.u64(0..5000))),
            _ => StartMode::Every,
        },
        batch_spans,
        batch_spans_max: batch_spans * random.usize(1..5),
        batch_bytes: random.usize(1_000..100_000),
        linger: Duration::from_millis(random.u64(0..500)),
        concurrency: random.usize(1..6),
        max_attempts: (random.u8(..6) == 0).then(|| random.u32(1..5)),
        max_waiting: if random.u8(..6) == 0 { random.usize(1..50) } else { 0 },
        // A span that a server fails on, and that nothing else proves to be the cause, ends by its age.
        max_age: Some(Duration::from_secs(900)),
        request_timeout: Duration::from_millis(random.u64(500..10_000)),
        ..LaneConfig::default()
    }
}

/// Settings that the worlds of kept seeds do not know.
pub(crate) fn wilder(config: &mut LaneConfig, random: &mut Rng) {
    config.flush_spans = (random.u8(..4) == 0).then(|| random.usize(0..200));
    config.max_pending_bytes = if random.u8(..6) == 0 { random.u64(1..50_000) } else { 0 };
}
