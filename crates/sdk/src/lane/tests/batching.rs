use super::*;

fn every(linger_ms: u64) -> LaneConfig {
    LaneConfig { start_mode: StartMode::Every, linger: MS(linger_ms), ..LaneConfig::default() }
}

#[test]
fn row_64_defaults() {
    let config = LaneConfig::default();
    assert_eq!((config.batch_spans, config.linger, config.max_waiting), (200, MS(250), 0));
    assert_eq!((config.max_attempts, config.concurrency), (None, 3));
}

#[test]
fn rows_70_and_71_what_is_queued_at_once_goes_in_one_request_in_order() {
    for phase in [Phase::Start, Phase::End] {
        let mut bench = Bench::new(every(0));
        let ids: Vec<u64> = (0..5).map(|key| bench.accept(key, phase)).collect();
        bench.poll();
        let sent = bench.take_sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].phase, phase);
        assert_eq!(Bench::ids(&sent[0]), ids);
    }
}

#[test]
fn row_72_a_linger_collects() {
    let mut bench = Bench::new(every(100));
    for key in 0..3 {
        bench.accept(key, Phase::End);
        bench.pass(MS(20));
        assert!(bench.sent.is_empty());
    }
    bench.pass(MS(100));
    assert_eq!(bench.take_sent().iter().map(|sent| sent.items.len()).collect::<Vec<_>>(), [3]);
}

