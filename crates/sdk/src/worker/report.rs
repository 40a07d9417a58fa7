//! What the thread tells others of its work: the account, the metrics, and a word about drops.

use std::time::Duration;

use endspan_model::DropReason;
use endspan_spool::Record;

use super::Worker;
use crate::account::{Account, DestinationStats};
use crate::diagnostics::aloud;
use crate::live::Snapshot;
use crate::record::KIND_END;

impl Worker {
    /// Tells the metrics of the records just read.
    pub(super) fn measure(&self, records: &[Record]) {
        let Some(oldest) = records.first().filter(|_| self.metrics.is_on()) else { return };
        let ends = records.iter().filter(|record| record.kind() == KIND_END).count() as u64;
        let starts = if self.writes_starts { records.len() as u64 - ends } else { 0 };
        let unix_nanos =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let lag = unix_nanos.saturating_sub(Duration::from_nanos(oldest.appended_unix_nanos()));
        let pending: u64 = self.engine.lanes().iter().map(|lane| lane.counts().pending).max().unwrap_or(0);
        self.metrics.read(starts, ends, pending + starts + ends, lag);
    }

    /// Puts the account where others can read it.
    pub(crate) fn publish(&mut self) {
        let destinations: Vec<DestinationStats> = self
            .engine
            .lanes()
            .iter()
            .zip(&self.exporters)
            .enumerate()
            .map(|(index, (lane, exporter))| {
                let counts = lane.counts();
                let mut account = Account::new(exporter.name(), counts);
                let outside = self.engine.overflow(index) as u64;
                account.accepted += outside;
                account.pending += outside;
                DestinationStats {
                    account,
                    health: lane.health(),
                    pending_bytes: counts.pending_bytes,
                    requests_in_flight: lane.in_flight() as u64,
                    requests: counts.requests,
                    failed_requests: counts.failed_requests,
                    retried_requests: counts.retried_requests,
                }
            })
            .collect();
        self.measure_destinations(&destinations);
        for (trouble, destination) in self.troubles.iter_mut().zip(&destinations) {
            let account = &destination.account;
            trouble.say(&account.destination, destination.health, account.pending, self.published);
        }
        let dropped: u64 = destinations.iter().map(|destination| destination.account.dropped.total()).sum();
        let fresh = dropped - self.dropped_seen.min(dropped);
        self.dropped_seen = dropped;
        if self.drops.should_say(fresh) {
            let total = self.drops.total();
            aloud(|| {
                for destination in destinations.iter().filter(|entry| entry.account.dropped.total() > 0) {
                    tracing::warn!(dropped = total, account = %destination.account, "endspan dropped spans");
                }
            });
        }
        self.counters.publish(Snapshot {
            destinations,
            read_records: self.read,
            open_spans: self.engine.open_spans() as u64,
        });
    }

    /// Tells the metrics how the destinations are doing.
    fn measure_destinations(&mut self, destinations: &[DestinationStats]) {
        if !self.metrics.is_on() {
            return;
        }
        for (index, destination) in destinations.iter().enumerate() {
            let account = &destination.account;
            for (reason, count) in account.dropped.iter() {
                self.tell_dropped(index, &account.destination, reason, count);
            }
            self.metrics.gauges(
                &account.destination,
                account.pending,
                destination.pending_bytes,
                destination.requests_in_flight,
            );
        }
        self.metrics.spool(self.consumer.log().stats().disk_bytes);
    }

    /// Tells the metrics of drops that they do not know yet. Those of records that never got here their callers tell.
    fn tell_dropped(&mut self, lane: usize, destination: &str, reason: DropReason, count: u64) {
        let told = self.drops_told.entry((lane, reason)).or_default();
        if count > *told {
            self.metrics.dropped(destination, reason.as_str(), count - *told);
            *told = count;
        }
    }
}
