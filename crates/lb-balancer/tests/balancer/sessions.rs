//! Sessions in picks: who has one goes there, whatever the algorithm says; what ends that, and what does not.

use crate::support::backend;
use lb_balancer::session::{AffinityKind, SessionId};
use lb_balancer::{LoadBalancer, SelectError, SelectOptions, SessionAffinity};
use lb_core::{Change, Refusal};
use lb_types::{BackendId, BackendPatch, Exclusion, HealthSink, Nanos, Outcome, RequestInfo};
use std::collections::BTreeMap;
use std::time::Duration;

const OK: Outcome = Outcome::Success { ttfb: Nanos::from_millis(1) };

fn balancer(affinity: SessionAffinity) -> LoadBalancer {
    let lb = LoadBalancer::builder().seed(7).session_affinity(affinity);
    lb.backends(["a", "b", "c"].map(backend)).build().unwrap()
}

/// Who serves the client with this address.
fn of_ip(lb: &LoadBalancer, ip: [u8; 4]) -> String {
    let lease = lb.select_backend(&RequestInfo::from_ip(ip.into()), &SelectOptions::default()).unwrap();
    let id = lease.backend().id().to_string();
    lease.complete(OK);
    id
}

/// A client with a cookie jar of one.
#[derive(Default)]
struct Browser(Option<String>);

impl Browser {
    fn ask(&mut self, lb: &LoadBalancer) -> Result<String, SelectError> {
        let value = self.0.clone().unwrap_or_default();
        let headers = [("Cookie", value.as_str())];
        let mut selection = lb.selection(
            &RequestInfo { headers: &headers, ..RequestInfo::default() },
            &SelectOptions::default(),
        );
        let lease = lb.acquire(&mut selection)?;
        if let Some(cookie) = lb.set_cookie(&selection, false) {
            self.0 = cookie.split(';').next().map(str::to_owned);
        }
        let id = lease.backend().id().to_string();
        lease.complete(OK);
        Ok(id)
    }
}

#[test]
fn a_client_keeps_its_backend_by_address() {
    let lb = balancer(SessionAffinity::new());
    let first: Vec<_> = (0..90).map(|n| of_ip(&lb, [192, 0, 2, n])).collect();
    for round in 0..3 {
        let again: Vec<_> = (0..90).map(|n| of_ip(&lb, [192, 0, 2, n])).collect();
        assert_eq!(again, first, "{round}");
    }
    let mut counts = BTreeMap::<&str, usize>::new();
    first.iter().for_each(|id| *counts.entry(id).or_default() += 1);
    assert!(counts.len() == 3 && counts.values().all(|&n| n > 15), "{counts:?}");
    // Another node, and this one after a restart, choose alike.
    let other = balancer(SessionAffinity::new());
    assert!((0..90).all(|n| of_ip(&other, [192, 0, 2, n]) == first[usize::from(n)]));
    assert_eq!(lb.session_manager().unwrap().session_stats().active, 90);
}

#[test]
fn a_cookie_is_given_once_and_followed() {
    let lb = balancer(SessionAffinity::cookie());
    let mut browsers: Vec<Browser> = (0..9).map(|_| Browser::default()).collect();
    let first: Vec<_> = browsers.iter_mut().map(|b| b.ask(&lb).unwrap()).collect();
    let jars: Vec<_> = browsers.iter().map(|b| b.0.clone()).collect();
    assert!(jars.iter().all(Option::is_some));
    for (browser, backend) in browsers.iter_mut().zip(&first) {
        assert_eq!(browser.ask(&lb).as_ref(), Ok(backend));
    }
    assert_eq!(browsers.iter().map(|b| b.0.clone()).collect::<Vec<_>>(), jars, "nothing new is sent");
    let mut forger = Browser(Some("LB_SESSION=AAAA".into()));
    forger.ask(&lb).unwrap();
    assert_ne!(forger.0.as_deref(), Some("LB_SESSION=AAAA"), "it was ignored, and replaced");
}

