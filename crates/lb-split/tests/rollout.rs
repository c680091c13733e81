//! Guarded rollouts: what each decision needs, and in simulation the stated bounds and the power.

mod world;

use lb_split::{
    Change, ChangeError, Percent, Reason, Rollout, RolloutDecision, RolloutSettings, Split, Window,
};
use lb_types::Nanos;
use std::time::Duration;
use world::{Run, World, run};

const RUNS: u64 = 1_000;

fn percent(percent: f64) -> Percent {
    Percent::try_from(percent).unwrap()
}

fn at(s: u64) -> Nanos {
    Nanos::from_secs(s)
}

fn steps(percents: &[f64], each: u64) -> RolloutSettings {
    let steps = percents.iter().map(|&p| (percent(p), Duration::from_secs(each)));
    RolloutSettings::new().steps(steps).patience(Duration::from_secs(600))
}

fn window(requests: u64, errors: u64) -> Window {
    Window { requests, errors, ..Window::default() }
}

/// All runs of a world, with seeds from 0; what fails says which seed it was.
fn runs(name: &str, world: &World, settings: &RolloutSettings) -> Vec<(u64, Run)> {
    let runs: Vec<_> = (0..RUNS).map(|seed| (seed, run(world, settings, seed))).collect();
    let seeds = |pick: fn(&Run) -> bool| -> Vec<u64> {
        runs.iter().filter(|(_, run)| pick(run)).map(|&(seed, _)| seed).take(5).collect()
    };
    let promoted: fn(&Run) -> bool = |run| run.end == RolloutDecision::Promote;
    println!("{name}: first seeds rolled back {:?}, promoted {:?}", seeds(Run::rolled_back), seeds(promoted));
    runs
}

fn count(runs: &[(u64, Run)], what: impl Fn(&Run) -> bool) -> usize {
    runs.iter().filter(|(_, run)| what(run)).count()
}

fn promoted(run: &Run) -> bool {
    run.end == RolloutDecision::Promote
}

/// 120 s a step at a thousand requests a second, false rollbacks at most 5 %.
fn simulated() -> RolloutSettings {
    steps(&[5.0, 25.0, 50.0], 120).false_rollback_max(0.05)
}

#[test]
fn equal_sides_are_promoted_and_false_rollbacks_stay_under_their_bound() {
    let equal = runs("equal", &World::new(0.01, 0.01), &simulated());
    assert!(count(&equal, Run::rolled_back) <= 50);
    assert!(count(&equal, |run| promoted(run) && run.seconds >= 360) >= 990, "not before its steps are over");
    // The traffic tries hard: a test of one look cries out in it far more often than it says.
    assert!(count(&equal, |run| run.naive_alarm) > 100);
}

#[test]
fn at_the_very_margin_both_errors_stay_under_their_bounds() {
    // As bad as the guard allows: to roll it back is wrong, and by the other claim to promote it as well.
    let margin = runs("margin", &World::new(0.01, 0.015), &simulated());
    assert!(count(&margin, Run::rolled_back) <= 50);
    assert!(count(&margin, promoted) <= 50);
    // No margin at all and sides that are equal: the hardest case for false rollbacks.
    let none = simulated().error_difference_max(Some(0.0));
    let none = runs("no margin", &World::new(0.01, 0.01), &none);
    assert!(count(&none, Run::rolled_back) <= 50);
    assert!(count(&none, promoted) <= 50);
}

#[test]
fn rates_that_drift_together_are_no_difference() {
    let world = World { drift: 0.8, ..World::new(0.01, 0.01) };
    let drifting = runs("drifting", &world, &simulated());
    assert!(count(&drifting, Run::rolled_back) <= 50);
    assert!(count(&drifting, promoted) >= 950);
}

#[test]
fn two_percent_more_errors_at_five_percent_of_traffic_are_rolled_back() {
    // The defaults: margin of half a percent, false rollbacks at most 1 %. 5 % of 1 000 requests a second for two minutes: 6 000.
    let worse = runs("worse", &World::new(0.01, 0.03), &steps(&[5.0, 25.0, 50.0], 120));
    let in_first = |run: &Run| run.rolled_back() && run.step == 0 && run.new_requests <= 6_000;
    assert!(count(&worse, in_first) >= 990, "{}", count(&worse, in_first));
    assert_eq!(count(&worse, promoted), 0);
}

