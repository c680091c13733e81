//! Choosing backends inside a program of your own: no network, no runtime.
//!
//! `cargo run -p edge-lb --example embed`

use edge_lb::core::Hashing;
use edge_lb::prelude::*;
use edge_lb::types::FailureKind;
use std::collections::BTreeMap;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let backends = || -> Result<Vec<Backend>, Box<dyn Error>> {
        Ok(vec![
            Backend::new("big", "http://10.0.0.1:80".parse()?).weight(3),
            Backend::new("small", "http://10.0.0.2:80".parse()?),
            Backend::new("spare", "http://10.0.0.3:80".parse()?).backup(true),
        ])
    };

    // By weight. The lease is the accounting: in flight from the pick to its end.
    let lb = LoadBalancer::builder().backends(backends()?).algorithm(Algorithm::LeastConnections).build()?;
    let (request, options) = (RequestInfo::default(), SelectOptions::default());
    let leases = (0..8).map(|_| lb.select_backend(&request, &options)).collect::<Result<Vec<_>, _>>()?;
    println!("8 requests in flight, fewest per weight first: {}", counts(&leases));
    for lease in leases {
        lease.complete(Outcome::Success { ttfb: Nanos::from_millis(2) });
    }

    // A failure, and the same request again: never to a backend that was tried while another is usable.
    let mut selection = lb.selection(&request, &options);
    let first = lb.acquire(&mut selection)?;
    let failed = first.backend().clone();
    selection.tried(&failed);
    first.complete(Outcome::Failure { kind: FailureKind::Connect, after: Nanos::from_millis(1) });
    let second = lb.acquire(&mut selection)?;
    println!("{} refused the connection, so {} is asked", failed.id(), second.backend().id());
    drop(second);

    // Without the primaries the backup serves.
    for id in ["big", "small"] {
        lb.update_backend(&id.into(), disabled())?;
    }
    println!("both primaries disabled: {}", lb.select_backend(&request, &options)?.backend().id());

    // By a key: the same user, the same backend.
    let by_user =
        Hashing { key: edge_lb::types::KeySource::Header("x-user-id".into()), ..Hashing::default() };
    let lb = LoadBalancer::builder().backends(backends()?).algorithm(Algorithm::Maglev(by_user)).build()?;
    for user in ["ada", "grace", "ada"] {
        let headers = [("X-User-ID", user)];
        let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
        println!("user {user} goes to {}", lb.select_backend(&request, &options)?.backend().id());
    }
    Ok(())
}

fn disabled() -> BackendPatch {
    let mut patch = BackendPatch::default();
    patch.disabled = Some(true);
    patch
}

fn counts(leases: &[Lease]) -> String {
    let mut counts = BTreeMap::new();
    for lease in leases {
        *counts.entry(lease.backend().id().clone()).or_insert(0) += 1;
    }
    counts.iter().map(|(id, n)| format!("{n} on {id}")).collect::<Vec<_>>().join(", ")
}
