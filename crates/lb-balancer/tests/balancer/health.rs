//! Active checks behind the handle: real listeners on loopback.

use crate::support::{backend, builder};
use lb_balancer::{CheckError, HealthCheck, LoadBalancer};
use lb_types::{Backend, BackendPatch, HealthEvent};
use std::net::TcpListener;
use std::time::Duration;

fn at(id: &str, listener: &TcpListener) -> Backend {
    Backend::new(id, format!("http://{}", listener.local_addr().unwrap()).parse().unwrap())
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[tokio::test]
async fn checks_by_hand_follow_the_set_of_backends() {
    let (a, b) = (listener(), listener());
    let check = HealthCheck::tcp().thresholds(1, 1);
    let lb = LoadBalancer::builder().backend(at("a", &a)).health_check(check).build().unwrap();
    assert!(lb.has_health_check() && lb.check_backend(&"a".into()).await.unwrap().healthy);
    assert!(matches!(lb.check_backend(&"b".into()).await, Err(CheckError::HealthCheck(_))));

    lb.add_backend(at("b", &b)).unwrap();
    drop(b);
    assert!(!lb.check_backend(&"b".into()).await.unwrap().healthy);
    let ids = |list: Vec<std::sync::Arc<Backend>>| list.iter().map(|b| b.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(lb.healthy_backends()), ["a"]);
    let status = lb.health_status();
    assert_eq!((status.len(), status["b"].healthy, status["b"].consecutive_failures), (2, false, 1));

    // A new address starts anew, in the pool and in the checker.
    let mut patch = BackendPatch::default();
    patch.url = Some(at("b", &a).url);
    lb.update_backend(&"b".into(), patch).unwrap();
    assert_eq!((ids(lb.healthy_backends()).len(), lb.health_status()["b"].consecutive_failures), (2, 0));
    assert!(lb.check_all_backends().await.unwrap().values().all(|s| s.healthy));
    lb.remove_backend(&"b".into()).unwrap();
    assert_eq!(lb.health_status().len(), 1);
}

#[tokio::test]
async fn a_callback_may_change_the_backends() {
    let a = listener();
    let gone = at("gone", &listener());
    let check = HealthCheck::tcp().thresholds(1, 1).interval(Duration::from_millis(20));
    let lb = LoadBalancer::builder().backend(at("a", &a)).backend(gone).health_check(check).build().unwrap();
    let mut events = lb.events();
    let me = lb.clone();
    assert!(lb.on_event(move |event| {
        if let HealthEvent::BackendUnhealthy { id, .. } = event {
            me.remove_backend(id).unwrap();
        }
    }));
    let running = lb.start().unwrap();
    let unhealthy = async {
        loop {
            if matches!(events.recv().await.unwrap(), HealthEvent::BackendUnhealthy { id, .. } if id == "gone")
            {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), unhealthy).await.unwrap();
    assert_eq!(crate::support::ids(&lb), ["a"]);
    assert_eq!(lb.health_status().into_keys().map(|id| id.to_string()).collect::<Vec<_>>(), ["a"]);
    running.shutdown().await;
}

#[tokio::test]
async fn without_a_health_check_there_is_nothing_to_hear() {
    let lb = builder(&["a"]).build().unwrap();
    assert_eq!(lb.check_backend(&"a".into()).await, Err(CheckError::NoHealthCheck));
    assert_eq!(lb.check_all_backends().await, Err(CheckError::NoHealthCheck));
    assert!(lb.events().recv().await.is_err() && !lb.on_event(|_| ()));
    lb.add_backend(backend("b")).unwrap();
    assert!(lb.health_status().values().all(|s| s.healthy && s.last_check.is_none()));
}