#[test]
fn a_failing_backend_loses_its_sessions_and_a_draining_or_weightless_one_does_not() {
    let lb = balancer(SessionAffinity::cookie());
    let mut browser = Browser::default();
    let home: BackendId = browser.ask(&lb).unwrap().into();
    let stays = |browser: &mut Browser| browser.ask(&lb).unwrap() == *home.as_str();
    lb.pool().set_draining(&home, true).unwrap();
    assert!(stays(&mut browser), "draining");
    lb.undrain(&home).unwrap();
    let mut weightless = BackendPatch::default();
    weightless.weight = Some(0);
    lb.update_backend(&home, weightless).unwrap();
    assert!(stays(&mut browser), "weight 0");
    assert!(
        (0..20).all(|_| Browser::default().ask(&lb).unwrap() != *home.as_str()),
        "for new ones it is not there"
    );
    lb.pool().set_healthy(&home, false);
    let next = browser.ask(&lb).unwrap();
    assert_ne!(next, home.as_str());
    lb.pool().set_healthy(&home, true);
    assert_eq!(browser.ask(&lb).unwrap(), next, "it has moved for good");
    assert_eq!(lb.session_manager().unwrap().session_stats().moved, 1);
}

#[test]
fn a_strict_session_is_refused_rather_than_moved() {
    let lb = balancer(SessionAffinity::cookie().strict(true));
    let mut browser = Browser::default();
    let home: BackendId = browser.ask(&lb).unwrap().into();
    lb.pool().set_healthy(&home, false);
    let refused = SelectError::Bound(Refusal::Excluded(Exclusion::Unhealthy));
    assert_eq!(browser.ask(&lb), Err(refused));
    assert_eq!(refused.to_string(), "the backend that this request belongs to may not take it: unhealthy");
    lb.pool().set_healthy(&home, true);
    assert_eq!(browser.ask(&lb).unwrap(), home.as_str());
    lb.remove_backend(&home).unwrap();
    assert_eq!(browser.ask(&lb), Err(SelectError::Bound(Refusal::Gone)));
}

#[test]
fn a_full_or_tried_backend_is_left_for_once() {
    let lb = LoadBalancer::builder().session_affinity(SessionAffinity::new());
    let lb = lb.backends(["a", "b"].map(|id| backend(id).max_connections(1))).build().unwrap();
    let request = RequestInfo::from_ip([192, 0, 2, 1].into());
    let mut selection = lb.selection(&request, &SelectOptions::default());
    let held = lb.acquire(&mut selection).unwrap();
    let home = held.backend().id().clone();
    assert_ne!(of_ip(&lb, [192, 0, 2, 1]), home.as_str(), "full");
    selection.tried(held.backend());
    let retry = lb.acquire(&mut selection).unwrap();
    assert_ne!(*retry.backend().id(), home, "tried");
    drop((held, retry));
    assert_eq!(of_ip(&lb, [192, 0, 2, 1]), home.as_str(), "and it is at home again");
    assert_eq!(lb.session_manager().unwrap().session_stats().moved, 0);
}

