//! Splits and rollouts as a program gives them to the admin server, for its page and for what it refuses.

use crate::support::Served;
use lb_admin::{RolloutReport, SideCount, SplitControl, SplitEntry};
use lb_split::{Nanos, Percent, Rollout, RolloutError, RolloutSettings, Split, Window};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The split of the documentation, at one moment of a clock that stands still; rollouts see the same traffic always.
pub(crate) struct Checkout {
    split: Arc<Split>,
    rollout: Mutex<Option<(Rollout, String)>>,
}

const NOW: Nanos = Nanos::from_secs(60);

impl Checkout {
    pub(crate) fn new() -> Self {
        let percent = |p: f64| Percent::try_from(p).unwrap();
        let targets = [("blue", percent(90.0)), ("green", percent(10.0))];
        let split = Split::new("checkout", &targets, true).unwrap();
        Self { split: split.into(), rollout: Mutex::default() }
    }
}

impl SplitControl for Checkout {
    fn splits(&self) -> Vec<SplitEntry> {
        vec![SplitEntry {
            split: self.split.clone(),
            sticky: "cookie",
            counts: vec![SideCount { requests: 9_000, errors: 9 }, SideCount { requests: 1_000, errors: 1 }],
            rollout: RolloutSettings::default(),
        }]
    }

    fn now(&self) -> Nanos {
        NOW
    }

    fn unix_ms(&self, at: Nanos) -> u64 {
        1_764_000_000_000 + at.as_millis()
    }

    fn changed(&self, _: &str) {}

    fn rollout(&self, _: &str) -> Option<RolloutReport> {
        let rollout = self.rollout.lock().unwrap();
        let (rollout, by) = rollout.as_ref()?;
        let side = |requests, errors, slow| {
            let mut window = Window::default();
            (window.requests, window.errors, window.timed, window.slow) = (requests, errors, requests, slow);
            window
        };
        let (old, new) = (side(9_500, 10, 480), side(500, 1, 3));
        Some(RolloutReport {
            by: by.clone(),
            began: NOW,
            settings: rollout.settings().clone(),
            status: rollout.status(&old, &new),
            inconclusive: false,
            limits: Some((Duration::from_millis(40), Duration::from_millis(60))),
            old,
            new,
        })
    }

    fn start(&self, name: &str, settings: RolloutSettings, by: &str) -> Result<(), RolloutError> {
        let mut rollout = self.rollout.lock().unwrap();
        if rollout.as_ref().is_some_and(|(rollout, _)| rollout.end().is_none()) {
            return Err(RolloutError::UnderWay(name.to_owned()));
        }
        let (begun, _) = Rollout::begin(settings, &self.split, by, NOW)?;
        *rollout = Some((begun, by.to_owned()));
        Ok(())
    }

    fn extend(&self, name: &str, _: &str) -> Result<(), RolloutError> {
        let mut rollout = self.rollout.lock().unwrap();
        let (rollout, _) = rollout.as_mut().ok_or_else(|| RolloutError::None(name.to_owned()))?;
        rollout.extend(NOW + Nanos::from_secs(3_600));
        Ok(())
    }

    fn abort(&self, name: &str, by: &str) -> Result<(), RolloutError> {
        let mut rollout = self.rollout.lock().unwrap();
        let (rollout, _) = rollout.as_mut().ok_or_else(|| RolloutError::None(name.to_owned()))?;
        rollout.abort_on(&self.split, by, NOW)?;
        Ok(())
    }
}

#[tokio::test]
async fn without_splits_there_are_none() {
    let s = Served::of(vec![]);
    let empty = |what: &str| format!("{{\n  \"{what}\": []\n}}\n");
    assert_eq!(s.get("/api/v1/splits").await.body, empty("splits"));
    assert_eq!(s.get("/api/v1/rollouts").await.body, empty("rollouts"));
    for path in ["/api/v1/splits/a", "/api/v1/rollouts/a"] {
        let answer = s.get(path).await;
        assert_eq!(answer.status, 404);
        assert!(answer.body.contains("there is no split \\\"a\\\""), "{}", answer.body);
    }
    s.stop().await;
}

#[tokio::test]
async fn bodies_and_methods_are_looked_at() {
    let s = Served::with(vec![], |state| state.splits(Checkout::new()));
    let place = "/api/v1/splits/checkout";
    for (method, path, body, status) in [
        ("DELETE", "", "", 405),
        ("PUT", "", "", 415),
        ("PUT", "", "{", 422),
        (
            "PUT",
            "",
            r#"{"targets": [{"pool": "blue", "percent": 60}, {"pool": "blue", "percent": 40}]}"#,
            422,
        ),
        ("POST", "/switch", r#"{"target": "green", "who": "ann"}"#, 422),
        ("POST", "/pause", r#"{"by": 7}"#, 422),
        ("POST", "/pause", r#"{"by": "ann\nINFO forged"}"#, 422),
        ("POST", "/pause", r#"{"by": ""}"#, 422),
        ("POST", "/pause", "", 409),
        ("POST", "/turn", "{}", 404),
        ("PUT", "", r#"{"targets": [{"pool": "green", "percent": 100}]}"#, 200),
    ] {
        let answer = s.send(method, &format!("{place}{path}"), body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
    }
    s.stop().await;
}
