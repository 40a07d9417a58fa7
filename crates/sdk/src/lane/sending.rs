//! Which records go out when, and what an answer means for them.

use std::time::Duration;

use endspan_model::DropReason;

use super::circuit::full_jitter;
use super::entries::{Place, Slot};
use super::machine::InFlight;
use super::retry::{History, RetryBatch, Suspicion};
use super::{Dispatch, Effect, Failure, Lane, Outcome, Phase, RequestId, Resolution, SpanOutcome, StartMode};
use crate::moment::Moment;

/// Least bytes to which a lane shrinks its requests when a destination finds them too large.
const LEAST_BATCH_BYTES: usize = 4 * 1024;

/// What to send next.
enum Choice {
    Retry(usize),
    Starts,
    Ends,
}

impl Lane {
    /// Cuts short every wait of our own making, until [`Lane::relax`]: linger, deferred starts, back-off.
    pub fn hurry(&mut self, now: Moment) {
        if !self.hurried {
            self.hurried = true;
            self.circuit.hurry(now);
            for batch in &mut self.retries {
                batch.not_before = batch.not_before.min(now);
            }
        }
    }

    /// Goes back to normal waits after [`Lane::hurry`].
    pub const fn relax(&mut self) {
        self.hurried = false;
    }

    /// Sends what may go out now and gives up on what took too long.
    pub fn poll(&mut self, now: Moment) {
        self.pass_deadlines(now);
        self.prune(Phase::Start);
        self.prune(Phase::End);
        while self.has_room() && self.circuit.paused_until() <= now {
            match self.choose(now) {
                Some(Choice::Retry(index)) => self.send_retry(index, now),
                Some(Choice::Starts) => self.send_fresh(Phase::Start, now),
                Some(Choice::Ends) => self.send_fresh(Phase::End, now),
                None => break,
            }
        }
        debug_assert!(self.counts.is_conserved(), "{:?}", self.counts);
    }

    fn has_room(&self) -> bool {
        let limit = if self.circuit.is_probing() { 1 } else { self.config.concurrency };
        self.in_flight.len() < limit
    }

    fn pass_deadlines(&mut self, now: Moment) {
        let late: Vec<RequestId> = self
            .in_flight
            .iter()
            .filter(|(_, request)| request.deadline <= now)
            .map(|(request, _)| *request)
            .collect();
        for request in late {
            self.effects.push(Effect::Cancel(request));
            let outcome = Outcome::Retryable { after: None, failure: Failure::TIMEOUT };
            self.complete(request, &outcome, now);
        }
    }

    fn choose(&self, now: Moment) -> Option<Choice> {
        let probing = self.circuit.is_probing();
        let retry = self
            .retries
            .iter()
            .enumerate()
            .filter(|(_, batch)| batch.not_before <= now)
            .min_by_key(|(_, batch)| if probing { batch.history.attempts } else { 0 });
        let fresh = if self.fresh_ready_at(Phase::Start) <= now {
            Some(Choice::Starts)
        } else if self.fresh_ready_at(Phase::End) <= now {
            Some(Choice::Ends)
        } else {
            None
        };
        match retry {
            // A batch that fails over and over must not keep a destination looking dead: now and then
            // something else is the probe.
            Some((index, batch)) => {
                let stale = probing && batch.history.attempts >= 2;
                match fresh {
                    Some(fresh) if stale && self.retries.len() <= self.config.concurrency => Some(fresh),
                    _ => Some(Choice::Retry(index)),
                }
            }
            None => fresh,
        }
    }

    /// Lets go of dead slots: those at the head always, the others when they are the most.
    fn prune(&mut self, phase: Phase) {
        let queue = match phase {
            Phase::Start => &mut self.starts,
            Phase::End => &mut self.ends,
        };
        while let Some(&slot) = queue.slots.front()
            && !self.entries.is_live(slot)
        {
            queue.slots.pop_front();
            self.entries.free(slot);
        }
        if queue.slots.len() > 2 * queue.live + 1024 {
            queue.slots.retain(|slot| {
                let live = self.entries.is_live(*slot);
                if !live {
                    self.entries.free(*slot);
                }
                live
            });
        }
    }

