//! Two nodes and one store: `cargo run -p lb-session --features store --example nodes`.
//!
//! The same client comes to either node, one of them restarts, and the session is cleared. In memory here; with lb-store's `redis`
//! feature the store is a server.

use lb_session::{
    Affinity, Follow, Moment, SessionAffinity, SessionId, SessionManager, SharedSessions, SharingSettings,
    Standing, follow,
};
use lb_store::{AwaySettings, MemorySettings, MemoryStore, Resilient};
use lb_types::{BackendId, Clock, RequestInfo, Store, SystemClock};
use std::sync::Arc;
use std::time::SystemTime;

type Error = Box<dyn std::error::Error>;

fn node(store: Arc<dyn Store>) -> Result<SharedSessions, Error> {
    // With a header there is no cookie to seal; a program takes the bits from the operating system.
    let manager = SessionManager::new(SessionAffinity::header("X-User"), "shop", [7; 32])?;
    Ok(SharedSessions::new(Arc::new(manager), store, SharingSettings::new())?)
}

/// What the engine does with a request: follow, or pick and assign.
async fn serve(node: &SharedSessions, user: &str, pick: &str, at: Moment) -> BackendId {
    let headers = [("x-user", user)];
    let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
    // A header's id comes of its value; those that are drawn are for cookies.
    let resolved = node.resolve(&request, || SessionId::from_random(0), at).await;
    match (resolved.affinity, resolved.session) {
        (Affinity::Backend(backend), Some(session)) => match follow(Standing::Usable, false) {
            Follow::Stay => backend,
            _ => node.reassign(session, backend, pick.into(), at).await,
        },
        (_, Some(session)) => node.assign(session, pick.into(), at).await,
        (_, None) => pick.into(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let clock = Arc::new(SystemClock::new());
    let moment = {
        let clock = clock.clone();
        move || {
            let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Moment::new(clock.now(), since_1970)
        }
    };
    let memory = MemoryStore::new(MemorySettings::new(), clock.clone())?;
    let store: Arc<dyn Store> = Arc::new(Resilient::new(memory, AwaySettings::new(), clock, 1)?);

    let (one, two) = (node(store.clone())?, node(store.clone())?);
    let writers = tokio::spawn(one.clone().run(moment.clone()));
    println!("ann on node 1: {}", serve(&one, "ann", "a", moment()).await);
    println!("ann on node 2: {} (it would have picked b)", serve(&two, "ann", "b", moment()).await);
    let two = node(store)?;
    println!("ann on node 2, restarted: {}", serve(&two, "ann", "b", moment()).await);
    if let Some(session) = two.manager().sessions(1, moment()).first() {
        println!("cleared {}: {}", session.id, two.clear_session(session.id, moment()).await?);
    }
    println!("ann on node 2: {}", serve(&two, "ann", "c", moment()).await);
    println!("{:?}\n{:?}", two.manager().session_stats(), two.stats());
    writers.abort();
    Ok(())
}
