//! The demo's configuration, as a user would write it into a file: it is read by the same code.
//!
//! Each of the three that take backends out has its part: failures are the outlier detection's business, slowness the breaker's
//! (`failure_threshold = 0`), and what neither sees (a backend that got nothing to fail at) the health checks'. All times are a tenth or
//! less of what one would have in production: a demo is short.
//!
//! - `slow_call_duration` is well above what a backend takes on a busy machine and well below what the slow one takes. Half of
//!   `rate_window` is more than a backend has in flight: a hiccup of the machine makes all of these slow at once, on every backend,
//!   and must not open every breaker.
//! - `budget_min_per_second`: a backend that dies cuts all that it has in flight at once, up to some hundred requests of 1,000 clients,
//!   in the first seconds, when 20 % of the requests may be fewer.

use super::backend::DemoBackend;
use crate::args::DemoArgs;
use edge_lb::config::{Config, ConfigError, Format};
use edge_lb::core::Algorithm;
use std::fmt::Write as _;
use std::time::Duration;

/// How long the backends take: a fast one, a middling one, a slow one, and so on.
pub(super) const DELAYS: [Duration; 4] = [
    Duration::from_millis(4),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(15),
];
/// The name of the one pool.
pub(super) const POOL: &str = "demo";
/// How long the last requests and the proxy may take to end: longer than a client waits for its answer.
pub(super) const GRACE: Duration = Duration::from_secs(12);

/// Beside algorithm, addresses and [`SLOW_START`]. Two workers: the demo shows how it works, not how fast.
const FILE: &str = r#"
workers = 2
shutdown_grace = "12s"

[pools.demo]
health_check = { path = "/health", interval = "500ms", timeout = "1s", unhealthy_threshold = 2, healthy_threshold = 2 }
outlier_detection = { consecutive_failures = 5, base_ejection_time = "1s", max_ejection_time = "2s", max_ejection_percent = 50 }

[pools.demo.circuit_breaker]
failure_threshold = 0
slow_call_duration = "350ms"
slow_call_rate = 50
recovery_timeout = "1s"
rate_window = CALLS
minimum_calls = CALLS

[pools.demo.retry_policy]
retry_on = ["connect-failure", "reset", "timeout", "5xx"]
budget_percent = 20
budget_min_per_second = 100
"#;

/// Refused with an algorithm that sends each key where it belongs.
const SLOW_START: &str = "slow_start = { window = \"2s\" }\n";

/// See the module's documentation.
///
/// # Errors
/// None that a test has not seen.
pub(super) fn config(args: &DemoArgs, backends: &[DemoBackend]) -> Result<Config, ConfigError> {
    edge_lb::config::parse(&text(args, backends), Format::Toml, "demo.toml")
}

/// How many calls the breaker's rate is of: two and a half times what a backend has in flight when two others are out. Too few to tell
/// slow from unlucky make no rate; a thousand is the most that there can be.
fn rate_window(clients: u16, backends: usize) -> usize {
    (usize::from(clients) * 5 / 2).div_ceil(backends.saturating_sub(2).max(1)).clamp(6, 1_000)
}

fn text(args: &DemoArgs, backends: &[DemoBackend]) -> String {
    let calls = rate_window(args.concurrency, backends.len()).to_string();
    let slow_start = if is_hash(&args.algorithm) { "" } else { SLOW_START };
    let pool = format!("[pools.demo]\nalgorithm = \"{}\"\n{slow_start}", args.algorithm.name());
    let mut text = FILE.replace("CALLS", &calls).replacen("[pools.demo]\n", &pool, 1);
    // Writing to a string does not fail.
    let _ = writeln!(text, "\n[[listeners]]\naddress = \"127.0.0.1:{}\"", args.port);
    for b in backends {
        let _ = writeln!(
            text,
            "\n[[pools.demo.backends]]\nid = \"{}\"\nurl = \"http://{}\"",
            b.id(),
            b.address()
        );
    }
    text
}

fn is_hash(a: &Algorithm) -> bool {
    matches!(
        a,
        Algorithm::IpHash(_) | Algorithm::Maglev(_) | Algorithm::RingHash(_) | Algorithm::Rendezvous(_)
    )
}

/// The part that is the same for every demo, for those who reckon with its times.
#[cfg(test)]
pub(super) fn file() -> Config {
    let rest =
        "\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\n[[pools.demo.backends]]\nurl = \"http://127.0.0.1:1\"";
    let text = FILE.replace("CALLS", "40");
    edge_lb::config::parse(&format!("{text}{rest}"), Format::Toml, "demo.toml").unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser as _;

    #[test]
    fn half_of_the_rate_s_window_is_more_than_a_backend_has_in_flight() {
        for (clients, backends, window) in
            [(32, 4, 40), (1, 4, 6), (32, 26, 6), (500, 4, 625), (1_000, 4, 1_000)]
        {
            assert_eq!(rate_window(clients, backends), window);
            assert!(window / 2 > usize::from(clients) / (backends - 2) || window == 1_000);
        }
    }

    #[tokio::test]
    async fn every_algorithm_has_a_valid_configuration() {
        let backends = ["a", "b"].map(|id| DemoBackend::start(id, DELAYS[0]).unwrap());
        for algorithm in Algorithm::all() {
            let cli = Cli::parse_from(["edge-lb", "demo", "--algorithm", algorithm.name()]);
            let Command::Demo(args) = cli.command else { panic!("not the demo") };
            let config = config(&args, &backends).unwrap();
            let pool = &config.pools[POOL];
            assert_eq!((&pool.settings.algorithm, pool.backends.len()), (&algorithm, 2));
            assert!(pool.health_check.is_some() && pool.outlier_detection.is_some());
            assert_eq!(pool.settings.slow_start.is_some(), !is_hash(&algorithm));
            assert_eq!(config.shutdown_grace, GRACE);
        }
    }
}