    /// Returns when the queue of a phase has something to send, as far as known now.
    fn fresh_ready_at(&self, phase: Phase) -> Moment {
        let queue = match phase {
            Phase::Start => &self.starts,
            Phase::End => &self.ends,
        };
        let live = |slot: &Slot| self.entries.get(*slot).filter(|entry| entry.place == Place::Waiting);
        let Some(first) = queue.slots.iter().find_map(live) else { return Moment::NEVER };
        if self.hurried {
            return Moment::ZERO;
        }
        match (phase, self.config.start_mode) {
            (Phase::Start, StartMode::Deferred(delay)) => first.item.accepted + delay,
            _ if queue.flushing > 0 => Moment::ZERO,
            _ if queue.bytes >= self.batch_bytes
                || queue.live >= self.config.flush_spans.unwrap_or(self.config.batch_spans) =>
            {
                Moment::ZERO
            }
            _ => first.item.accepted + self.config.linger,
        }
    }

    fn send_fresh(&mut self, phase: Phase, now: Moment) {
        let deferred = match (phase, self.config.start_mode) {
            (Phase::Start, StartMode::Deferred(delay)) if !self.hurried => Some(delay),
            _ => None,
        };
        let queue = match phase {
            Phase::Start => &mut self.starts,
            Phase::End => &mut self.ends,
        };
        if self.config.flush_spans.is_some() && queue.flushing == 0 {
            queue.flushing = queue.live;
        }
        let most = if queue.live > self.config.batch_spans {
            self.config.batch_spans_max
        } else {
            self.config.batch_spans
        };
        // What came after a flush began waits for the next.
        let most = if queue.flushing > 0 { most.min(queue.flushing) } else { most };
        let mut slots = Vec::new();
        let mut expired = Vec::new();
        let mut bytes = 0;
        while let Some(&slot) = queue.slots.front() {
            let Some(entry) = self.entries.get(slot) else {
                queue.slots.pop_front();
                continue;
            };
            if entry.place == Place::Dead {
                queue.slots.pop_front();
                self.entries.free(slot);
                continue;
            }
            if self.config.max_age.is_some_and(|age| entry.item.accepted + age <= now) {
                expired.push(slot);
                queue.slots.pop_front();
                continue;
            }
            let size = entry.item.bytes as usize;
            let too_early = deferred.is_some_and(|delay| entry.item.accepted + delay > now);
            let too_many = slots.len() >= most || (!slots.is_empty() && bytes + size > self.batch_bytes);
            if too_early || too_many {
                break;
            }
            queue.slots.pop_front();
            bytes += size;
            slots.push(slot);
        }
        for slot in expired {
            self.settle(slot, Resolution::Dropped(DropReason::Expired));
            self.entries.free(slot);
        }
        for slot in &slots {
            if let Some(item) = self.entries.get(*slot).map(|entry| entry.item) {
                let queue = self.queue_of(phase);
                queue.flushing = queue.flushing.saturating_sub(1);
                self.leave_queue(&item);
            }
        }
        self.send(slots, phase, History::default(), now);
    }

    fn send_retry(&mut self, index: usize, now: Moment) {
        let Some(batch) = self.retries.remove(index) else { return };
        let mut slots = Vec::with_capacity(batch.slots.len());
        let mut phase = Phase::End;
        for slot in batch.slots {
            let Some(entry) = self.entries.get(slot).copied() else { continue };
            let expired = self.config.max_age.is_some_and(|age| entry.item.accepted + age <= now);
            if entry.place == Place::Dead {
                self.entries.free(slot);
            } else if expired {
                self.settle(slot, Resolution::Dropped(DropReason::Expired));
                self.entries.free(slot);
            } else {
                phase = entry.item.phase;
                slots.push(slot);
            }
        }
        self.send(slots, phase, batch.history, now);
    }

