//! A session's life on one node, under virtual time.

use lb_session::{
    Affinity, CookieOptions, Ignored, Moment, Resolved, Secret, SessionAffinity, SessionId, SessionManager,
    SessionView, Source,
};
use lb_types::{BackendId, Nanos, RequestInfo};
use std::time::Duration;

const START: u32 = 1_800_000_000;

fn at(s: u32) -> Moment {
    Moment { now: Nanos::from_secs(s.into()), unix_s: START + s }
}

fn manager(settings: SessionAffinity) -> SessionManager {
    SessionManager::new(settings, "shop", [7; 32]).unwrap()
}

fn id(n: u128) -> SessionId {
    SessionId::from_random(n)
}

fn b(name: &str) -> BackendId {
    name.into()
}

/// What a browser sends back of a `Set-Cookie`.
fn pair(set_cookie: &str) -> String {
    set_cookie.split(';').next().unwrap().to_owned()
}

fn ask(m: &SessionManager, cookie: &str, fresh: u128, s: u32) -> Resolved {
    let headers = [("cookie", cookie)];
    m.resolve(&RequestInfo { headers: &headers, ..RequestInfo::default() }, || id(fresh), at(s))
}

/// A client that was assigned to `a` at 0 s, and its cookie.
fn client(m: &SessionManager) -> String {
    assert_eq!(m.assign(id(1), &b("a"), at(0)), "a");
    pair(&m.set_cookie(id(1), at(0), false).unwrap())
}

#[test]
fn a_cookie_is_followed_renewed_at_half_its_time_and_expires() {
    let m = manager(SessionAffinity::cookie());
    let cookie = client(&m);
    let r = ask(&m, &format!("x=1; {cookie}; y=2"), 2, 1_799);
    assert_eq!((r.session, r.affinity, r.source), (Some(id(1)), Affinity::Backend(b("a")), Source::Table));
    assert_eq!((r.fresh, r.cookie_due, r.ignored), (false, false, None));
    assert!(ask(&m, &cookie, 2, 1_800).cookie_due);
    let renewed = pair(&m.set_cookie(id(1), at(1_800), false).unwrap());
    let r = ask(&m, &cookie, 3, 3_601);
    assert_eq!((r.session, r.affinity, r.ignored), (Some(id(3)), Affinity::None, Some(Ignored::Expired)));
    assert!(r.fresh);
    assert_eq!(ask(&m, &renewed, 3, 5_400).affinity, Affinity::Backend(b("a")));
    assert_eq!(m.session_stats().ignored.of(Ignored::Expired), 1);
}

#[test]
fn a_life_in_use_ends_by_max_lifetime() {
    let m = manager(SessionAffinity::cookie().max_lifetime(Some(Duration::from_secs(7_200))));
    let mut cookie = client(&m);
    for s in (0..=7_200).step_by(1_200) {
        assert_eq!(ask(&m, &cookie, 2, s).affinity, Affinity::Backend(b("a")), "{s}");
        cookie = pair(&m.set_cookie(id(1), at(s), false).unwrap());
    }
    assert_eq!(ask(&m, &cookie, 2, 7_201).ignored, Some(Ignored::Expired));
    assert_eq!(m.backend_for_session(id(1), at(7_201)), None);

    // By header the same id begins anew.
    let m = manager(SessionAffinity::header("X-User").max_lifetime(Some(Duration::from_secs(3_600))));
    let headers = [("x-user", "ann")];
    let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
    let session = m.resolve(&request, || id(9), at(0)).session.unwrap();
    m.assign(session, &b("a"), at(0));
    assert!(m.touch(session, at(3_000)));
    assert_eq!(m.resolve(&request, || id(9), at(3_601)).affinity, Affinity::None);
    assert_eq!(m.assign(session, &b("b"), at(3_601)), "b");
    assert_eq!(m.resolve(&request, || id(9), at(3_700)).affinity, Affinity::Backend(b("b")));
}

#[test]
fn the_first_assignment_wins_and_one_move_does() {
    let m = manager(SessionAffinity::cookie());
    let old = client(&m);
    assert_eq!(m.assign(id(1), &b("b"), at(1)), "a", "another request was faster");
    assert_eq!(m.reassign(id(1), &b("a"), &b("c"), at(2)), "c");
    assert_eq!(m.reassign(id(1), &b("a"), &b("d"), at(2)), "c", "it has moved already");
    let r = ask(&m, &old, 2, 3);
    assert_eq!((r.affinity, r.cookie_due), (Affinity::Backend(b("c")), true));
    let new = pair(&m.set_cookie(id(1), at(3), false).unwrap());
    assert!(!ask(&m, &new, 2, 4).cookie_due);
    assert_eq!(m.session_stats().moved, 1);
    assert_eq!((m.sessions_on(&b("c"), at(4)), m.sessions_on(&b("a"), at(4))), (1, 0));
}

