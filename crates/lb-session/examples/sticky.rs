//! A cookie's way through a balancer, without one: `cargo run -p lb-session --example sticky`.

use lb_session::{
    Follow, Moment, SessionAffinity, SessionId, SessionManager, Standing, Stripped, follow, strip,
};
use lb_types::{BackendId, Exclusion, Nanos, RequestInfo};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // From the operating system, in a program: the secret of this process, and each session's id.
    let (random, drawn) = ([7; 32], SessionId::from_random(0x5eed));
    let sessions = SessionManager::new(SessionAffinity::cookie(), "shop", random)?;
    let at = Moment { now: Nanos::from_secs(1), unix_s: 1_800_000_000 };

    let new = sessions.resolve(&RequestInfo::default(), || drawn, at);
    println!("a client without a cookie: {:?}", new.affinity);
    let session = new.session.ok_or("cookies need nothing of the client")?;
    sessions.assign(session, &BackendId::from("a"), at);
    let set_cookie = sessions.set_cookie(session, at, true).ok_or("it was just assigned")?;
    println!("Set-Cookie: {set_cookie}");

    let cookie = format!("theme=dark; {}", set_cookie.split(';').next().unwrap_or_default());
    let headers = [("cookie", &*cookie)];
    let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
    println!("the client comes back: {:?}", sessions.resolve(&request, || drawn, at).affinity);
    if let Stripped::Rest(rest) = strip(cookie.as_bytes(), "LB_SESSION") {
        println!("the backend sees: {}", String::from_utf8_lossy(&rest));
    }

    for why in [Exclusion::Draining, Exclusion::ConnectionLimit, Exclusion::Unhealthy] {
        println!("its backend is {why}: {:?}", follow(Standing::Excluded(why), false));
    }
    if follow(Standing::Excluded(Exclusion::Unhealthy), false) == Follow::Move {
        let to = sessions.reassign(session, &"a".into(), &"b".into(), at);
        println!("moved to {to}: {:?}", sessions.resolve(&request, || drawn, at).affinity);
    }

    let forged = cookie.replace("LB_SESSION=", "LB_SESSION=x");
    let headers = [("cookie", &*forged)];
    let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
    println!("a forged cookie is ignored: {:?}", sessions.resolve(&request, || drawn, at).ignored);
    println!("{:?}", sessions.session_stats());
    Ok(())
}