    fn send(&mut self, slots: Vec<Slot>, phase: Phase, mut history: History, now: Moment) {
        if slots.is_empty() {
            return;
        }
        let mut items = Vec::with_capacity(slots.len());
        let mut bytes = 0;
        for slot in &slots {
            if let Some(entry) = self.entries.get_mut(*slot) {
                entry.place = Place::InFlight;
                bytes += entry.item.bytes as usize;
                items.push((entry.item.id, entry.item.maybe_stored || history.attempts > 0));
            }
        }
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.counts.requests += 1;
        self.counts.retried_requests += u64::from(history.attempts > 0);
        let attempt = history.attempts;
        history.attempts += 1;
        let deadline = now + self.config.request_timeout;
        self.in_flight.insert(request, InFlight { slots, history, bytes, deadline });
        self.effects.push(Effect::Send(Dispatch { request, phase, items, attempt }));
    }

    /// Takes the outcome of a request. Outcomes of requests that were cancelled, or never made, change nothing.
    pub fn complete(&mut self, request: RequestId, outcome: &Outcome, now: Moment) {
        let Some(mut sent) = self.in_flight.remove(&request) else { return };
        self.counts.failed_requests += u64::from(outcome.failure().is_some());
        match outcome {
            Outcome::Delivered => {
                self.succeeded();
                for slot in sent.slots {
                    self.settle(slot, Resolution::Delivered);
                }
            }
            Outcome::PerSpan(outcomes) => {
                self.succeeded();
                self.complete_each(sent, outcomes, now);
            }
            Outcome::Retryable { after, failure } => {
                match after {
                    Some(wait) => self.circuit.asked_to_wait(now, *wait),
                    None => self.circuit.failed(&self.config, now, &mut self.random),
                }
                let suspicion = if failure.may_be_content() && after.is_none() {
                    sent.history.suspect(self.successes, sent.slots.len())
                } else {
                    Suspicion::None
                };
                let wait = after.unwrap_or_else(|| self.backoff_of(&sent.history));
                match suspicion {
                    Suspicion::Drop => self.drop_all(sent.slots, DropReason::Rejected),
                    Suspicion::Split => self.split(sent, now + wait, false),
                    Suspicion::None => self.retry(sent, now + wait),
                }
            }
            Outcome::Throttled { after } => {
                let wait = after.unwrap_or_else(|| self.backoff_of(&sent.history));
                self.circuit.asked_to_wait(now, wait);
                self.retry(sent, now + wait);
            }
            Outcome::Held(_) => {
                self.circuit.refused(&self.config, now);
                let at = self.circuit.paused_until();
                self.retry(sent, at);
            }
            Outcome::TooLarge if sent.slots.len() > 1 => {
                self.batch_bytes = (sent.bytes / 2).max(LEAST_BATCH_BYTES).min(self.batch_bytes);
                self.split(sent, now, true);
            }
            Outcome::TooLarge => self.drop_all(sent.slots, DropReason::TooLarge),
            Outcome::Rejected(_) if sent.slots.len() > 1 => self.split(sent, now, false),
            Outcome::Rejected(_) => self.drop_all(sent.slots, DropReason::Rejected),
        }
        debug_assert!(self.counts.is_conserved(), "{:?}", self.counts);
    }

    fn succeeded(&mut self) {
        self.successes += 1;
        self.circuit.succeeded();
        let grown = self.batch_bytes + self.batch_bytes / 16;
        self.batch_bytes = grown.min(self.config.batch_bytes);
    }

    fn backoff_of(&mut self, history: &History) -> Duration {
        let doublings = history.attempts.saturating_sub(1);
        full_jitter(self.config.backoff, self.config.backoff_max, doublings, &mut self.random)
    }

