use super::*;

fn plain() -> LaneConfig {
    LaneConfig { linger: MS(0), ..LaneConfig::default() }
}

fn attempts(most: u32) -> LaneConfig {
    LaneConfig { max_attempts: Some(most), ..plain() }
}

const DAY: fn() -> Duration = || Duration::from_secs(12 * 60 * 60);

#[test]
fn row_84_a_failure_is_retried() {
    let mut bench = Bench::new(attempts(3));
    bench.accept(1, Phase::End);
    let mut answers = [failed(503), Outcome::Delivered].into_iter();
    let requests = bench.serve(DAY(), |_| answers.next().unwrap());
    assert_eq!((requests, bench.count(Resolution::Delivered)), (2, 1));
}

#[test]
fn row_85_attempts_are_limited() {
    let mut bench = Bench::new(attempts(3));
    bench.accept(1, Phase::End);
    assert_eq!(bench.serve(DAY(), |_| failed(503)), 3);
    assert_eq!(bench.count(Resolution::Dropped(DropReason::RetriesExhausted)), 1);
}

#[test]
fn row_86_a_bad_key_is_held_and_counts_as_an_attempt() {
    let held = Outcome::Held(Failure::of_status(401));
    let mut bench = Bench::new(attempts(3));
    bench.accept(1, Phase::End);
    assert_eq!(bench.serve(DAY(), |_| held.clone()), 3);
    assert_eq!(bench.count(Resolution::Dropped(DropReason::RetriesExhausted)), 1);

    let mut patient = Bench::new(plain());
    patient.accept(1, Phase::End);
    let mut times = Vec::new();
    let began = patient.now;
    for _ in 0..8 {
        while patient.sent.is_empty() {
            patient.now = patient.lane.next_wakeup().max(patient.now);
            patient.poll();
        }
        let sent = patient.take_sent().remove(0);
        times.push(patient.now.since(began).as_secs());
        patient.complete(sent.request, &held);
    }
    assert_eq!(times, [0, 5, 15, 35, 75, 135, 195, 255]);
    assert_eq!(patient.lane.health(), Health::Held);
    patient.serve(DAY(), |_| Outcome::Delivered);
    assert_eq!(patient.lane.health(), Health::Up);
}

#[test]
fn row_87_a_refused_span_is_dropped_at_once() {
    let mut bench = Bench::new(attempts(3));
    bench.accept(1, Phase::End);
    assert_eq!(bench.serve(DAY(), |_| REJECTED), 1);
    assert_eq!(bench.count(Resolution::Dropped(DropReason::Rejected)), 1);
}

#[test]
fn row_88_without_a_limit_an_outage_of_hours_loses_nothing() {
    let mut bench = Bench::new(plain());
    for key in 0..1000 {
        bench.accept(key, Phase::End);
    }
    let end = bench.now + Duration::from_secs(4 * 60 * 60);
    let mut requests = 0;
    bench.serve(Duration::from_secs(4 * 60 * 60), |_| {
        requests += 1;
        failed(503)
    });
    assert!(bench.now <= end);
    assert!(requests < 6000, "{requests} probes in four hours");
    bench.serve(Duration::from_secs(60), |_| Outcome::Delivered);
    assert_eq!(bench.count(Resolution::Delivered), 1000);
}

#[test]
fn a_dead_destination_is_probed_by_one_request_at_a_time() {
    let mut bench = Bench::new(LaneConfig { batch_spans: 10, batch_spans_max: 10, ..plain() });
    for key in 0..1000 {
        bench.accept(key, Phase::End);
    }
    bench.poll();
    let sent = bench.take_sent();
    assert_eq!(sent.len(), 3);
    for dispatch in sent {
        bench.complete(dispatch.request, &failed(503));
    }
    assert_eq!(bench.lane.health(), Health::Down);
    for _ in 0..20 {
        bench.now = bench.lane.next_wakeup().max(bench.now);
        bench.poll();
        let sent = bench.take_sent();
        assert!(sent.len() <= 1);
        for dispatch in sent {
            bench.complete(dispatch.request, &failed(503));
        }
    }
    bench.serve(Duration::from_secs(60), |_| Outcome::Delivered);
    assert_eq!(bench.count(Resolution::Delivered), 1000);
}