#[test]
fn row_73_without_linger_each_goes_alone() {
    let mut bench = Bench::new(every(0));
    for key in 0..3 {
        bench.accept(key, Phase::End);
        bench.pass(MS(50));
    }
    assert_eq!(bench.take_sent().iter().map(|sent| sent.items.len()).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn row_74_no_request_exceeds_the_batch_size() {
    let mut bench = Bench::new(LaneConfig { batch_spans: 3, batch_spans_max: 3, ..every(0) });
    for key in 0..7 {
        bench.accept(key, Phase::End);
    }
    let mut sizes = Vec::new();
    bench.serve(MS(0), |sent| {
        sizes.push(sent.items.len());
        Outcome::Delivered
    });
    assert_eq!(sizes, [3, 3, 1]);
}

#[test]
fn requests_grow_under_backlog() {
    let mut bench = Bench::new(LaneConfig { concurrency: 1, ..every(0) });
    for key in 0..1500 {
        bench.accept(key, Phase::End);
    }
    let mut sizes = Vec::new();
    bench.serve(MS(0), |sent| {
        sizes.push(sent.items.len());
        Outcome::Delivered
    });
    assert_eq!(sizes, [1000, 500]);
}

#[test]
fn requests_are_bounded_in_bytes_and_a_large_span_goes_alone() {
    let mut bench = Bench::new(LaneConfig { batch_bytes: 1000, ..every(0) });
    for (key, bytes) in [(0, 400), (1, 400), (2, 400), (3, 5000), (4, 10)] {
        bench.accept_sized(key, Phase::End, bytes);
    }
    let mut sizes = Vec::new();
    bench.serve(MS(0), |sent| {
        sizes.push(sent.items.len());
        Outcome::Delivered
    });
    assert_eq!(sizes, [2, 1, 1, 1]);
}

#[test]
fn rows_77_and_78_requests_in_flight_never_exceed_the_concurrency() {
    for (concurrency, expected) in [(4, 4), (1, 1)] {
        let config = LaneConfig { batch_spans: 1, batch_spans_max: 1, concurrency, ..every(0) };
        let mut bench = Bench::new(config);
        for key in 0..8 {
            bench.accept(key, Phase::End);
        }
        let mut served = 0;
        while served < 8 {
            bench.poll();
            assert_eq!(bench.sent.len(), expected.min(8 - served));
            let sent = bench.take_sent();
            for dispatch in sent {
                bench.complete(dispatch.request, &Outcome::Delivered);
                served += 1;
            }
        }
        assert_eq!(bench.count(Resolution::Delivered), 8);
    }
}

#[test]
fn rows_82_and_83_the_newest_is_dropped_at_the_bound() {
    let mut bench = Bench::new(LaneConfig { max_waiting: 1, concurrency: 1, ..every(0) });
    bench.accept(0, Phase::End);
    bench.poll();
    let refused: Vec<u64> = (1..4).map(|key| bench.accept(key, Phase::End)).skip(1).collect();
    assert_eq!(bench.lane.counts().dropped_total(), 2);
    let dropped = Resolution::Dropped(DropReason::QueueFull);
    assert_eq!(bench.resolved, refused.into_iter().map(|id| (id, dropped)).collect::<Vec<_>>());

    let mut unbounded = Bench::new(every(0));
    for key in 0..5 {
        unbounded.accept(key, Phase::End);
    }
    unbounded.serve(MS(0), |_| Outcome::Delivered);
    assert_eq!(unbounded.lane.counts().dropped_total(), 0);
}

#[test]
fn row_92_350_of_351_are_dropped_by_a_full_queue_of_one() {
    let mut bench = Bench::new(LaneConfig { max_waiting: 1, ..every(250) });
    for key in 0..351 {
        bench.accept(key, Phase::End);
    }
    assert_eq!(bench.lane.counts().dropped[DropReason::QueueFull.index()], 350);
}

#[test]
fn row_97_a_linger_in_progress_is_cut_short() {
    let mut bench = Bench::new(every(2000));
    for key in 0..3 {
        bench.accept(key, Phase::End);
    }
    bench.pass(MS(10));
    assert!(bench.sent.is_empty());
    bench.lane.hurry(bench.now);
    bench.poll();
    assert_eq!(bench.take_sent()[0].items.len(), 3);
}

#[test]
fn old_spans_expire() {
    let mut bench = Bench::new(LaneConfig { max_age: Some(MS(1000)), ..every(2000) });
    bench.accept(0, Phase::End);
    bench.pass(MS(2500));
    assert!(bench.sent.is_empty());
    assert_eq!(bench.count(Resolution::Dropped(DropReason::Expired)), 1);
}

#[test]
fn a_dead_queue_holds_no_memory() {
    let config = LaneConfig { start_mode: StartMode::Deferred(MS(1_000_000)), ..LaneConfig::default() };
    let mut bench = Bench::new(config);
    bench.accept(0, Phase::Start);
    for key in 1..20_000 {
        bench.accept(key, Phase::Start);
        bench.accept(key, Phase::End);
        bench.poll();
        for dispatch in bench.take_sent() {
            bench.complete(dispatch.request, &Outcome::Delivered);
        }
    }
    assert!(bench.lane.starts.slots.len() < 4096, "{}", bench.lane.starts.slots.len());
}

#[test]
fn at_the_bound_in_bytes_the_newest_is_dropped() {
    let mut bench = Bench::new(LaneConfig { max_pending_bytes: 1000, ..every(250) });
    for key in 0..3 {
        bench.accept_sized(key, Phase::End, 400);
    }
    assert_eq!(bench.resolved, [(3, Resolution::Dropped(DropReason::QueueFull))]);
    // One that takes the place of another needs no more room than there is: it is the older that goes.
    bench.accept_sized(0, Phase::End, 500);
    assert_eq!(bench.resolved.last(), Some(&(1, Resolution::Superseded)));
    let served = bench.serve(MS(250), |_| Outcome::Delivered);
    assert_eq!((served, bench.lane.counts().pending_bytes), (1, 0));
    bench.accept_sized(9, Phase::End, 1000);
    bench.accept_sized(10, Phase::End, 1);
    assert_eq!(bench.lane.counts().dropped_total(), 2, "{:?}", bench.lane.counts());
}

/// The older queue takes all that waits at 200 spans or after 4 s, in requests of 50.
#[test]
fn row_128_at_200_spans_or_after_4_s_all_that_waits_goes_in_requests_of_50() {
    let config = LaneConfig {
        batch_spans: 50,
        batch_spans_max: 50,
        flush_spans: Some(200),
        linger: MS(4000),
        concurrency: 1,
        ..LaneConfig::default()
    };
    let mut bench = Bench::new(config);
    let mut next_key = 0;
    let mut sizes_after = |bench: &mut Bench, spans: u128, wait: Duration| {
        for key in next_key..next_key + spans {
            bench.accept(key, Phase::End);
        }
        next_key += spans;
        let mut sizes = Vec::new();
        bench.serve(wait, |sent| {
            sizes.push(sent.items.len());
            Outcome::Delivered
        });
        sizes
    };
    assert_eq!(sizes_after(&mut bench, 230, MS(100)), [50, 50, 50, 50, 30]);
    assert_eq!(sizes_after(&mut bench, 7, MS(3999)), [0; 0]);
    assert_eq!(sizes_after(&mut bench, 0, MS(1)), [7]);
    // Full requests wait too, and what comes after the flush began waits for the next.
    assert_eq!(sizes_after(&mut bench, 120, MS(3999)), [0; 0]);
    bench.pass(MS(1));
    let first = bench.take_sent().remove(0);
    bench.accept(1000, Phase::End);
    bench.complete(first.request, &Outcome::Delivered);
    assert_eq!(sizes_after(&mut bench, 0, MS(3999)), [50, 20]);
    assert_eq!(sizes_after(&mut bench, 0, MS(1)), [1]);
    assert_eq!(bench.lane.counts().delivered, 358);
}
