//! Power cuts: whatever the disk forgets that was not synced, every acknowledged write survives, no request is
//! stored in halves, and the store opens. Disks that fail are told apart from disks that work.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
#[path = "../support/mod.rs"]
mod support;

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use endspan_store::{SpanStore, StoreError, conformance::block_on};
use endspan_store_embedded::{EmbeddedStore, Options};

use self::{
    disk::{Disk, Failure, Survival},
    support::{busy_options, check, pass, request},
};

const LANES: usize = 4;

fn options() -> Options {
    disk::register();
    let mut options = busy_options();
    options.vfs = Some(disk::VFS.to_owned());
    options
}

fn open(directory: &Path) -> EmbeddedStore {
    EmbeddedStore::open(directory, options()).unwrap()
}

#[test]
fn acknowledged_writes_survive_power_cuts_at_any_moment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let store = Arc::new(open(&path));
    let acknowledged: Arc<Vec<AtomicUsize>> = Arc::new((0..LANES).map(|_| AtomicUsize::new(0)).collect());
    let stop = Arc::new(AtomicBool::new(false));
    // Held while what a cut leaves is checked, so that the store does not grow meanwhile.
    let gate = Arc::new(RwLock::new(()));
    let writers: Vec<_> = (0..LANES)
        .map(|lane| {
            let (store, acknowledged, stop, gate) =
                (store.clone(), acknowledged.clone(), stop.clone(), gate.clone());
            std::thread::spawn(move || {
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let _open = gate.read().unwrap();
                    assert!(block_on(store.write(request(lane, number))).unwrap().is_success());
                    acknowledged[lane].store(number + 1, Ordering::SeqCst);
                }
            })
        })
        .collect();

    // Old spans go all the while.
    let deletion = {
        let (store, stop, gate) = (store.clone(), stop.clone(), gate.clone());
        std::thread::spawn(move || {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let _open = gate.read().unwrap();
                pass(&store, number).unwrap();
            }
        })
    };

    // Blocks are merged and space is given back all the while.
    let maintenance = {
        let (store, stop, gate) = (store.clone(), stop.clone(), gate.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                block_on(store.maintain()).unwrap();
                let _open = gate.read().unwrap();
            }
        })
    };

    let mut random = fastrand::Rng::with_seed(7);
    let count = || -> HashMap<usize, usize> {
        (0..LANES).map(|lane| (lane, acknowledged[lane].load(Ordering::SeqCst))).collect()
    };
    for cut in 0..8 {
        let goal = count().values().sum::<usize>() + random.usize(1..100);
        while count().values().sum::<usize>() < goal {
            std::thread::yield_now();
        }
        let before = count();
        let frozen = Disk::freeze(&path);
        let after = count();
        let _closed = gate.write().unwrap();
        for survival in
            [Survival::Nothing, Survival::Everything, Survival::Some(cut), Survival::Some(cut + 100)]
        {
            let remains = tempfile::tempdir().unwrap();
            frozen.after_power_cut(survival, remains.path());
            let opened = EmbeddedStore::open(remains.path(), Options::default())
                .unwrap_or_else(|error| panic!("cut {cut}, {survival:?}: {error}"));
            // One more request of each lane may have been on its way.
            check(&opened, &before, |lane| after[&lane] + 1);
        }
    }
    stop.store(true, Ordering::Relaxed);
    for thread in writers.into_iter().chain([deletion, maintenance]) {
        thread.join().unwrap();
    }
    assert!(Disk::freeze(&path).syncs() > 0);
}

#[test]
fn every_acknowledgement_is_preceded_by_a_sync() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let store = open(&path);
    for number in 0..20 {
        let before = Disk::freeze(&path).syncs();
        block_on(store.write(request(0, number))).unwrap();
        assert!(Disk::freeze(&path).syncs() > before, "request {number} was answered without a sync");
    }
}

#[test]
fn a_failing_disk_is_an_error_and_the_store_goes_on_when_it_heals() {
    for failure in [Failure::Full, Failure::Sync] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let store = open(&path);
        for number in 0..40 {
            block_on(store.write(request(0, number))).unwrap();
        }
        let failing = disk::fail(&path, failure);
        let answer = block_on(store.write(request(0, 40)));
        assert!(matches!(&answer, Err(StoreError::Unavailable(_))), "{failure:?}: {answer:?}");
        let health = block_on(store.check_health());
        assert!(matches!(health, Err(StoreError::Unavailable(_))), "{failure:?}: {health:?}");
        check(&store, &HashMap::from([(0, 40)]), |_| 40);
        drop(failing);
        for number in 40..80 {
            assert!(
                block_on(store.write(request(0, number))).unwrap().is_success(),
                "{failure:?} at {number}"
            );
        }
        block_on(store.check_health()).unwrap();
        check(&store, &HashMap::from([(0, 80)]), |_| 80);
        drop(store);
        check(&open(&path), &HashMap::from([(0, 80)]), |_| 80);
    }
}