#[test]
fn rows_108_and_109_a_wait_that_was_asked_for_is_kept() {
    for outcome in [
        Outcome::Throttled { after: Some(MS(7000)) },
        Outcome::Retryable { after: Some(MS(7000)), failure: Failure::of_status(503) },
    ] {
        let mut bench = Bench::new(plain());
        bench.accept(1, Phase::End);
        bench.poll();
        let sent = bench.take_sent().remove(0);
        bench.complete(sent.request, &outcome);
        bench.accept(2, Phase::End);
        bench.lane.hurry(bench.now);
        bench.pass(MS(6999));
        assert!(bench.sent.is_empty(), "not even in a hurry");
        bench.pass(MS(1));
        assert_eq!(bench.sent.len(), 1, "then one request finds out");
    }
}

#[test]
fn back_off_is_jittered_and_capped() {
    let mut random = fastrand::Rng::with_seed(1);
    for doublings in 0..20 {
        let most = MS(8000).min(MS(500) * 2_u32.pow(doublings.min(10)));
        for _ in 0..100 {
            let wait = super::super::circuit::full_jitter(MS(500), MS(8000), doublings, &mut random);
            assert!(wait <= most, "{wait:?} after {doublings}");
        }
    }
}

#[test]
fn one_refused_span_in_a_thousand_costs_one_span() {
    for bad in [0, 1, 499, 500, 998, 999] {
        let mut bench = Bench::new(plain());
        let ids: Vec<u64> = (0..1000).map(|key| bench.accept(key, Phase::End)).collect();
        let requests = bench.serve(DAY(), |sent| {
            if Bench::ids(sent).contains(&ids[bad]) { REJECTED } else { Outcome::Delivered }
        });
        assert_eq!(bench.count(Resolution::Delivered), 999);
        let dropped: Vec<_> = bench
            .resolved
            .iter()
            .filter(|(_, resolution)| *resolution == Resolution::Dropped(DropReason::Rejected))
            .collect();
        assert_eq!(dropped.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[bad]]);
        assert!(requests <= 21, "{requests} requests for 1000 spans");
    }
}

#[test]
fn a_request_that_is_too_large_is_split_by_bytes() {
    let mut bench = Bench::new(plain());
    for key in 0..64 {
        bench.accept_sized(key, Phase::End, 10_000);
    }
    let giant = bench.accept_sized(64, Phase::End, 500_000);
    let mut largest = 0;
    bench.serve(DAY(), |sent| {
        let bytes: usize =
            Bench::ids(sent).iter().map(|id| if *id == giant { 500_000 } else { 10_000 }).sum();
        if bytes > 200_000 {
            return Outcome::TooLarge;
        }
        largest = largest.max(bytes);
        Outcome::Delivered
    });
    assert_eq!(bench.count(Resolution::Delivered), 64);
    assert_eq!(bench.count(Resolution::Dropped(DropReason::TooLarge)), 1);
    assert!(largest >= 50_000);
}

#[test]
fn a_span_on_which_the_server_fails_is_found_and_the_others_go_on() {
    let mut bench = Bench::new(plain());
    let ids: Vec<u64> = (0..100).map(|key| bench.accept(key, Phase::End)).collect();
    let mut next = 1000;
    for _ in 0..400 {
        bench.serve(Duration::from_secs(5), |sent| {
            if Bench::ids(sent).contains(&ids[42]) { failed(500) } else { Outcome::Delivered }
        });
        next += 1;
        bench.accept(next, Phase::End);
    }
    let rejected = Resolution::Dropped(DropReason::Rejected);
    assert_eq!(bench.resolved.iter().filter(|(_, resolution)| *resolution == rejected).count(), 1);
    assert!(bench.resolved.contains(&(ids[42], rejected)));
}

