//! Every interleaving of the breaker, its windows and the retry budget, in small models:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p lb-breaker --test loom`.

#![cfg(loom)]

use lb_breaker::window::{CountWindow, TimeWindow};
use lb_breaker::{Breaker, BreakerSettings, BudgetSettings, Nanos, RetryBudget, State, Transition};
use loom::sync::Arc;
use loom::thread;
use std::sync::Mutex;

/// Explores up to `preemptions` forced switches; `None`: all.
fn model(preemptions: Option<usize>, f: impl Fn() + Sync + Send + 'static) {
    let mut b = loom::model::Builder::new();
    b.preemption_bound = preemptions;
    b.check(f);
}

/// What the observer was told: reason's name and generation. A plain mutex: nothing waits while it is held.
type Told = std::sync::Arc<Mutex<Vec<String>>>;

fn breaker(settings: BreakerSettings) -> (Arc<Breaker>, Told) {
    let told = Told::default();
    let observer = {
        let told = told.clone();
        move |t: Transition| told.lock().unwrap().push(t.reason.to_string())
    };
    (Arc::new(Breaker::with_observer(settings, observer).unwrap()), told)
}

fn told(told: &Told) -> Vec<String> {
    std::mem::take(&mut *told.lock().unwrap())
}

/// Opens at the first failure; recovered at `LATER`.
fn one() -> BreakerSettings {
    BreakerSettings::new().failure_threshold(1).success_threshold(1)
}

const LATER: Nanos = Nanos::from_secs(60);

fn fail(breaker: &Breaker, now: Nanos) {
    if let Ok(permit) = breaker.try_acquire(now) {
        permit.failure(now);
    }
}

#[test]
fn two_failures_at_a_threshold_of_two_open_it_once() {
    model(None, || {
        let (breaker, log) = breaker(BreakerSettings::new().failure_threshold(2));
        let other = thread::spawn({
            let breaker = breaker.clone();
            move || fail(&breaker, Nanos::ZERO)
        });
        fail(&breaker, Nanos::ZERO);
        other.join().unwrap();
        assert_eq!(breaker.state(Nanos::ZERO), State::Open, "a failure was lost");
        assert_eq!(told(&log), ["failure-threshold"]);
    });
}

#[test]
fn three_threads_four_failures_at_a_threshold_of_four() {
    model(Some(4), || {
        let (breaker, log) = breaker(BreakerSettings::new().failure_threshold(4));
        fail(&breaker, Nanos::ZERO);
        let others = [1, 2].map(|ms| {
            let breaker = breaker.clone();
            thread::spawn(move || fail(&breaker, Nanos::from_millis(ms)))
        });
        fail(&breaker, Nanos::from_millis(3));
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(breaker.state(Nanos::ZERO), State::Open, "a failure was lost");
        assert_eq!(told(&log), ["failure-threshold"]);
    });
}

#[test]
fn two_failures_by_rate_open_it_once() {
    let settings = || BreakerSettings::new().failure_threshold(0).failure_rate(100).minimum_calls(2);
    model(None, move || {
        let (breaker, log) = breaker(settings());
        let other = thread::spawn({
            let breaker = breaker.clone();
            move || fail(&breaker, Nanos::ZERO)
        });
        fail(&breaker, Nanos::from_secs(1));
        other.join().unwrap();
        assert_eq!(breaker.state(Nanos::ZERO), State::Open, "a failure was lost");
        assert_eq!(told(&log), ["failure-rate"]);
    });
}

#[test]
fn one_thread_half_opens_it_and_one_probe_is_let_in() {
    model(None, || {
        let (breaker, log) = breaker(one());
        fail(&breaker, Nanos::ZERO);
        told(&log);
        let others = [(), ()].map(|()| {
            let breaker = breaker.clone();
            thread::spawn(move || breaker.admit(LATER).ok())
        });
        let mut admitted: Vec<_> = others.into_iter().filter_map(|t| t.join().unwrap()).collect();
        assert_eq!((admitted.len(), breaker.status(LATER).probes), (1, 1));
        assert_eq!(told(&log), ["recovery-timeout"]);
        breaker.settle(admitted.remove(0), lb_breaker::Verdict::Success, Nanos::ZERO, LATER);
        assert_eq!(breaker.state(LATER), State::Closed);
    });
}

#[test]
fn probes_never_exceed_the_bound_and_come_back_when_cancelled() {
    model(Some(5), || {
        let (breaker, _) = breaker(one().success_threshold(2).half_open_probes(1));
        fail(&breaker, Nanos::ZERO);
        assert!(breaker.early_half_open());
        let inside = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let visit = {
            let (breaker, inside) = (breaker.clone(), inside.clone());
            move || {
                if let Ok(permit) = breaker.try_acquire(LATER) {
                    let before = inside.fetch_add(1, loom::sync::atomic::Ordering::SeqCst);
                    assert_eq!(before, 0, "two probes at a bound of one");
                    inside.fetch_sub(1, loom::sync::atomic::Ordering::SeqCst);
                    drop(permit);
                }
            }
        };
        let others = [thread::spawn(visit.clone()), thread::spawn(visit.clone())];
        visit();
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(breaker.status(LATER).probes, 0);
        assert!(breaker.try_acquire(LATER).is_ok(), "a cancelled probe kept its permit");
    });
}

