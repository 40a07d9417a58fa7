use super::*;

fn deferred(delay_ms: u64) -> LaneConfig {
    LaneConfig { start_mode: StartMode::Deferred(MS(delay_ms)), linger: MS(0), ..LaneConfig::default() }
}

fn every() -> LaneConfig {
    LaneConfig { start_mode: StartMode::Every, linger: MS(0), ..LaneConfig::default() }
}

fn phases(sent: &[Dispatch]) -> Vec<(Phase, Vec<u64>)> {
    sent.iter().map(|dispatch| (dispatch.phase, Bench::ids(dispatch))).collect()
}

#[test]
fn a_start_is_left_out_when_its_end_comes_within_the_delay() {
    let mut bench = Bench::new(deferred(5000));
    let start = bench.accept(1, Phase::Start);
    bench.pass(MS(4000));
    let end = bench.accept(1, Phase::End);
    bench.pass(MS(10_000));
    assert_eq!(bench.resolved, [(start, Resolution::Superseded)]);
    assert_eq!(phases(&bench.sent), [(Phase::End, vec![end])]);
    assert!(!bench.sent[0].items[0].1, "nothing was sent before");
}

#[test]
fn a_long_span_is_written_twice() {
    let mut bench = Bench::new(deferred(5000));
    let start = bench.accept(1, Phase::Start);
    bench.pass(MS(4999));
    assert!(bench.sent.is_empty());
    bench.pass(MS(1));
    assert_eq!(phases(&bench.sent), [(Phase::Start, vec![start])]);
}

#[test]
fn row_75_each_start_is_done_before_its_end_begins() {
    let mut bench = Bench::new(every());
    let ids: Vec<u64> = [(1, Phase::Start), (1, Phase::End), (2, Phase::Start), (2, Phase::End)]
        .map(|(key, phase)| bench.accept(key, phase))
        .to_vec();
    bench.poll();
    let sent = bench.take_sent();
    assert_eq!(phases(&sent), [(Phase::Start, vec![ids[0], ids[2]])]);
    bench.complete(sent[0].request, &Outcome::Delivered);
    bench.poll();
    let mut ends: Vec<u64> = bench.sent.iter().flat_map(Bench::ids).collect();
    ends.sort_unstable();
    assert_eq!(ends, [ids[1], ids[3]]);
}

#[test]
fn row_76_an_end_waits_for_its_start_in_flight() {
    let mut bench = Bench::new(LaneConfig { batch_spans: 1, batch_spans_max: 1, ..deferred(0) });
    bench.accept(1, Phase::Start);
    bench.poll();
    let start = bench.take_sent().remove(0);
    bench.accept(1, Phase::End);
    bench.pass(MS(1000));
    assert!(bench.sent.is_empty());
    bench.complete(start.request, &Outcome::Delivered);
    bench.poll();
    assert_eq!(bench.sent[0].phase, Phase::End);
    assert!(bench.sent[0].items[0].1, "the destination has the start");
}

#[test]
fn row_91_a_start_that_fails_is_left_out_when_its_end_waits() {
    let mut bench = Bench::new(deferred(0));
    let start = bench.accept(1, Phase::Start);
    bench.poll();
    let sent = bench.take_sent().remove(0);
    let end = bench.accept(1, Phase::End);
    bench.complete(sent.request, &failed(503));
    assert_eq!(bench.resolved, [(start, Resolution::Superseded)]);
    bench.poll();
    assert_eq!(phases(&bench.sent), [(Phase::End, vec![end])]);
    assert!(bench.sent[0].items[0].1, "the start may have landed");
}

#[test]
fn row_91_where_every_start_is_wanted_the_end_waits_for_the_retry() {
    let mut bench = Bench::new(every());
    bench.accept(1, Phase::Start);
    bench.poll();
    let sent = bench.take_sent().remove(0);
    bench.accept(1, Phase::End);
    bench.complete(sent.request, &failed(503));
    let mut order = Vec::new();
    bench.serve(MS(60_000), |sent| {
        order.push(sent.phase);
        Outcome::Delivered
    });
    assert_eq!(order, [Phase::Start, Phase::End]);
}

#[test]
fn a_start_in_a_retry_batch_is_superseded() {
    let mut bench = Bench::new(deferred(0));
    let first = bench.accept(1, Phase::Start);
    bench.accept(2, Phase::Start);
    bench.poll();
    let sent = bench.take_sent().remove(0);
    bench.complete(sent.request, &failed(503));
    bench.accept(1, Phase::End);
    assert_eq!(bench.resolved, [(first, Resolution::Superseded)]);
    let mut sizes = Vec::new();
    bench.serve(MS(60_000), |sent| {
        sizes.push((sent.phase, sent.items.len()));
        Outcome::Delivered
    });
    sizes.sort_by_key(|(phase, _)| *phase == Phase::End);
    assert_eq!(sizes, [(Phase::Start, 1), (Phase::End, 1)]);
}

#[test]
fn row_18_of_two_ends_the_later_wins() {
    let mut bench = Bench::new(LaneConfig { linger: MS(100), ..deferred(0) });
    let first = bench.accept(1, Phase::End);
    let second = bench.accept(1, Phase::End);
    bench.pass(MS(100));
    assert_eq!(bench.resolved, [(first, Resolution::Superseded)]);
    let sent = bench.take_sent().remove(0);
    assert_eq!(Bench::ids(&sent), [second]);
    let third = bench.accept(1, Phase::End);
    let fourth = bench.accept(1, Phase::End);
    bench.pass(MS(1000));
    assert!(bench.sent.is_empty(), "one version of a span is under way at a time");
    bench.complete(sent.request, &Outcome::Delivered);
    bench.poll();
    assert_eq!(phases(&bench.sent), [(Phase::End, vec![fourth])]);
    assert!(bench.resolved.contains(&(third, Resolution::Superseded)));
}

#[test]
fn a_start_after_its_end_is_left_out() {
    let mut bench = Bench::new(deferred(0));
    bench.accept(1, Phase::End);
    let late = bench.accept(1, Phase::Start);
    assert_eq!(bench.resolved, [(late, Resolution::Superseded)]);
}

#[test]
fn an_end_that_waits_survives_a_repeated_start() {
    let mut bench = Bench::new(every());
    bench.accept(1, Phase::Start);
    bench.accept(1, Phase::End);
    bench.accept(1, Phase::Start);
    bench.serve(MS(1000), |_| Outcome::Delivered);
    assert_eq!(bench.count(Resolution::Delivered), 2);
    assert_eq!(bench.count(Resolution::Superseded), 1);
    assert_eq!(bench.lane.counts().pending, 0);
}

#[test]
fn rows_93_and_97_hurrying_sends_deferred_starts() {
    let mut bench = Bench::new(deferred(5000));
    bench.accept(1, Phase::Start);
    bench.lane.hurry(bench.now);
    bench.poll();
    assert_eq!(bench.sent[0].phase, Phase::Start);
}
