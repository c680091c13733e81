//! Changes of the set, and the figures.

use crate::support::{backend, builder, ids, ok, pick};
use lb_balancer::{Change, ChangeError, HealthCheck};
use lb_types::{Backend, BackendPatch, FailureKind, HealthSink, Nanos, Outcome};

#[test]
fn several_changes_are_one_generation_or_none() {
    let lb = builder(&["a", "b"]).build().unwrap();
    let before = lb.pool().snapshot().generation();
    let changes = vec![
        Change::Add(backend("c")),
        Change::Remove("a".into()),
        Change::Update("b".into(), BackendPatch::weight(3)),
    ];
    assert_eq!(lb.apply(changes).unwrap(), before + 1);
    assert_eq!((ids(&lb), lb.get_backend(&"b".into()).unwrap().weight), (vec!["b".into(), "c".into()], 3));
    let bad = vec![Change::Remove("b".into()), Change::Remove("x".into())];
    assert_eq!(lb.apply(bad).unwrap_err().to_string(), "there is no backend \"x\"");
    assert_eq!(lb.pool().snapshot().generation(), before + 1);
    assert_eq!(lb.remove_backend(&"b".into()).unwrap(), before + 2);
    let all_zero = lb.update_backend(&"c".into(), BackendPatch::weight(0)).unwrap_err();
    assert!(matches!(all_zero, ChangeError::Pool(_)), "{all_zero}");
}

#[test]
fn a_backend_that_cannot_be_checked_is_refused_before_anything_changes() {
    // A backend on a unix socket has no port that another could stand for.
    let lb = builder(&["a"]).health_check(HealthCheck::default().port(81)).build().unwrap();
    let unix = Backend::new("s", "unix:/a.sock".parse().unwrap());
    let error = lb.add_backend(unix).unwrap_err();
    assert!(matches!(&error, ChangeError::HealthCheck(_)), "{error}");
    let mut patch = BackendPatch::default();
    patch.url = Some("unix:/a.sock".parse().unwrap());
    assert!(lb.update_backend(&"a".into(), patch).is_err());
    assert_eq!((ids(&lb), lb.pool().snapshot().generation()), (vec!["a".into()], 0));
}

#[test]
fn figures_add_up_and_survive_removal() {
    let lb = builder(&["a", "b"]).build().unwrap();
    let empty = lb.metrics();
    assert_eq!((empty.requests, empty.avg_response_time, empty.p99), (0, None, None));
    let on = |id: &str| std::iter::repeat_with(|| pick(&lb)).find(|l| *l.backend().id() == id).unwrap();
    // `on` drops leases of the other backend: cancelled ones.
    for _ in 0..10 {
        on("a").complete(ok(10));
    }
    on("a").complete(Outcome::Failure { kind: FailureKind::Reset, after: Nanos::from_millis(1) });
    let held = on("a");
    let m = lb.metrics();
    let a = &m.backends[0];
    assert_eq!((a.succeeded, a.failed, a.in_flight, a.weight, a.healthy), (10, 1, 1, 1, true));
    assert_eq!((m.total_backends, m.healthy_backends, m.unhealthy_backends, m.in_flight), (2, 2, 0, 1));
    assert_eq!(m.requests, m.backends.iter().map(lb_balancer::BackendMetrics::requests).sum::<u64>());
    let p50 = m.p50.unwrap();
    assert!((10.0..=11.25).contains(&p50) && m.p90 == m.p50 && a.p99 == m.p99, "{p50}");
    assert!((m.avg_response_time.unwrap() - 10.0).abs() < 0.001);

    lb.pool().set_healthy(&"b".into(), false);
    assert_eq!(lb.metrics().unhealthy_backends, 1);
    lb.pool().set_healthy(&"b".into(), true);

    let total = m.requests;
    lb.remove_backend(&"a".into()).unwrap();
    let m = lb.metrics();
    assert_eq!(
        (m.requests, m.in_flight, m.total_backends),
        (total, 1, 1),
        "a request in flight is not forgotten"
    );
    held.complete(ok(1));
    lb.add_backend(backend("a")).unwrap();
    let m = lb.metrics();
    assert_eq!((m.requests, m.in_flight), (total, 0));
    assert_eq!(m.backends.iter().find(|b| b.id == "a").unwrap().requests(), 0, "a new backend starts at 0");
}
