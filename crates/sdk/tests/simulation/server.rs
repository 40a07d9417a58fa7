//! A model of a destination: what it stores, and how it fails.

use std::collections::BTreeMap;
use std::time::Duration;

use endspan::DropReason;
use endspan::lane::{Failure, Outcome, Phase, SpanOutcome};
use fastrand::Rng;

use crate::log::Entry;

/// How a server treats requests for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Regime {
    Healthy,
    Unavailable,
    Failing,
    Throttling,
    Refusing,
    Hanging,
    ResetAfterApply,
    /// Takes a part of the request, and breaks off in the middle of its answer.
    HalfAnswering,
    Unauthorized,
    Flaky,
}

/// How a server treats spans that it does not like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Taste {
    /// Refuses the whole request.
    RefuseRequest,
    /// Fails on the whole request with a 500.
    FailRequest,
    /// Answers for each span.
    PerSpan,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) completed: bool,
    pub(crate) version: u32,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) regime: Regime,
    pub(crate) taste: Taste,
    pub(crate) latency: Duration,
    pub(crate) max_bytes: u32,
    pub(crate) stored: BTreeMap<u64, Stored>,
    pub(crate) starts_after_ends: u32,
    wilder: bool,
}

/// A request's fate: what the client will be told, and when. `None`: nothing, ever.
pub(crate) type Told = Option<(Duration, Outcome)>;

impl Server {
    pub(crate) fn new(random: &mut Rng, wilder: bool) -> Self {
        Self {
            regime: Regime::Healthy,
            taste: match random.u8(..3) {
                0 => Taste::RefuseRequest,
                1 => Taste::FailRequest,
                _ => Taste::PerSpan,
            },
            latency: Duration::from_millis(random.u64(0..300)),
            max_bytes: if random.bool() { u32::MAX } else { random.u32(3_000..50_000) },
            stored: BTreeMap::new(),
            starts_after_ends: 0,
            wilder,
        }
    }

    pub(crate) fn change(&mut self, random: &mut Rng) {
        self.regime = match random.u8(..10) {
            0 => Regime::Unavailable,
            1 => Regime::Failing,
            2 => Regime::Throttling,
            3 => Regime::Refusing,
            4 => Regime::Hanging,
            5 => Regime::ResetAfterApply,
            6 => Regime::Unauthorized,
            7 => Regime::Flaky,
            8 if self.wilder => Regime::HalfAnswering,
            _ => Regime::Healthy,
        };
    }

    /// Whether the destination would never take this record.
    pub(crate) fn dislikes(&self, entry: &Entry) -> bool {
        entry.span.is_multiple_of(97) && entry.span != 0 || entry.bytes > self.max_bytes
    }

    pub(crate) fn receive(&mut self, entries: &[Entry], random: &mut Rng) -> Told {
        let regime = match self.regime {
            Regime::Flaky => match random.u8(..4) {
                0 => Regime::Unavailable,
                1 => Regime::ResetAfterApply,
                2 => Regime::Hanging,
                _ if self.wilder && random.bool() => Regime::HalfAnswering,
                _ => Regime::Healthy,
            },
            regime => regime,
        };
        let failed = |status| Outcome::Retryable { after: None, failure: Failure::of_status(status) };
        let outcome = match regime {
            Regime::Healthy | Regime::Flaky => self.serve(entries),
            Regime::Unavailable => failed(503),
            Regime::Failing => failed(500),
            Regime::Throttling => {
                let after = random.bool().then(|| Duration::from_millis(random.u64(1..5000)));
                Outcome::Throttled { after }
            }
            Regime::Refusing => Outcome::Retryable { after: None, failure: Failure::NETWORK },
            Regime::Unauthorized => Outcome::Held(Failure::of_status(401)),
            Regime::Hanging => {
                if random.bool() {
                    self.serve(entries);
                }
                return None;
            }
            Regime::HalfAnswering => {
                let taken = random.usize(0..=entries.len());
                self.serve(entries.get(..taken).unwrap_or_default());
                Outcome::Retryable { after: None, failure: Failure::NETWORK }
            }
            Regime::ResetAfterApply => {
                self.serve(entries);
                Outcome::Retryable { after: None, failure: Failure::NETWORK }
            }
        };
        Some((self.latency.mul_f64(0.5 + random.f64()), outcome))
    }

    fn serve(&mut self, entries: &[Entry]) -> Outcome {
        let total: u64 = entries.iter().map(|entry| u64::from(entry.bytes)).sum();
        if total > u64::from(self.max_bytes) {
            return Outcome::TooLarge;
        }
        let any_disliked = entries.iter().any(|entry| self.dislikes(entry));
        if any_disliked {
            match self.taste {
                Taste::RefuseRequest => return Outcome::Rejected(Failure::of_status(422)),
                Taste::FailRequest => {
                    return Outcome::Retryable { after: None, failure: Failure::of_status(500) };
                }
                Taste::PerSpan => {}
            }
        }
        let outcomes = entries.iter().map(|entry| {
            if self.dislikes(entry) {
                return SpanOutcome::Dropped(DropReason::Rejected);
            }
            self.store(entry);
            SpanOutcome::Delivered
        });
        let outcomes: Vec<SpanOutcome> = outcomes.collect();
        if any_disliked { Outcome::PerSpan(outcomes) } else { Outcome::Delivered }
    }

    fn store(&mut self, entry: &Entry) {
        let completed = entry.phase == Phase::End;
        match self.stored.get_mut(&entry.span) {
            Some(stored) if stored.completed && !completed => self.starts_after_ends += 1,
            Some(stored) => *stored = Stored { completed, version: entry.version },
            None => {
                self.stored.insert(entry.span, Stored { completed, version: entry.version });
            }
        }
    }
}
