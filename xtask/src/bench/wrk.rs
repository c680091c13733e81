//! The load generator: runs `wrk` and reads what it prints.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::net::loopback;
use crate::error::{Context, Result};
use crate::stream;

/// What one run of wrk saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// Connections or requests that broke, timed out or were answered otherwise than 2xx and 3xx.
    pub(super) errors: u64,
}

/// Loads `path` on `port` over `connections` keep-alive connections from one thread.
pub(super) fn run(wrk: &Path, port: u16, path: &str, connections: u32, seconds: u32) -> Result<Load> {
    let mut command = Command::new(wrk);
    command.args(["--latency", "-t1", &format!("-c{connections}"), &format!("-d{seconds}s")]);
    command.arg(format!("http://{}{path}", loopback(port)));
    let limit = Duration::from_secs(u64::from(seconds) + 15);
    let text = stream::output(&mut command, limit)?;
    parse(&text).context(format_args!("wrk printed something unknown:\n{text}"))
}

fn parse(text: &str) -> Option<Load> {
    let mut load = Load { requests: 0, per_second: f64::NAN, p50_us: f64::NAN, p99_us: f64::NAN, errors: 0 };
    let mut counted = false;
    for line in text.lines().map(str::trim) {
        if let Some((requests, _)) = line.split_once(" requests in ") {
            load.requests = requests.parse().ok()?;
            counted = true;
        } else if let Some(rate) = line.strip_prefix("Requests/sec:") {
            load.per_second = rate.trim().parse().ok()?;
        } else if let Some(time) = line.strip_prefix("50%") {
            load.p50_us = microseconds(time.trim())?;
        } else if let Some(time) = line.strip_prefix("99%") {
            load.p99_us = microseconds(time.trim())?;
        } else if let Some(counts) = line.strip_prefix("Socket errors:") {
            for count in counts.split(',') {
                load.errors += count.trim().rsplit(' ').next()?.parse::<u64>().ok()?;
            }
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses:") {
            load.errors += count.trim().parse::<u64>().ok()?;
        }
    }
    (counted && load.per_second.is_finite()).then_some(load)
}

/// `288.53us`, `1.20ms`, `2.00s`, `1.10m` in microseconds.
fn microseconds(text: &str) -> Option<f64> {
    let digits = text.find(|c: char| c.is_ascii_alphabetic())?;
    let unit = match &text[digits..] {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 60e6,
        _ => return None,
    };
    text[..digits].parse::<f64>().ok().map(|value| value * unit)
}

#[cfg(test)]
mod tests {
    use super::{Load, microseconds, parse};

    const FINE: &str = "\
Running 1s test @ http://127.0.0.1:9001/small
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   288.53us   69.40us   2.51ms   85.67%
    Req/Sec    55.13k     3.41k   61.31k    72.73%
  Latency Distribution
     50%  276.00us
     75%  310.00us
     90%  350.00us
     99%    1.20ms
  60324 requests in 1.10s, 14.72MB read
Requests/sec:  54860.51
Transfer/sec:     13.39MB
";

    #[test]
    fn a_clean_run_is_read() {
        let expected =
            Load { requests: 60_324, per_second: 54_860.51, p50_us: 276.0, p99_us: 1_200.0, errors: 0 };
        assert_eq!(parse(FINE), Some(expected));
    }

    #[test]
    fn every_kind_of_error_counts() {
        let text = FINE.replace(
            "Requests/sec",
            "  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 50000\nRequests/sec",
        );
        assert_eq!(parse(&text).map(|load| load.errors), Some(54_321));
    }

    #[test]
    fn what_is_not_a_result_is_refused() {
        assert_eq!(parse("unable to connect to 127.0.0.1:1 Connection refused"), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse(&FINE.replace("60324", "many")), None);
    }

    #[test]
    fn units_are_known() {
        for (text, expected) in [("9.00us", 9.0), ("1.50ms", 1_500.0), ("2.00s", 2e6), ("1.00m", 60e6)] {
            assert_eq!(microseconds(text), Some(expected), "{text}");
        }
        assert_eq!(microseconds("3"), None);
        assert_eq!(microseconds("3.0h"), None);
    }
}
