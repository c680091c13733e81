//! Two processes agree by compare-and-set: `cargo run -p lb-store --features redis --example shared [redis://host:port]`.
//!
//! Starts no server: run `redis-server --save ''` beside it, or see how it goes on without one.

use lb_store::{RedisSettings, RedisStore, RedisUrl, Store, StoreError, StoreEvent};
use lb_types::SystemClock;
use std::sync::Arc;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".into());
    let settings = RedisSettings::new(RedisUrl::parse(&url)?);
    let runtime = tokio::runtime::Handle::current();
    let seed = std::process::id().into();
    let store = RedisStore::open(settings, runtime, Arc::new(SystemClock::new()), seed)?.on_event(Arc::new(
        |event| match event {
            StoreEvent::Away { error } => println!("away: {error}"),
            StoreEvent::Back { was_away, .. } => println!("back after {:.1} s", was_away.as_secs_f64()),
            other => println!("{other:?}"),
        },
    ));
    println!("{}", store.inner().url());
    let me = format!("process {}", std::process::id());
    match store.compare_and_set("leader", None, me.as_bytes(), Duration::from_secs(30)).await {
        Ok(true) => println!("{me} leads for 30 s"),
        Ok(false) => {
            let leader = store.get("leader").await?.unwrap_or_default();
            println!("{} leads already", String::from_utf8_lossy(&leader));
        }
        Err(error @ (StoreError::Unavailable { .. } | StoreError::Timeout { .. })) => {
            println!("{error}: {me} goes on alone");
        }
        Err(error) => return Err(error.into()),
    }
    println!("{:?}", store.stats());
    Ok(())
}