    fn complete_each(&mut self, sent: InFlight, outcomes: &[SpanOutcome], now: Moment) {
        let mut again = Vec::new();
        for (index, slot) in sent.slots.iter().enumerate() {
            // A span that the answer does not mention is sent again.
            match outcomes.get(index).copied().unwrap_or(SpanOutcome::Retryable) {
                SpanOutcome::Delivered => self.settle(*slot, Resolution::Delivered),
                SpanOutcome::Dropped(reason) => self.settle(*slot, Resolution::Dropped(reason)),
                SpanOutcome::Retryable => again.push(*slot),
            }
        }
        if !again.is_empty() {
            let wait = self.backoff_of(&sent.history);
            self.retry(InFlight { slots: again, ..sent }, now + wait);
        }
    }

    fn drop_all(&mut self, slots: Vec<Slot>, reason: DropReason) {
        for slot in slots {
            self.settle(slot, Resolution::Dropped(reason));
        }
    }

    fn retry(&mut self, sent: InFlight, not_before: Moment) {
        if self.config.max_attempts.is_some_and(|most| sent.history.attempts >= most) {
            self.drop_all(sent.slots, DropReason::RetriesExhausted);
            return;
        }
        self.keep_for_retry(sent.slots, sent.history, not_before, false);
    }

    /// Sends the records of a request again in two halves, by bytes or by number.
    fn split(&mut self, sent: InFlight, not_before: Moment, by_bytes: bool) {
        let middle = if by_bytes { self.middle_by_bytes(&sent) } else { sent.slots.len() / 2 };
        let mut left = sent.slots;
        let right = left.split_off(middle.clamp(1, left.len().max(2) - 1));
        let history = sent.history.of_half();
        self.keep_for_retry(right, history, not_before, true);
        self.keep_for_retry(left, history, not_before, true);
    }

    fn middle_by_bytes(&self, sent: &InFlight) -> usize {
        let mut bytes = 0;
        sent.slots
            .iter()
            .position(|slot| {
                bytes += self.entries.get(*slot).map_or(0, |entry| entry.item.bytes as usize);
                bytes * 2 > sent.bytes
            })
            .unwrap_or(sent.slots.len() / 2)
    }

    fn keep_for_retry(&mut self, slots: Vec<Slot>, history: History, not_before: Moment, first: bool) {
        let mut kept = Vec::with_capacity(slots.len());
        for slot in slots {
            let Some(entry) = self.entries.get(slot).copied() else { continue };
            let newer_waits = self.entries.chain(entry.item.key).is_some_and(|chain| chain.behind.is_some());
            let may_leave_out = entry.item.phase == Phase::End || self.config.start_mode != StartMode::Every;
            if newer_waits && may_leave_out {
                self.settle(slot, Resolution::Superseded);
            } else if let Some(reason) = entry.evicted {
                self.settle(slot, Resolution::Dropped(reason));
            } else {
                if let Some(entry) = self.entries.get_mut(slot) {
                    entry.place = Place::Retry;
                }
                kept.push(slot);
            }
        }
        if kept.is_empty() {
            return;
        }
        let batch = RetryBatch { slots: kept, history, not_before };
        if first {
            self.retries.push_front(batch);
        } else {
            self.retries.push_back(batch);
        }
    }

    /// Returns when [`Lane::poll`] has something to do next, if nothing else happens.
    pub fn next_wakeup(&self) -> Moment {
        let deadline = self.in_flight.values().map(|request| request.deadline).min();
        let mut next = deadline.unwrap_or(Moment::NEVER);
        if self.has_room() {
            let retry = self.retries.iter().map(|batch| batch.not_before).min().unwrap_or(Moment::NEVER);
            let fresh = self.fresh_ready_at(Phase::Start).min(self.fresh_ready_at(Phase::End));
            let work = retry.min(fresh);
            if work != Moment::NEVER {
                next = next.min(work.max(self.circuit.paused_until()));
            }
        }
        next
    }
}
