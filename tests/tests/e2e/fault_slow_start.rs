//! A backend that comes back gets its share step by step.

use crate::standing::exclusion;
use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Answer, Backend, EdgeLb, Load, Reply, Stopwatch, Switch, eventually};
use std::time::Duration;

/// How long the ramp takes. Asserted is only what holds within a third of it, and after it.
const WINDOW: Duration = Duration::from_secs(6);
const SAMPLE: usize = 40;

fn share(lb: &EdgeLb) -> usize {
    let report = Load::new(lb.address()).requests_each(SAMPLE).run_to_end();
    assert!(report.errors.is_empty(), "{report:?}");
    report.from("bad")
}

/// Everybody's share is the same in the end; at first, the one that is back has a tenth of it, and grows with time.
fn ramps(mechanism: &str, reason: &str) {
    let (fails, good) = (Switch::new(), Backend::start("good"));
    let is_on = fails.clone();
    let bad = Backend::with("bad", move |_| match is_on.is_on() {
        true => Reply::answer(Answer::new(500)),
        false => Reply::ok("bad"),
    });
    let slow_start =
        format!("slow_start = {{ window = \"{}s\", min_weight_percent = 10 }}", WINDOW.as_secs());
    let lb = Setup::new([&bad, &good]).pool(&slow_start).pool(mechanism).admin().start();
    // At the start of the process all are equally cold: nobody ramps.
    assert_eq!(share(&lb), SAMPLE / 2);
    fails.on();
    let failing = Load::new(lb.address()).requests_each(1_000_000).start();
    eventually(SOON, "it is out", || exclusion(&lb, "bad").as_deref() == Some(reason));
    fails.off();
    failing.stop();
    failing.join();
    eventually(SOON, "it is back", || {
        // A breaker wants probes.
        Load::new(lb.address()).requests_each(2).run_to_end();
        exclusion(&lb, "bad").is_none()
    });
    let watch = Stopwatch::start();
    let mut shares = Vec::new();
    // A half-open breaker's probes are taken at full weight; when it closes, the next snapshot has the ramp, some moments later.
    // A third of the window is a weight of a third, and a quarter of the requests; who looks later sees whether it grew, below.
    eventually(SOON, "it begins with a small share", || {
        shares.push(share(&lb));
        *shares.last().expect("one was pushed") <= SAMPLE / 4 + 1 || watch.elapsed() > WINDOW / 3
    });
    eventually(WINDOW + SOON, "it has its fair share", || {
        shares.push(share(&lb));
        *shares.last().expect("one was pushed") >= SAMPLE / 2 - 1
    });
    println!("{reason}: back to a fair share after {:?}", watch.elapsed());
    let between = shares.iter().filter(|s| (SAMPLE / 5..SAMPLE / 2 - 2).contains(*s)).count();
    assert!(between > 0, "it did not grow, it jumped: {shares:?}");
}

#[test]
fn the_share_grows_after_an_ejection() {
    ramps("outlier_detection = { base_ejection_time = \"500ms\" }", "ejected");
}

#[test]
fn the_share_grows_after_a_breaker_has_closed() {
    ramps("circuit_breaker = { recovery_timeout = \"500ms\", success_threshold = 2 }", "breaker-open");
}
