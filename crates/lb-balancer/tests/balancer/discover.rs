//! Discovery by a scripted source.

use crate::support::{backend, builder, ids, pick, until};
use lb_balancer::discover::DiscoverFuture;
use lb_balancer::{Discover, DiscoverError, LoadBalancer, StaticList};
use lb_types::{Backend, BackendPatch};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::Instant;

type Answer = Result<Vec<Backend>, DiscoverError>;

struct Script(UnboundedReceiver<Answer>);

impl Discover for Script {
    fn describe(&self) -> String {
        "script".into()
    }
    fn next(&mut self) -> DiscoverFuture<'_> {
        Box::pin(async {
            match self.0.recv().await {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

fn script() -> (UnboundedSender<Answer>, Script) {
    let (tx, rx) = unbounded_channel();
    (tx, Script(rx))
}

fn down() -> DiscoverError {
    DiscoverError::Lookup { name: "x.".into(), records: "A", error: "no".into() }
}

fn successes(lb: &LoadBalancer) -> u64 {
    lb.discovery_status()[0].successes
}

#[tokio::test(start_paused = true)]
async fn lists_come_and_go_and_errors_change_nothing() {
    let (say, source) = script();
    let lb = builder(&["configured"]).discover(source).build().unwrap();
    let running = lb.start().unwrap();
    say.send(Ok(vec![backend("a"), backend("b").weight(2)])).unwrap();
    until("first list", || successes(&lb) == 1).await;
    assert_eq!(ids(&lb), ["a", "b", "configured"]);
    let lease = std::iter::repeat_with(|| pick(&lb)).find(|l| *l.backend().id() == "b").unwrap();

    say.send(Err(down())).unwrap();
    until("the error", || lb.discovery_status()[0].failures == 1).await;
    assert_eq!(ids(&lb), ["a", "b", "configured"], "the last good list stays");
    assert_eq!(lb.discovery_status()[0].last_error.as_deref(), Some("looking up x. (A): no"));

    say.send(Ok(vec![backend("b").weight(5)])).unwrap();
    until("second list", || successes(&lb) == 2).await;
    assert_eq!(
        (ids(&lb), lb.get_backend(&"b".into()).unwrap().weight),
        (vec!["b".into(), "configured".into()], 5)
    );
    assert_eq!(lb.metrics().backends.iter().find(|b| b.id == "b").unwrap().in_flight, 1, "its state stays");
    drop(lease);
    let status = &lb.discovery_status()[0];
    assert_eq!((status.backends, &status.last_error), (1, &None));
    assert!(status.last_success.is_some() && status.last_change == status.last_success);

    say.send(Ok(vec![])).unwrap();
    until("the empty list", || successes(&lb) == 3).await;
    assert_eq!(ids(&lb), ["configured"]);
    running.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_anothers_stays_and_what_was_changed_by_hand_too() {
    let (say, source) = script();
    let other = StaticList::new(vec![backend("theirs")]);
    let lb = builder(&["configured"]).discover(source).discover(other).build().unwrap();
    let running = lb.start().unwrap();
    until("the static list", || lb.discovery_status()[1].successes == 1).await;
    say.send(Ok(vec![backend("configured").weight(9), backend("theirs").weight(9), backend("a")])).unwrap();
    until("the list", || successes(&lb) == 1).await;
    assert_eq!(ids(&lb), ["a", "configured", "theirs"]);
    assert!(lb.all_backends().iter().all(|b| b.weight == 1));
    let complaint = lb.discovery_status()[0].last_error.clone().unwrap();
    assert_eq!(
        complaint,
        "2 of the list's ids are in the pool already and were left alone, such as \"configured\""
    );

    lb.update_backend(&"a".into(), BackendPatch::weight(3)).unwrap();
    say.send(Ok(vec![backend("a")])).unwrap();
    until("the same again", || successes(&lb) == 2).await;
    assert_eq!(lb.get_backend(&"a".into()).unwrap().weight, 3, "the source did not change its mind");
    say.send(Ok(vec![])).unwrap();
    until("nothing", || successes(&lb) == 3).await;
    assert_eq!(ids(&lb), ["configured", "theirs"]);
    running.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn lists_that_cannot_be_are_refused_whole() {
    let (say, source) = script();
    let lb = LoadBalancer::builder().discover(source).build().unwrap();
    let running = lb.start().unwrap();
    let bad = [
        (vec![backend("a"), backend("a")], "backend id \"a\" is used twice"),
        (vec![backend("a"), Backend::new("", backend("b").url)], "a backend id must not be empty"),
        (vec![backend("a").weight(0)], "all 1 backends have weight 0"),
    ];
    for (n, (list, wanted)) in bad.into_iter().enumerate() {
        say.send(Ok(list)).unwrap();
        until("refusal", || lb.discovery_status()[0].failures == n as u64 + 1).await;
        let error = lb.discovery_status()[0].last_error.clone().unwrap();
        assert!(error.contains(wanted) && ids(&lb).is_empty(), "{error}");
    }
    running.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_while_a_source_cannot_be_had() {
    let (say, source) = script();
    for _ in 0..8 {
        say.send(Err(down())).unwrap();
    }
    let lb = LoadBalancer::builder().discover(source).build().unwrap();
    let running = lb.start().unwrap();
    let start = Instant::now();
    until("all errors", || lb.discovery_status()[0].failures == 8).await;
    // 1 + 2 + 4 + 8 + 16 + 30 + 30 s, each shortened by at most a quarter.
    let took = start.elapsed().as_secs_f64();
    assert!((68.0..=91.5).contains(&took), "{took}");
    running.shutdown().await;
    // Nothing is lost by a restart.
    let running = lb.start().unwrap();
    say.send(Ok(vec![backend("a")])).unwrap();
    until("the list", || successes(&lb) == 1).await;
    tokio::time::timeout(Duration::from_secs(1), running.shutdown()).await.unwrap();
}