#[test]
fn a_cleared_cookie_does_not_route_until_it_is_over() {
    let m = manager(SessionAffinity::cookie());
    let cookie = client(&m);
    assert!(m.clear_session(id(1), at(10)));
    assert!(!m.clear_session(id(1), at(11)));
    for s in [11, 1_000, 3_600] {
        let r = ask(&m, &cookie, 2, s);
        assert_eq!(
            (r.session, r.affinity, r.ignored),
            (Some(id(2)), Affinity::Cleared, Some(Ignored::Cleared))
        );
    }
    assert_eq!(m.assign(id(1), &b("b"), at(12)), "b", "the request goes somewhere");
    assert_eq!(m.backend_for_session(id(1), at(12)), None, "and is bound to nothing");
    assert_eq!((m.set_cookie(id(1), at(12), false), m.touch(id(1), at(12))), (None, false));
    assert_eq!(ask(&m, &cookie, 2, 3_611).ignored, Some(Ignored::Expired), "when the tombstone goes");
    let stats = m.session_stats();
    assert_eq!((stats.cleared, stats.active, stats.ignored.of(Ignored::Cleared)), (1, 0, 3));
    // One that this node never saw, and its cookie.
    let elsewhere = manager(SessionAffinity::cookie());
    elsewhere.assign(id(5), &b("a"), at(0));
    elsewhere.reassign(id(5), &b("a"), &b("b"), at(0));
    let cookie = pair(&elsewhere.set_cookie(id(5), at(0), false).unwrap());
    assert!(!m.clear_session(id(5), at(3_700)));
    assert_eq!(ask(&m, &cookie, 2, 3_500).affinity, Affinity::Cleared);
}

#[test]
fn by_header_a_cleared_session_begins_anew() {
    let m = manager(SessionAffinity::header("X-User"));
    let headers = [("x-user", "ann")];
    let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
    let ask = |s| m.resolve(&request, || id(9), at(s));
    let session = ask(0).session.unwrap();
    assert_eq!(m.assign(session, &b("a"), at(0)), "a");
    assert_eq!(ask(1).affinity, Affinity::Backend(b("a")));
    m.clear_session(session, at(2));
    assert_eq!((ask(3).affinity, ask(3).session), (Affinity::Cleared, Some(session)));
    assert_eq!(m.assign(session, &b("b"), at(3)), "b");
    assert_eq!(ask(4).affinity, Affinity::Backend(b("b")));
    let nobody = m.resolve(&RequestInfo::default(), || id(9), at(4));
    assert_eq!((nobody.session, nobody.affinity), (None, Affinity::None));
}

#[test]
fn nodes_with_one_secret_go_on_by_the_cookie_alone() {
    let settings = || SessionAffinity::cookie().secret(Secret::new([1; 16]).unwrap());
    let (one, two) = (manager(settings()), manager(settings()));
    let first = client(&one);
    let r = ask(&two, &first, 2, 5);
    assert_eq!((r.affinity, r.source), (Affinity::Backend(b("a")), Source::Cookie));
    assert_eq!(two.reassign(id(1), &b("a"), &b("b"), at(6)), "b");
    let moved = pair(&two.set_cookie(id(1), at(6), false).unwrap());
    assert_eq!(ask(&one, &moved, 2, 7).affinity, Affinity::Backend(b("b")), "it moved since");
    let stale = ask(&one, &first, 2, 8);
    assert_eq!(
        (stale.affinity, stale.cookie_due),
        (Affinity::Backend(b("b")), true),
        "an old cookie moves nothing back"
    );

    let other = SessionManager::new(SessionAffinity::cookie(), "shop", [8; 32]).unwrap();
    assert_eq!(ask(&other, &first, 2, 5).ignored, Some(Ignored::Forged), "its secret is its own");
}

