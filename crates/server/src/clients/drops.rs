use std::collections::{BTreeMap, HashMap};

use endspan_wire::DropReport;

/// Spans by the reason for which they were given up.
pub(crate) type DropCounts = BTreeMap<&'static str, u64>;

/// Processes of one client whose reports are told apart.
const MAX_INSTANCES: usize = 256;

/// What a client's processes say that they gave up.
///
/// Their numbers count from the start of each process, so that the largest is the last: requests that are sent twice or
/// overtake each other change nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drops {
    instances: HashMap<u64, Instance>,
    /// What those said that are no longer told apart, and how many they were. One that came back would count again.
    earlier: DropCounts,
    earlier_instances: u64,
    reports: u64,
}

#[derive(Clone, Debug, Default)]
struct Instance {
    counts: DropCounts,
    /// The number of the report that was its last.
    last: u64,
}

impl Drops {
    /// Takes a report and returns what is new in it.
    pub(super) fn take(&mut self, report: &DropReport) -> DropCounts {
        self.reports += 1;
        if self.instances.len() >= MAX_INSTANCES && !self.instances.contains_key(&report.instance()) {
            self.fold_silent();
        }
        let instance = self.instances.entry(report.instance()).or_default();
        instance.last = self.reports;
        let mut fresh = DropCounts::new();
        for (reason, count) in report.iter() {
            let known = instance.counts.entry(reason).or_default();
            if count > *known {
                fresh.insert(reason, count - *known);
                *known = count;
            }
        }
        fresh
    }

    /// Stops telling the instance apart that was silent longest.
    fn fold_silent(&mut self) {
        let silent = self.instances.iter().min_by_key(|(_, instance)| instance.last).map(|(id, _)| *id);
        let Some(instance) = silent.and_then(|id| self.instances.remove(&id)) else { return };
        add(&mut self.earlier, &instance.counts);
        self.earlier_instances += 1;
    }

    /// Returns what all processes gave up together.
    pub(crate) fn total(&self) -> DropCounts {
        let mut total = self.earlier.clone();
        self.instances.values().for_each(|instance| add(&mut total, &instance.counts));
        total
    }

    /// Returns how many processes said that they gave up something.
    pub(crate) fn instances(&self) -> u64 {
        self.instances.len() as u64 + self.earlier_instances
    }
}

fn add(sum: &mut DropCounts, counts: &DropCounts) {
    for (reason, count) in counts {
        let total = sum.entry(reason).or_default();
        *total = total.saturating_add(*count);
    }
}

#[cfg(test)]
mod tests {
    use endspan_model::DropReason;
    use proptest::prelude::*;

    use super::*;

    fn report(instance: u64, queue_full: u64, expired: u64) -> DropReport {
        DropReport::new(instance, [(DropReason::QueueFull, queue_full), (DropReason::Expired, expired)])
            .unwrap()
    }

    proptest! {
        /// Reports that grow, arrive in any order and more than once count as the last of each process.
        #[test]
        fn only_the_largest_of_each_process_counts(
            ends in prop::collection::vec((1_u64..1000, 0_u64..1000), 1..8),
            order in prop::collection::vec((any::<prop::sample::Index>(), 1_u64..=10), 0..40),
        ) {
            let mut drops = Drops::default();
            let mut told = DropCounts::new();
            let partial = |instance: usize, tenths: u64| {
                let (queue_full, expired) = ends[instance];
                report(instance as u64, (queue_full * tenths).div_ceil(10), expired * tenths / 10)
            };
            for (index, tenths) in order {
                add(&mut told, &drops.take(&partial(index.index(ends.len()), tenths)));
            }
            for instance in 0..ends.len() {
                add(&mut told, &drops.take(&partial(instance, 10)));
            }
            let sum = |of: fn(&(u64, u64)) -> u64| ends.iter().map(of).sum::<u64>();
            let total = drops.total();
            prop_assert_eq!(total.get("queue_full").copied().unwrap_or(0), sum(|end| end.0));
            prop_assert_eq!(total.get("expired").copied().unwrap_or(0), sum(|end| end.1));
            prop_assert_eq!(told, total);
            prop_assert_eq!(drops.instances(), ends.len() as u64);
        }
    }

    #[test]
    fn processes_are_bounded_and_their_counts_stay() {
        let mut drops = Drops::default();
        let many = 3 * MAX_INSTANCES as u64;
        for instance in 0..many {
            drops.take(&report(instance, 2, 0));
        }
        assert_eq!(drops.instances.len(), MAX_INSTANCES);
        assert_eq!(drops.instances(), many);
        assert_eq!(drops.total(), DropCounts::from([("queue_full", 2 * many)]));
    }
}
