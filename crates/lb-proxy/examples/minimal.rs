//! The smallest proxy: `cargo run --example minimal -p lb-proxy -- 127.0.0.1:8080 http://127.0.0.1:9001 http://127.0.0.1:9002`

use lb_balancer::LoadBalancer;
use lb_core::{Pool, PoolSettings};
use lb_proxy::{ListenerSettings, ProxySettings, Server};
use lb_types::{Backend, BackendUrl, SystemClock};
use std::error::Error;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let listen = args.next().ok_or("usage: minimal LISTEN URL...")?.parse()?;
    let backends = args
        .map(|url| url.parse::<BackendUrl>().map(|u| Backend::new(u.default_id(), u)))
        .collect::<Result<Vec<_>, _>>()?;
    let pool = Pool::new(PoolSettings::default(), backends, Arc::new(SystemClock::new()))?;
    let listeners = vec![ListenerSettings::new(listen)];
    let server = Server::bind(listeners, 1, LoadBalancer::from(pool), ProxySettings::default())?;
    println!("listening on {}", server.addresses()[0]);
    let _running = server.start()?;
    std::thread::park();
    Ok(())
}
