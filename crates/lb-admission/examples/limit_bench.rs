//! What a check costs, with few keys and with many: `cargo run --release -p lb-admission --features rate-limit --example limit_bench`.

use lb_admission::rate_limit::{LimitKey, RateLimit, RateLimiter};
use lb_types::{Clock, RequestInfo, SystemClock};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const CHECKS: u32 = 5_000_000;
const HOUR: Duration = Duration::from_secs(3_600);

fn main() -> Result<(), lb_types::SettingsError> {
    let clock = SystemClock::new();
    println!("one thread, the key found and hashed, keys in random order; the time is read once a run");
    println!("{:<12} {:>9} {:>12} {:>12} {:>14}", "keys", "burst", "ns a check", "allowed", "bytes a key");
    for keys in [1, 10_000, 1_000_000u32] {
        // Never over the limit, and always.
        for burst in [1_000_000, 0] {
            let settings = RateLimit::new(1_000_000, HOUR).burst(burst).max_keys(2 * keys as usize);
            let limiter = RateLimiter::new(settings, 42)?;
            let mut random = fastrand::Rng::with_seed(7);
            let mut ip = || IpAddr::V4(Ipv4Addr::from_bits(random.u32(..keys)));
            let now = clock.now();
            for n in 0..keys {
                limiter.check(&RequestInfo::from_ip(Ipv4Addr::from_bits(n).into()), "", now);
            }
            let before = limiter.stats();
            let began = clock.now();
            for _ in 0..CHECKS {
                black_box(limiter.check(&RequestInfo::from_ip(ip()), "", now));
            }
            let took = clock.now() - began;
            let stats = limiter.stats();
            let allowed = 100 * (stats.allowed - before.allowed) / u64::from(CHECKS);
            println!(
                "{keys:<12} {burst:>9} {:>12.1} {allowed:>11}% {:>14.1}",
                took.0 as f64 / f64::from(CHECKS),
                stats.bytes as f64 / stats.keys as f64,
            );
        }
    }

    let limiter = RateLimiter::new(RateLimit::new(1_000, HOUR).max_keys(100_000), 42)?;
    let now = clock.now();
    let began = clock.now();
    for n in 0..CHECKS {
        black_box(limiter.check(&RequestInfo::from_ip(Ipv4Addr::from_bits(n).into()), "", now));
    }
    let each = (clock.now() - began).0 as f64 / f64::from(CHECKS);
    println!("new keys only, in a full table of 100 000: {each:.1} ns, {} evicted", limiter.stats().evicted);

    let settings = RateLimit::new(1_000, HOUR).key(LimitKey::Header("x-api-key".into()));
    let limiter = RateLimiter::new(settings, 42)?;
    let headers = [("x-api-key", "4f1c8e0a5d2b49f7a3c6e8d1b0f29374")];
    let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
    let began = clock.now();
    for _ in 0..CHECKS {
        black_box(limiter.check(black_box(&request), "", now));
    }
    println!("a header of 32 bytes: {:.1} ns", (clock.now() - began).0 as f64 / f64::from(CHECKS));
    Ok(())
}
