//! A backend that fails fast must not attract traffic: a simulation in virtual time, under every algorithm that goes by latency.
//!
//! Clients send one request after the other. One backend answers 500 within a millisecond, the others answer in 10 to 20 ms. The
//! failing one gets less than an equal share: over the run, and in every window after a warm-up.

use crate::common::*;
use lb_core::{Algorithm, Lease};
use lb_types::{FailureKind, LoadReport, Nanos, Outcome};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const RUN: Nanos = Nanos::from_secs(60);
/// As long as reports have their blackout, and a little longer.
const WARM_UP: Nanos = Nanos::from_secs(12);
const WINDOW: Nanos = Nanos::from_secs(6);
const CLIENTS_PER_BACKEND: usize = 4;

/// What the failing backend reports of itself, which costs it a tenth of a millisecond of CPU a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Voice {
    /// Every request as an error.
    Honest,
    /// No errors.
    Lying,
    Silent,
}

const VOICES: [Voice; 3] = [Voice::Honest, Voice::Lying, Voice::Silent];

/// What a backend counts to report: requests by second.
#[derive(Default)]
struct Meter {
    second: u64,
    this: f64,
    last: f64,
}

impl Meter {
    fn count(&mut self, now: Nanos) -> f64 {
        let second = now.as_millis() / 1_000;
        if second != self.second {
            self.last = if second == self.second + 1 { self.this } else { 0.0 };
            (self.second, self.this) = (second, 0.0);
        }
        self.this += 1.0;
        self.last.max(self.this)
    }
}

/// How many picks of how many went to the failing backend `a`: over the run, then by window after the warm-up.
fn run(algorithm: &Algorithm, n: usize, seed: u64, voice: Voice) -> Vec<(u32, u32)> {
    let mut w = World::of(algorithm.clone(), &vec![1; n]);
    w.seed = seed;
    let mut random = fastrand::Rng::with_seed(seed);
    let start = w.pool.now();
    let mut meters: Vec<Meter> = (0..n).map(|_| Meter::default()).collect();
    let mut picks = vec![(0, 0); 1 + ((RUN - WARM_UP).0 / WINDOW.0) as usize];
    // (when, client); its lease, if that is the end of a request.
    let mut leases: Vec<Option<Lease>> = (0..n * CLIENTS_PER_BACKEND).map(|_| None).collect();
    let mut events: BinaryHeap<_> = (0..leases.len()).map(|c| Reverse((start + MS(c as u64), c))).collect();
    while let Some(Reverse((now, client))) = events.pop().filter(|Reverse((at, _))| *at - start < RUN) {
        w.clock.advance(now - w.pool.now());
        if let Some(lease) = leases[client].take() {
            end(lease, now, voice, &mut meters, |s| w.state(s));
            events.push(Reverse((now + Nanos::from_micros(random.u64(..20_000)), client)));
            continue;
        }
        let lease = w.lease();
        let fails = *lease.backend().id() == id(0);
        let window = (now - start >= WARM_UP).then(|| 1 + ((now - start - WARM_UP).0 / WINDOW.0) as usize);
        for i in [Some(0), window].into_iter().flatten() {
            picks[i].0 += u32::from(fails);
            picks[i].1 += 1;
        }
        let took = if fails { 1_000 } else { random.u64(10_000..20_000) };
        leases[client] = Some(lease);
        events.push(Reverse((now + Nanos::from_micros(took), client)));
    }
    picks
}

fn end(
    lease: Lease,
    now: Nanos,
    voice: Voice,
    meters: &mut [Meter],
    state: impl Fn(usize) -> std::sync::Arc<lb_core::BackendState>,
) {
    let took = now - lease.started();
    let i = (0..meters.len()).find(|&i| *lease.backend().id() == id(i)).unwrap();
    let fails = i == 0;
    let qps = meters[i].count(now);
    let cpu_per_request = if fails { 0.000_1 } else { 0.004 };
    let eps = if fails && voice == Voice::Honest { qps } else { 0.0 };
    let report = LoadReport {
        cpu_utilization: qps * cpu_per_request,
        rps_fractional: qps,
        eps,
        ..LoadReport::default()
    };
    match voice {
        Voice::Silent if fails => {}
        _ => state(i).report(&report, now),
    }
    lease.complete(if fails {
        Outcome::Failure { kind: FailureKind::Status(500), after: took }
    } else {
        Outcome::Success { ttfb: took }
    });
}

fn assert_below_its_share(algorithm: &str, voices: &[Voice]) {
    let algorithm = Algorithm::from_name(algorithm).unwrap();
    for n in [2, 3, 5] {
        for &voice in voices {
            for seed in [1, 7, 1_234_567] {
                // With two backends of which one is silent fewer than two report: that is round robin, by contract.
                let rotates = algorithm.name() == "adaptive" && n == 2 && voice == Voice::Silent;
                for (i, (failing, all)) in run(&algorithm, n, seed, voice).into_iter().enumerate() {
                    let place = format!("{} of {n}, {voice:?}, seed {seed}, window {i}", algorithm.name());
                    assert!(all > 200, "{place}: {all} picks");
                    if rotates {
                        assert!(
                            failing <= all.div_ceil(2),
                            "{place}: {failing} of {all}: more than its share"
                        );
                    } else {
                        assert!(failing as usize * n < all as usize, "{place}: {failing} of {all}");
                    }
                    // Once it is known, it gets far less.
                    assert!(i == 0 || rotates || failing * 20 < all, "{place}: {failing} of {all}");
                }
            }
        }
    }
}

#[test]
fn least_response_time_gives_a_fast_failing_backend_less_than_its_share() {
    assert_below_its_share("least-response-time", &[Voice::Silent]);
}

#[test]
fn peak_ewma_gives_a_fast_failing_backend_less_than_its_share() {
    assert_below_its_share("peak-ewma", &[Voice::Silent]);
}

#[test]
fn adaptive_gives_a_fast_failing_backend_less_than_its_share_whatever_it_reports() {
    assert_below_its_share("adaptive", &VOICES);
}