#[test]
fn a_slow_side_is_rolled_back_and_an_equal_one_is_promoted() {
    // Old: 5 % above its own p95. New, above 1.5 times that: 15 %, or 1 % if it is as the old one.
    let settings = simulated().error_difference_max(None).latency(0.95, 1.5);
    let world = |slow| World { slow: (0.05, slow), ..World::new(0.01, 0.01) };
    let slow = runs("slow", &world(0.15), &settings);
    assert!(count(&slow, |run| run.end == RolloutDecision::RollBack { reason: Reason::Latency }) >= 990);
    let equal = runs("as fast", &world(0.01), &settings);
    assert!(count(&equal, promoted) >= 990);
}

#[test]
fn each_decision_needs_what_is_said() {
    let mut rollout = Rollout::new(steps(&[5.0, 50.0], 60), at(0)).unwrap();
    let hold = RolloutDecision::Hold;
    let (old, fine) = (window(100_000, 1_000), window(100_000, 1_000));
    assert_eq!(rollout.observe(at(59), &old, &fine), hold, "not before its duration");
    assert_eq!(rollout.observe(at(60), &old, &window(99, 0)), hold, "not with too few requests");
    assert_eq!(rollout.observe(at(60), &window(99, 0), &fine), hold, "of either side");
    assert_eq!((rollout.step(), rollout.percent()), (0, percent(5.0)));
    let advance = RolloutDecision::Advance { percent: percent(50.0) };
    assert_eq!(
        rollout.observe(at(61), &window(100, 0), &window(100, 0)),
        advance,
        "nothing speaks against it"
    );
    assert_eq!((rollout.step(), rollout.percent()), (1, percent(50.0)));

    // The last step has to show something.
    let little = window(1_000, 10);
    assert_eq!(rollout.observe(at(120), &old, &fine), hold);
    assert_eq!(rollout.observe(at(121), &little, &little), hold);
    assert_eq!(rollout.observe(at(720), &little, &little), hold);
    assert_eq!(rollout.observe(at(721), &little, &little), RolloutDecision::Inconclusive);
    rollout.extend(at(730));
    assert_eq!(rollout.observe(at(731), &little, &little), hold, "more patience");
    assert_eq!(rollout.observe(at(1_330), &little, &little), RolloutDecision::Inconclusive);
    let mut other = rollout.clone();
    assert_eq!(rollout.observe(at(1_331), &old, &fine), RolloutDecision::Promote, "later is not too late");
    assert_eq!((rollout.end(), rollout.abort()), (Some(RolloutDecision::Promote), RolloutDecision::Promote));
    let aborted = RolloutDecision::RollBack { reason: Reason::Aborted };
    assert_eq!((other.abort(), other.observe(at(9_999), &old, &fine)), (aborted, aborted));
}

#[test]
fn a_broken_side_is_rolled_back_at_once() {
    let mut rollout = Rollout::new(RolloutSettings::new(), at(0)).unwrap();
    let broken = RolloutDecision::RollBack { reason: Reason::Errors };
    assert_eq!(rollout.observe(at(1), &window(19, 0), &window(1, 1)), RolloutDecision::Hold);
    assert_eq!(rollout.observe(at(2), &window(380, 2), &window(10, 10)), broken, "long before requests_min");
    // Counts that cannot be are cut to what can.
    let mut rollout = Rollout::new(RolloutSettings::new(), at(0)).unwrap();
    assert_eq!(rollout.observe(at(1), &window(190, 1), &window(10, u64::MAX)), broken);
}