#[test]
fn two_probes_succeed_and_close_it_once() {
    model(None, || {
        let (breaker, log) = breaker(one().success_threshold(2));
        fail(&breaker, Nanos::ZERO);
        assert!(breaker.early_half_open());
        told(&log);
        let probe = {
            let breaker = breaker.clone();
            move || breaker.try_acquire(LATER).expect("two at a bound of two").success(LATER, Nanos::ZERO)
        };
        let other = thread::spawn(probe.clone());
        probe();
        other.join().unwrap();
        assert_eq!(breaker.state(LATER), State::Closed, "a success was lost");
        assert_eq!(told(&log), ["probes-succeeded"]);
    });
}

#[test]
fn of_a_success_and_a_failure_the_first_decides() {
    model(None, || {
        let (breaker, log) = breaker(one().half_open_probes(2));
        fail(&breaker, Nanos::ZERO);
        let admitted = [breaker.admit(LATER).unwrap(), breaker.admit(LATER).unwrap()];
        told(&log);
        let [good, bad] = admitted;
        let other = thread::spawn({
            let breaker = breaker.clone();
            move || breaker.settle(good, lb_breaker::Verdict::Success, Nanos::ZERO, LATER)
        });
        breaker.settle(bad, lb_breaker::Verdict::Failure, Nanos::ZERO, LATER);
        other.join().unwrap();
        let expected = match breaker.state(LATER) {
            State::Closed => "probes-succeeded",
            _ => "probe-failed",
        };
        assert_eq!(told(&log), [expected], "the second one's verdict is of an earlier state");
    });
}

/// The call began before the reset; its failure comes while the reset is under way, or after.
#[test]
fn a_late_failure_does_not_count_in_the_new_state() {
    model(None, || {
        let (breaker, _) = breaker(BreakerSettings::new().failure_threshold(2));
        let late = breaker.admit(Nanos::ZERO).unwrap();
        let other = thread::spawn({
            let breaker = breaker.clone();
            move || breaker.settle(late, lb_breaker::Verdict::Failure, Nanos::ZERO, Nanos::ZERO)
        });
        breaker.reset();
        fail(&breaker, Nanos::from_millis(1));
        other.join().unwrap();
        let status = breaker.status(Nanos::from_millis(1));
        assert_eq!((status.state, status.failures), (State::Closed, 1));
    });
}

#[test]
fn forcing_it_wins_against_a_failure() {
    model(None, || {
        let (breaker, _) = breaker(one());
        let other = thread::spawn({
            let breaker = breaker.clone();
            move || fail(&breaker, Nanos::ZERO)
        });
        breaker.force_close();
        other.join().unwrap();
        assert!(breaker.is_forced());
        assert_eq!(breaker.state(Nanos::ZERO), State::Closed);
    });
}

/// Two calls take over a bucket from the window before.
#[test]
fn a_bucket_that_changes_hands_loses_no_call() {
    model(None, || {
        let window = Arc::new(TimeWindow::new(Nanos::from_secs(10)));
        window.record(Nanos::from_secs(1), 0, true, false);
        let other = thread::spawn({
            let window = window.clone();
            move || window.record(Nanos::from_secs(11), 0, true, false)
        });
        window.record(Nanos::from_secs(11), 0, false, false);
        other.join().unwrap();
        let totals = window.totals(Nanos::from_secs(11), 0);
        assert_eq!((totals.calls, totals.failures), (2, 1));
    });
}

#[test]
fn the_last_n_calls_are_n() {
    model(None, || {
        let window = Arc::new(CountWindow::new(2));
        let other = thread::spawn({
            let window = window.clone();
            move || window.record(0, true, false)
        });
        window.record(0, false, false);
        other.join().unwrap();
        let totals = window.totals(0);
        assert_eq!((totals.calls, totals.failures), (2, 1));
    });
}

#[test]
fn a_retry_budget_is_never_exceeded_and_what_is_refused_comes_back() {
    model(Some(4), || {
        let settings =
            BudgetSettings::new().percent(0).min_per_second(1).window(std::time::Duration::from_secs(1));
        let budget = Arc::new(RetryBudget::new(settings).unwrap());
        let take = {
            let budget = budget.clone();
            move |ms| budget.try_retry(Nanos::from_millis(ms)).map(lb_breaker::Retry::made).is_some()
        };
        let other = thread::spawn({
            let take = take.clone();
            move || take(0)
        });
        let mine = take(900);
        assert!(!(mine && other.join().unwrap()), "two of one");
        let spent = budget.spent(Nanos::from_millis(900));
        assert!(spent <= 1, "{spent}");
    });
}
