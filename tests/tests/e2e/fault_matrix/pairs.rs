//! Two backends of three fail in different ways at once: while the third is usable, no GET is lost.

use super::clients::Clients;
use super::fault::{Bad, Fault, healthy};
use super::mechanism::Mechanism;
use crate::standing::standing;
use edge_lb_tests::{SOON, Setup};
use lb_testkit::eventually;

const RETRIES: &str = "retry_policy = { retry_on = [\"connect-failure\", \"reset\", \"timeout\", \"5xx\"], \
                       per_try_timeout = \"400ms\" }";

fn lose_nothing(first: Fault, second: Fault) {
    let bad = [Bad::named("bad", first, true), Bad::named("worse", second, true)];
    let good = healthy("good");
    let setup = Setup::new([&bad[0].backend, &bad[1].backend, &good]).top("workers = 2").admin();
    let lb = Mechanism::All.configure(setup.pool("algorithm = \"round-robin\"").pool(RETRIES)).start();
    let clients = Clients::start(lb.address());
    let ids = ["bad", "worse"];
    eventually(SOON, "all serve", || ids.iter().all(|id| standing(&lb, id).succeeded >= 10));
    eventually(SOON, "the checks know them", || ids.iter().all(|id| standing(&lb, id).passes));

    bad.iter().for_each(Bad::begin);
    eventually(SOON, "both are out", || ids.iter().all(|id| standing(&lb, id).exclusion.is_some()));
    let done = clients.done();
    eventually(SOON, "the third serves", || clients.done() >= done + 100);
    bad.iter().for_each(Bad::end);
    let known = ids.map(|id| standing(&lb, id).succeeded);
    eventually(SOON, "both are back", || {
        ids.iter().zip(known).all(|(id, known)| {
            let now = standing(&lb, id);
            now.exclusion.is_none() && now.succeeded >= known + 10
        })
    });
    let outcomes = clients.stop();
    assert!(outcomes.lost.is_empty() && outcomes.wrong.is_empty(), "{first:?}, {second:?}: {outcomes:?}");
    lb.stop().assert_no_panic();
}

#[test]
fn two_faults_at_once_lose_nothing_while_a_third_is_usable() {
    lose_nothing(Fault::Refuses, Fault::Fails);
    lose_nothing(Fault::NeverAnswers, Fault::ResetsBeforeAnswer);
    lose_nothing(Fault::Garbage, Fault::Unavailable);
}