#[test]
fn guards_say_how_they_stand() {
    let settings = RolloutSettings::new().latency(0.95, 1.5);
    let rollout = Rollout::new(settings, at(0)).unwrap();
    let old = Window { requests: 100_000, errors: 1_000, timed: 100_000, slow: 5_000 };
    let new = Window { requests: 5_000, errors: 200, timed: 5_000, slow: 50 };
    let status = rollout.status(&old, &new);
    let statuses = &status.guards;
    assert_eq!((status.step, status.steps, status.since, status.until), (0, 3, at(0), at(2_400)));
    assert_eq!(
        statuses.iter().map(|status| status.guard).collect::<Vec<_>>(),
        [Reason::Errors, Reason::Latency]
    );
    // Three steps and two guards share 1 %: 1 in 600.
    assert!(statuses.iter().all(|status| (status.needed_worse - 600f64.log10()).abs() < 1e-9));
    assert!(statuses.iter().all(|status| (status.needed_fine - 20f64.log10()).abs() < 1e-9));
    assert!(statuses[0].worse > statuses[0].needed_worse && statuses[0].fine < 0.0, "{:?}", statuses[0]);
    assert!(statuses[1].fine > statuses[1].needed_fine && statuses[1].worse < 0.0, "{:?}", statuses[1]);
}

#[test]
fn every_guard_has_to_be_shown_and_counts_are_cut_to_requests() {
    let settings = steps(&[50.0], 0).latency(0.95, 1.5);
    let mut rollout = Rollout::new(settings, at(0)).unwrap();
    let of = |slow| Window { requests: 100_000, errors: 1_000, timed: 100_000, slow };
    // Errors are shown to be fine; the quantiles' ratio is just what it may be.
    assert_eq!(rollout.observe(at(1), &of(5_000), &of(5_000)), RolloutDecision::Hold);
    let cut = |errors| rollout.status(&window(1_000, 10), &window(10, errors));
    assert_eq!(cut(u64::MAX), cut(10));
    assert_eq!(rollout.observe(at(2), &of(5_000), &of(1_000)), RolloutDecision::Promote);
}

#[test]
fn without_limits_of_latency_errors_are_judged_and_nothing_goes_on() {
    let settings = steps(&[5.0, 50.0], 0).latency(0.95, 1.5);
    let mut rollout = Rollout::new(settings, at(0)).unwrap();
    let (old, fine) = (window(100_000, 1_000), window(100_000, 1_000));
    assert_eq!(rollout.observe(at(1), &old, &fine), RolloutDecision::Hold, "no latency was looked at");
    let timed = |timed| Window { timed, ..fine };
    assert_eq!(rollout.observe(at(2), &timed(99), &timed(100)), RolloutDecision::Hold);
    let advance = RolloutDecision::Advance { percent: percent(50.0) };
    assert_eq!(rollout.clone().observe(at(3), &timed(100), &timed(100)), advance);
    let broken = RolloutDecision::RollBack { reason: Reason::Errors };
    assert_eq!(rollout.observe(at(3), &old, &window(5_000, 500)), broken);
}

#[test]
fn an_abort_leaves_alone_what_somebody_changed_by_hand() {
    let begin = |split: &Split| Rollout::begin(steps(&[5.0], 60), split, "ann", at(0)).unwrap().0;
    let overtaken = split(0.0);
    let mut rollout = begin(&overtaken);
    overtaken.canary(percent(60.0), "bob", at(1)).unwrap();
    assert_eq!(rollout.abort_on(&overtaken, "ann", at(2)), Ok((RolloutDecision::Overtaken, None)));
    assert_eq!(overtaken.percents(at(2))[1], percent(60.0));
    let split = split(0.0);
    let mut rollout = begin(&split);
    let (end, event) = rollout.abort_on(&split, "bob", at(2)).unwrap();
    assert_eq!(end, RolloutDecision::RollBack { reason: Reason::Aborted });
    assert_eq!((event.unwrap().by.as_str(), split.percents(at(2))[1]), ("bob", Percent::ZERO));
    assert_eq!(rollout.abort_on(&split, "bob", at(3)), Ok((end, None)), "once");
}

