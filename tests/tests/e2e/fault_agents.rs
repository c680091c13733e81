//! Agents beside the backends say over TCP what traffic these want.

use crate::standing::exclusion;
use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Backend, EdgeLb, Load, Step, eventually};
use std::sync::{Arc, Mutex};

/// Says its line to whoever connects, and closes.
struct Agent {
    port: Backend,
    line: Arc<Mutex<String>>,
}

impl Agent {
    fn saying(line: &str) -> Self {
        let line = Arc::new(Mutex::new(line.to_owned()));
        let said = line.clone();
        let port = Backend::builder("agent").on_connect(move |_| {
            let line = said.lock().unwrap().clone();
            Some(vec![Step::Send(line.into_bytes()), Step::Close])
        });
        Self { port: port.start(), line }
    }

    /// From now on, and asked for at least once since.
    fn says(&self, line: &str) {
        line.clone_into(&mut self.line.lock().unwrap());
        let known = self.port.connection_count();
        // The one that was counted last may have been answered before.
        eventually(SOON, "it is asked", || self.port.connection_count() >= known + 2);
    }

    fn keys(&self) -> String {
        format!("agent_check = {{ port = {} }}", self.port.address().port().expect("it is TCP"))
    }
}

/// Of 30 requests.
fn share_of_a(lb: &EdgeLb) -> usize {
    let report = Load::new(lb.address()).requests_each(30).run_to_end();
    report.assert_all_ok(30);
    report.from("a")
}

#[test]
fn what_an_agent_says_steers_traffic() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let (agent, other) = (Agent::saying("ready\n"), Agent::saying("up ready 100%\r\n"));
    let setup = Setup::default().backend(&a, &agent.keys()).backend(&b, &other.keys());
    let lb = setup.pool("agent_check = { interval = \"50ms\" }").admin().start();
    let becomes = |line: &str, why: Option<&str>, share: usize| {
        agent.says(line);
        eventually(SOON, &format!("{line:?} is heeded"), || {
            exclusion(&lb, "a").as_deref() == why && share_of_a(&lb) == share
        });
    };
    becomes("ready\n", None, 15);
    becomes("drain\n", Some("draining"), 0);
    // What a line does not mention stays.
    becomes("100%\n", Some("draining"), 0);
    becomes("50% ready\n", None, 10);
    becomes("maint # until noon\n", Some("maintenance"), 0);
    becomes("ready\n", None, 10);
    becomes("ready, 100%\n", None, 15);
    becomes("down\n", Some("unhealthy"), 0);
    becomes("what?\n", Some("unhealthy"), 0);
    becomes("up\n", None, 15);
    assert_eq!(exclusion(&lb, "b"), None);
}

/// An agent that is gone is no news of its backend.
#[test]
fn an_agent_that_cannot_be_reached_changes_nothing() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let agent = Agent::saying("drain\n");
    let setup = Setup::default().backend(&a, &agent.keys()).backend(&b, "");
    let lb = setup.pool("agent_check = { interval = \"50ms\" }").admin().start();
    eventually(SOON, "a drains", || exclusion(&lb, "a").as_deref() == Some("draining"));
    agent.port.kill();
    // Long enough for some questions; the share says the same as the state.
    for _ in 0..5 {
        assert_eq!(share_of_a(&lb), 0);
    }
    assert_eq!(exclusion(&lb, "a").as_deref(), Some("draining"));
    *agent.line.lock().unwrap() = "ready\n".to_owned();
    agent.port.revive();
    eventually(SOON, "a serves again", || exclusion(&lb, "a").is_none() && share_of_a(&lb) == 15);
}