#[tokio::test]
async fn a_cleared_session_begins_anew() {
    let lb = balancer(SessionAffinity::cookie());
    let mut browser = Browser::default();
    browser.ask(&lb).unwrap();
    let id = lb.session_manager().unwrap().sessions(10, lb.moment())[0].id;
    assert_eq!(lb.clear_session(id).await, Ok(true));
    let before = browser.0.clone();
    browser.ask(&lb).unwrap();
    assert_ne!(browser.0, before, "its cookie does not route any more");
    assert_eq!(lb.clear_session(SessionId::from_random(1)).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_sessions_and_lets_none_stay_when_its_grace_is_over() {
    let lb = balancer(SessionAffinity::cookie());
    let mut browser = Browser::default();
    let home: BackendId = browser.ask(&lb).unwrap().into();
    let report = lb.drain(&home, Duration::from_secs(10)).await.unwrap();
    assert_eq!((report.remaining, report.sessions, report.is_empty()), (0, 1, false));
    assert_eq!(report.waited, Duration::from_secs(10));
    assert_ne!(browser.ask(&lb).unwrap(), home.as_str(), "it moves");
    let report = lb.drain(&home, Duration::from_secs(10)).await.unwrap();
    assert!(report.is_empty() && report.waited < Duration::from_secs(1), "{report:?}");
}

#[test]
fn an_explanation_agrees_with_the_pick_and_changes_nothing() {
    for kind in [AffinityKind::IpHash, AffinityKind::Header, AffinityKind::Cookie] {
        for strict in [false, true] {
            let mut affinity = SessionAffinity::new().strict(strict);
            affinity.kind = kind;
            let lb = balancer(affinity);
            let headers = [("x-session-id", "seven")];
            let request = RequestInfo { headers: &headers, ..RequestInfo::from_ip([192, 0, 2, 9].into()) };
            let options = SelectOptions::default();
            let said = lb.explain(&request, &options);
            assert_eq!(lb.session_manager().unwrap().session_stats().total, 0, "{kind}");
            let lease = lb.select_backend(&request, &options).unwrap();
            let home = lease.backend().id().clone();
            lease.complete(OK);
            if kind == AffinityKind::Cookie {
                assert!(
                    said.to_string().contains("session: a new session is bound to whom is picked"),
                    "{said}"
                );
                continue;
            }
            assert_eq!(said.picked.as_ref(), Some(&home), "{kind}");
            let said = lb.explain(&request, &options);
            assert_eq!(said.picked.as_ref(), Some(&home));
            assert!(said.to_string().contains(&format!("stays on {home}")), "{said}");
            lb.pool().apply(vec![Change::Drain(home.clone(), true)]).unwrap();
            assert_eq!(lb.explain(&request, &options).picked.as_ref(), Some(&home));
            lb.pool().set_healthy(&home, false);
            let said = lb.explain(&request, &options);
            let got = lb.select_backend(&request, &options);
            assert_eq!(said.picked, got.as_ref().ok().map(|l| l.backend().id().clone()), "{said}");
            assert_eq!(said.error, got.err().map(|e| e.to_string()));
            let word = if strict { "it is strict, and refused" } else { "it moves" };
            assert!(said.to_string().contains(word), "{said}");
        }
    }
}

#[cfg(feature = "cache")]
#[test]
fn the_cache_chooses_for_new_sessions() {
    let lb = LoadBalancer::builder()
        .seed(7)
        .session_affinity(SessionAffinity::cookie())
        .caching(lb_balancer::Caching::default())
        .backends(["a", "b", "c"].map(backend))
        .build()
        .unwrap();
    let new_client = || {
        let request = RequestInfo::from_ip([192, 0, 2, 1].into());
        let said = lb.explain(&request, &SelectOptions::default());
        let lease = lb.select_backend(&request, &SelectOptions::default()).unwrap();
        let id = lease.backend().id().clone();
        assert_eq!(said.picked.as_ref(), Some(&id), "{said}");
        lease.complete(OK);
        id
    };
    let first = new_client();
    assert!((0..9).all(|_| new_client() == first), "each has another session, and all have one address");
    assert_eq!(lb.session_manager().unwrap().session_stats().total, 10);
    let stats = lb.cache_stats().unwrap();
    assert_eq!((stats.hits, stats.misses, stats.moved), (9, 1, 0));
    lb.pool().set_draining(&first, true).unwrap();
    assert_ne!(new_client(), first);
    assert_eq!(lb.cache_stats().unwrap().moved, 1);
}

#[tokio::test]
async fn after_a_drain_no_cookie_of_another_node_brings_anybody_back() {
    let node = || {
        let secret = lb_balancer::session::Secret::new("sixteen bytes or more").unwrap();
        balancer(SessionAffinity::cookie().secret(secret))
    };
    let (one, other) = (node(), node());
    let mut browser = Browser::default();
    let home: BackendId = browser.ask(&one).unwrap().into();
    assert!(other.drain(&home, Duration::from_secs(10)).await.unwrap().is_empty(), "it knows of no session");
    assert_ne!(browser.ask(&other).unwrap(), home.as_str());
}