#[test]
fn of_several_cookies_the_one_that_is_ours_counts() {
    let m = manager(SessionAffinity::cookie());
    let cookie = client(&m);
    let r = ask(&m, &format!("LB_SESSION=forged; {cookie}"), 2, 1);
    assert_eq!((r.affinity, r.ignored), (Affinity::Backend(b("a")), None));
    let lines = |lines: &[&str]| {
        let headers: [_; 6] = std::array::from_fn(|n| ("Cookie", lines.get(n).copied().unwrap_or_default()));
        let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
        m.resolve(&request, || id(2), at(1))
    };
    assert_eq!(lines(&["x=1", "LB_SESSION=", &cookie]).affinity, Affinity::Backend(b("a")));
    assert_eq!(m.session_stats().ignored.sum(), 0);
    let r = ask(&m, "LB_SESSION=forged", 2, 1);
    assert_eq!((r.ignored, m.session_stats().ignored.sum()), (Some(Ignored::Malformed), 1));
    // Four are looked at in all, not four of each line.
    let two = "LB_SESSION=forged; LB_SESSION=forged";
    assert_eq!(lines(&[two, "LB_SESSION=forged", &cookie]).ignored, None);
    assert_eq!(lines(&[two, two, &cookie]).affinity, Affinity::None);
}

#[test]
fn an_id_is_drawn_only_when_it_is_needed() {
    let m = manager(SessionAffinity::cookie());
    let cookie = client(&m);
    let headers = [("cookie", &*cookie)];
    let request = RequestInfo { headers: &headers, ..RequestInfo::from_ip([192, 0, 2, 7].into()) };
    m.resolve(&request, || unreachable!("it has a cookie"), at(1));
    manager(SessionAffinity::new()).resolve(&request, || unreachable!("it has an address"), at(1));
    let nobody = RequestInfo::default();
    manager(SessionAffinity::new()).resolve(&nobody, || unreachable!("not by cookie"), at(1));
}

#[test]
fn what_is_over_for_its_age_is_in_no_list_and_has_no_cookie() {
    let m = manager(
        SessionAffinity::cookie().ttl(Duration::from_secs(60)).max_lifetime(Some(Duration::from_secs(90))),
    );
    m.assign(id(1), &b("a"), at(0));
    assert!(m.touch(id(1), at(50)) && m.set_cookie(id(1), at(90), false).is_some());
    assert_eq!((m.sessions(9, at(90)).len(), m.sessions_on(&b("a"), at(90))), (1, 1));
    assert_eq!(
        (m.sessions(9, at(91)).len(), m.sessions_on(&b("a"), at(91))),
        (0, 0),
        "a drain waits no longer"
    );
    assert_eq!((m.set_cookie(id(1), at(91), false), m.touch(id(1), at(91))), (None, false));
    let by_address = manager(SessionAffinity::new());
    by_address.assign(id(1), &b("a"), at(0));
    assert_eq!(by_address.set_cookie(id(1), at(0), false), None, "nobody would read it");
}

#[test]
fn a_short_max_age_renews_sooner() {
    let options = CookieOptions::new().max_age(Some(Duration::from_secs(60)));
    let m = manager(SessionAffinity::cookie().cookie_options(options));
    let cookie = client(&m);
    assert!(!ask(&m, &cookie, 2, 29).cookie_due);
    assert!(ask(&m, &cookie, 2, 30).cookie_due);
}

#[test]
fn statistics_and_lists() {
    let m = manager(SessionAffinity::cookie().max_sessions(3));
    for n in 0..4 {
        m.assign(id(n), &b(if n % 2 == 0 { "a" } else { "b" }), at(0));
    }
    assert!(m.touch(id(3), at(40)));
    let stats = m.session_stats();
    assert_eq!((stats.active, stats.total, stats.evicted), (3, 4, 1));
    assert!((stats.avg_duration - 10.0).abs() < 0.01, "40 s over 4: {}", stats.avg_duration);
    assert_eq!(m.sessions(2, at(40)).len(), 2);
    assert_eq!(m.sessions(9, at(40)).len(), 3);
    assert_eq!(m.sessions(0, at(40)).len(), 0);
    assert_eq!(m.sessions_on(&b("b"), at(40)), 2);
    let view = |n, idle_s| SessionView { id: id(n), backend: b("b"), created: START, idle_s };
    let mut of_b = m.sessions_of(&b("b"), 9, at(40));
    of_b.sort_by_key(|view| view.id);
    assert_eq!(of_b, [view(1, 40), view(3, 0)]);
    assert_eq!(m.sessions_of(&b("b"), 1, at(40)).len(), 1);
    assert_eq!(m.sessions_of(&b("c"), 9, at(40)), []);
    m.sweep(at(3_610));
    assert_eq!(m.session_stats().active, 1);
    m.sweep(at(9_999));
    assert_eq!((m.session_stats().active, m.session_stats().expired), (0, 3));
}