#[test]
fn an_overloaded_server_never_makes_a_span_look_bad() {
    let mut bench = Bench::new(LaneConfig { batch_spans: 1, batch_spans_max: 1, ..plain() });
    let unlucky = bench.accept(0, Phase::End);
    for key in 1..2000 {
        bench.accept(key, Phase::End);
        bench.serve(Duration::from_secs(10), |sent| {
            if Bench::ids(sent).contains(&unlucky) { failed(503) } else { Outcome::Delivered }
        });
    }
    assert_eq!(bench.lane.counts().dropped_total(), 0);
    assert_eq!(bench.lane.counts().pending, 1);
}

#[test]
fn a_deadline_cancels_the_request_and_tries_again() {
    let mut bench = Bench::new(LaneConfig { request_timeout: MS(1000), ..plain() });
    bench.accept(1, Phase::End);
    bench.poll();
    let first = bench.take_sent().remove(0);
    bench.pass(MS(1000));
    assert_eq!(bench.cancelled, [first.request]);
    bench.complete(first.request, &Outcome::Delivered);
    assert_eq!(bench.count(Resolution::Delivered), 0, "its answer does not matter any more");
    bench.serve(Duration::from_secs(60), |sent| {
        assert!(sent.items[0].1, "it may have landed");
        Outcome::Delivered
    });
    assert_eq!(bench.count(Resolution::Delivered), 1);
}

#[test]
fn row_79_and_80_answers_for_each_span_are_booked_for_each() {
    let mut bench = Bench::new(plain());
    let ids: Vec<u64> = (0..4).map(|key| bench.accept(key, Phase::End)).collect();
    let mut first = true;
    bench.serve(Duration::from_secs(60), |_| {
        if !std::mem::take(&mut first) {
            return Outcome::Delivered;
        }
        let rejected = SpanOutcome::Dropped(DropReason::Rejected);
        Outcome::PerSpan(vec![SpanOutcome::Delivered, rejected, SpanOutcome::Retryable])
    });
    assert!(bench.resolved.contains(&(ids[1], Resolution::Dropped(DropReason::Rejected))));
    assert_eq!(bench.count(Resolution::Delivered), 3);
}

#[test]
fn evicted_records_are_dropped_unless_they_are_under_way() {
    let mut bench = Bench::new(LaneConfig { batch_spans: 1, batch_spans_max: 1, concurrency: 2, ..plain() });
    let ids: Vec<u64> = (0..4).map(|key| bench.accept(key, Phase::End)).collect();
    bench.poll();
    let sent = bench.take_sent();
    bench.lane.evict(|_| true, DropReason::SpoolFull);
    bench.collect();
    assert_eq!(bench.count(Resolution::Dropped(DropReason::SpoolFull)), 2);
    bench.complete(sent[0].request, &Outcome::Delivered);
    bench.complete(sent[1].request, &failed(503));
    assert!(bench.resolved.contains(&(ids[0], Resolution::Delivered)));
    assert!(bench.resolved.contains(&(ids[1], Resolution::Dropped(DropReason::SpoolFull))));
    assert_eq!(bench.lane.counts().pending, 0);
}

#[test]
fn what_is_left_can_be_given_up() {
    let mut bench = Bench::new(LaneConfig { start_mode: StartMode::Every, concurrency: 1, ..plain() });
    for key in 0..3 {
        bench.accept(key, Phase::Start);
        bench.accept(key, Phase::End);
    }
    bench.poll();
    bench.lane.abandon(DropReason::ShutdownTimeout);
    bench.collect();
    assert_eq!(bench.count(Resolution::Dropped(DropReason::ShutdownTimeout)), 6);
    assert_eq!(bench.lane.next_wakeup(), Moment::NEVER);
}
