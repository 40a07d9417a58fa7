use std::time::Duration;

use endspan_model::DropReason;

use super::*;
use crate::moment::Moment;

/// A lane on a clock that the test moves.
struct Bench {
    lane: Lane,
    now: Moment,
    next_id: u64,
    sent: Vec<Dispatch>,
    resolved: Vec<(u64, Resolution)>,
    cancelled: Vec<RequestId>,
}

const MS: fn(u64) -> Duration = Duration::from_millis;
const REJECTED: Outcome = Outcome::Rejected(Failure::OTHER);

fn failed(status: u16) -> Outcome {
    Outcome::Retryable { after: None, failure: Failure::of_status(status) }
}

impl Bench {
    fn new(config: LaneConfig) -> Self {
        let lane = Lane::new(config, 7);
        Self { lane, now: Moment::ZERO, next_id: 0, sent: vec![], resolved: vec![], cancelled: vec![] }
    }

    fn accept(&mut self, key: u128, phase: Phase) -> u64 {
        self.accept_sized(key, phase, 100)
    }

    fn accept_sized(&mut self, key: u128, phase: Phase, bytes: u32) -> u64 {
        self.next_id += 1;
        let key = SpanKey::from_number(key);
        self.lane.accept(Item {
            id: self.next_id,
            key,
            phase,
            bytes,
            accepted: self.now,
            maybe_stored: false,
        });
        self.collect();
        self.next_id
    }

    fn collect(&mut self) {
        let mut effects = Vec::new();
        self.lane.take_effects(&mut effects);
        for effect in effects {
            match effect {
                Effect::Send(dispatch) => self.sent.push(dispatch),
                Effect::Cancel(request) => self.cancelled.push(request),
                Effect::Resolve(id, resolution) => self.resolved.push((id, resolution)),
            }
        }
        assert!(self.lane.counts().is_conserved(), "{:?}", self.lane.counts());
    }

    fn poll(&mut self) {
        self.lane.poll(self.now);
        self.collect();
    }

    /// Moves the clock, and polls at every wake-up that the lane asked for.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.poll();
            let next = self.lane.next_wakeup();
            if next > end {
                break;
            }
            assert!(next > self.now || self.lane.next_wakeup() > self.now, "the lane does not come to rest");
            self.now = next.max(self.now);
        }
        self.now = end;
        self.poll();
    }

    fn take_sent(&mut self) -> Vec<Dispatch> {
        std::mem::take(&mut self.sent)
    }

    fn complete(&mut self, request: RequestId, outcome: &Outcome) {
        self.lane.complete(request, outcome, self.now);
        self.collect();
    }

    fn ids(dispatch: &Dispatch) -> Vec<u64> {
        dispatch.items.iter().map(|(id, _)| *id).collect()
    }

    /// Answers everything by a rule until nothing is left to send, or the time is up.
    fn serve(&mut self, time: Duration, mut answer: impl FnMut(&Dispatch) -> Outcome) -> usize {
        let end = self.now + time;
        let mut requests = 0;
        loop {
            self.poll();
            let sent = self.take_sent();
            requests += sent.len();
            if sent.is_empty() {
                let next = self.lane.next_wakeup();
                if next > end {
                    self.now = end;
                    return requests;
                }
                self.now = next.max(self.now);
            }
            for dispatch in sent {
                let outcome = answer(&dispatch);
                self.complete(dispatch.request, &outcome);
            }
        }
    }

    fn count(&self, resolution: Resolution) -> usize {
        self.resolved.iter().filter(|(_, other)| *other == resolution).count()
    }
}

mod batching;
mod failures;
mod order;