#[test]
fn to_extend_early_shortens_nothing() {
    let mut rollout = Rollout::new(steps(&[5.0], 60), at(0)).unwrap();
    rollout.extend(at(1));
    assert_eq!(rollout.observe(at(659), &window(0, 0), &window(0, 0)), RolloutDecision::Hold);
    assert_eq!(rollout.observe(at(660), &window(0, 0), &window(0, 0)), RolloutDecision::Inconclusive);
}

fn split(green: f64) -> Split {
    Split::new("checkout", &[("blue", percent(100.0 - green)), ("green", percent(green))], true).unwrap()
}

#[test]
fn the_split_follows_a_rollout_with_an_event_for_each_change() {
    let (old, new) = (window(100_000, 1_000), window(100_000, 1_000));
    for bad in [false, true] {
        let split = split(0.0);
        let (mut rollout, event) = Rollout::begin(steps(&[5.0, 50.0], 60), &split, "ann", at(0)).unwrap();
        let advance = |p| Change::Rollout { decision: RolloutDecision::Advance { percent: percent(p) } };
        assert_eq!(event.change, advance(5.0));
        assert_eq!(rollout.steer(&split, (&old, &new), "rollout", at(1)), Ok((RolloutDecision::Hold, None)));
        let (_, event) = rollout.steer(&split, (&old, &new), "rollout", at(60)).unwrap();
        let event = event.unwrap();
        assert_eq!((event.change, event.to), (advance(50.0), vec![percent(50.0); 2]));
        let new = if bad { window(100_000, 3_000) } else { new };
        let (decision, event) = rollout.steer(&split, (&old, &new), "rollout", at(120)).unwrap();
        let green = if bad { 0.0 } else { 100.0 };
        let event = event.unwrap();
        assert_eq!(event.change, Change::Rollout { decision }, "with its reason");
        assert_eq!(event.to, [percent(100.0 - green), percent(green)], "{decision:?}");
        assert_eq!(rollout.steer(&split, (&old, &new), "rollout", at(121)), Ok((decision, None)), "once");
        assert_eq!(split.status(at(121)).changes, 3);
    }
}

#[test]
fn a_rollout_that_somebody_overtakes_leaves_the_split_alone() {
    let (old, new) = (window(100_000, 1_000), window(100_000, 90_000));
    let split = split(0.0);
    let (mut rollout, _) = Rollout::begin(steps(&[5.0], 60), &split, "ann", at(0)).unwrap();
    split.canary(percent(6.0), "bob", at(1)).unwrap();
    assert_eq!(rollout.steer(&split, (&old, &new), "rollout", at(2)), Ok((RolloutDecision::Overtaken, None)));
    assert_eq!(split.percents(at(3))[1], percent(6.0));
}

#[test]
fn a_step_that_finds_no_room_is_tried_again() {
    let percents = [50.0, 30.0, 20.0].map(percent);
    let split =
        Split::new("s", &[("a", percents[0]), ("b", percents[1]), ("c", percents[2])], false).unwrap();
    let begin = |percents| Rollout::begin(steps(percents, 60), &split, "x", at(0));
    assert_eq!(
        begin(&[5.0, 70.01]).unwrap_err(),
        ChangeError::NoRoom { percent: percent(70.01), free: percent(70.0) }
    );
    let (mut rollout, _) = begin(&[5.0, 50.0]).unwrap();
    let (old, new) = (window(1_000, 10), window(1_000, 10));
    split.set(&[10.0, 85.0, 5.0].map(percent), "bob", at(1)).unwrap();
    assert!(rollout.steer(&split, (&old, &new), "x", at(60)).is_err());
    assert_eq!(rollout.step(), 0);
    split.set(&[60.0, 35.0, 5.0].map(percent), "bob", at(61)).unwrap();
    rollout.steer(&split, (&old, &new), "x", at(62)).unwrap();
    assert_eq!(split.percents(at(62)), [15.0, 35.0, 50.0].map(percent));
    // A rollback gives back what the first had lost, and the one between keeps its own.
    rollout.abort().apply(&split, "x", at(63)).unwrap();
    assert_eq!(split.percents(at(63)), [65.0, 35.0, 0.0].map(percent));
}
