//! Guarded rollouts through the real binary: a side that fails is rolled back with its reason, one that does not is promoted.

use crate::splits::{cli, config, get, order};
use edge_lb_tests::quick::{QuickBackend, QuickLoad};
use edge_lb_tests::{SOON, metric};
use lb_testkit::{EdgeLb, eventually};
use serde_json::json;
use std::time::Duration;

/// Steps of one second, and a margin so wide that some hundred requests decide. In the last step the equal side needs evidence of 20: with no
/// errors, 10 % of margin and half of the requests, that are some sixty of its own (`M−_new(0.1) = 0.9ⁿ⁻¹ / 12`). The side that fails 20 % needs 200 against
/// it (two steps, 1 %): some hundred.
const SPLIT: &str = "workers = 2\nroutes = [{ split = \"s\" }]\n\
    [splits.s]\ntargets = [{ pool = \"blue\", percent = 100 }, { pool = \"green\", percent = 0 }]\n\
    rollout = { steps = [{ percent = 20, duration = \"1s\" }, { percent = 50, duration = \"1s\" }], error_difference_max = 0.1, patience = \"60s\" }";

fn gateway(blue: &QuickBackend, green: &QuickBackend) -> EdgeLb {
    EdgeLb::with_config(config(SPLIT, &[("blue", blue.url()), ("green", green.url())]))
}

#[test]
fn a_side_that_fails_is_rolled_back_with_its_reason() {
    let (blue, green) = (QuickBackend::start('b'), QuickBackend::start('g'));
    let lb = gateway(&blue, &green);
    green.fail_every(3);
    let load = QuickLoad::start(lb.address(), 4);
    let started = cli(&lb, &["rollout", "start", "s"]);
    assert_eq!(started.code, Some(0), "{}", started.stderr);
    assert!(started.stdout.starts_with("s  step 1 of 2, 20 % to green"), "{}", started.stdout);
    let again = order(&lb, "POST", "/api/v1/rollouts/s", &json!({ "action": "start" }));
    assert_eq!((again.0, &again.1["detail"]), (409, &json!("split s has a rollout under way")));
    eventually(SOON * 3, "it is rolled back", || get(&lb, "/api/v1/rollouts/s")["state"] != "running");
    let r = get(&lb, "/api/v1/rollouts/s");
    assert_eq!(
        (&r["state"], &r["reason"], &r["step"]),
        (&json!("rolled-back"), &json!("errors"), &json!(1)),
        "{r}"
    );
    let (requests, errors) = (r["new"]["requests"].as_u64().unwrap(), r["new"]["errors"].as_u64().unwrap());
    assert!(errors * 4 > requests && r["old"]["errors"] == 0, "{r}");
    load.stop();

    let split = get(&lb, "/api/v1/splits/s");
    let event = split["events"].as_array().unwrap().last().unwrap();
    assert_eq!((&event["by"], &event["change"]), (&json!("rollout"), &json!("rollout")));
    assert_eq!((&event["decision"], &event["to"]["green"]), (&json!("roll back: errors"), &json!(0.0)));
    assert!(lb.stderr().contains("roll back: errors"), "{}", lb.stderr());
    assert_eq!(metric(&lb, "edge_lb_rollout_state", &["state=\"rolled-back\""]), 1.0);
    let status = cli(&lb, &["rollout", "status", "s"]);
    assert_eq!(status.code, Some(1));
    assert!(status.stdout.starts_with("s  rolled back in step 1 of 2: errors"), "{}", status.stdout);

    // Another may begin, and is ended by hand.
    let begun = order(&lb, "POST", "/api/v1/rollouts/s", &json!({ "action": "start", "by": "ann" }));
    assert_eq!((begun.0, &begun.1["state"], &begun.1["by"]), (200, &json!("running"), &json!("ann")));
    assert_eq!(cli(&lb, &["rollout", "extend", "s"]).code, Some(0));
    let aborted = order(&lb, "POST", "/api/v1/rollouts/s", &json!({ "action": "abort" }));
    assert_eq!((aborted.0, &aborted.1["reason"]), (200, &json!("aborted")));
    assert_eq!(get(&lb, "/api/v1/splits/s")["targets"][1]["percent"], 0.0);

    // And one that somebody overtakes.
    assert_eq!(cli(&lb, &["rollout", "start", "s"]).code, Some(0));
    assert_eq!(cli(&lb, &["split", "canary", "s", "7"]).code, Some(0));
    eventually(SOON, "it is overtaken", || get(&lb, "/api/v1/rollouts/s")["state"] == "overtaken");
    assert_eq!(get(&lb, "/api/v1/splits/s")["targets"][1]["percent"], 7.0);
}

#[test]
fn an_equal_side_is_promoted_step_by_step() {
    let (blue, green) = (QuickBackend::start('b'), QuickBackend::start('g'));
    let lb = gateway(&blue, &green);
    let load = QuickLoad::start(lb.address(), 4);
    assert_eq!(cli(&lb, &["rollout", "start", "s"]).code, Some(0));
    eventually(SOON * 3, "it is promoted", || get(&lb, "/api/v1/rollouts/s")["state"] != "running");
    let r = get(&lb, "/api/v1/rollouts/s");
    assert_eq!((&r["state"], &r["step"]), (&json!("promoted"), &json!(2)), "{r}");
    let promoted = load.now();
    let had = green.requests();
    eventually(SOON, "green goes on", || {
        green.requests() > had + 100 && load.now() > promoted + Duration::from_millis(150)
    });
    let asked = load.stop();
    assert!(asked.iter().all(|a| matches!(a.answer, Some((200, _)))));
    let after = asked.iter().filter(|a| a.began > promoted + Duration::from_millis(100));
    assert!(after.clone().count() > 0 && after.clone().all(|a| a.answer == Some((200, 'g'))));
    let split = get(&lb, "/api/v1/splits/s");
    let events = split["events"].as_array().unwrap();
    let decisions: Vec<_> = events.iter().map(|e| e["decision"].as_str().unwrap()).collect();
    assert_eq!(decisions, ["advance to 20 %", "advance to 50 %", "promote"]);
    assert_eq!(cli(&lb, &["rollout", "status", "s"]).code, Some(0));
}
