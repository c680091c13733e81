//! How often the statistics are wrong, and how soon they are right: seeded, so that the figures are the same each time. `cargo
//! test -p lb-health --test outlier simulation -- --nocapture` prints those of `docs/outlier-detection.md`.

use lb_health::outlier::{Change, Comparison, Detector, OutlierDetection, SuccessRate, Tally};
use lb_types::Nanos;

/// A pool whose backends fail with these chances, each with so many requests an interval.
struct World {
    detector: Detector,
    random: fastrand::Rng,
    tallies: Vec<Tally>,
    chances: Vec<f64>,
    requests: u32,
    now: Nanos,
}

impl World {
    fn new(settings: OutlierDetection, chances: &[f64], requests: u32, seed: u64) -> Self {
        let tally = |i| Tally { id: format!("b{i}").into(), succeeded: 0, failed: 0, usable: true };
        let tallies: Vec<_> = (0..chances.len()).map(tally).collect();
        let mut detector = Detector::new(settings, Nanos::ZERO).unwrap();
        detector.sweep(Nanos::ZERO, &mut || 0, &tallies);
        let random = fastrand::Rng::with_seed(seed);
        Self { detector, random, tallies, chances: chances.to_vec(), requests, now: Nanos::ZERO }
    }

    /// One interval; gives the positions of those that it ejects.
    fn interval(&mut self) -> Vec<usize> {
        for (tally, chance) in self.tallies.iter_mut().zip(&self.chances) {
            tally.usable = !self.detector.is_ejected(&tally.id);
            for _ in 0..if tally.usable { self.requests } else { 0 } {
                let failed = self.random.f64() < *chance;
                *(if failed { &mut tally.failed } else { &mut tally.succeeded }) += 1;
            }
        }
        self.now += Nanos::from_secs(10);
        let mut random = || self.random.u64(..);
        let changes = self.detector.sweep(self.now, &mut random, &self.tallies);
        let ejected = changes.into_iter().filter_map(|change| match change {
            Change::Ejected(e) => self.tallies.iter().position(|t| t.id == e.id),
            _ => None,
        });
        ejected.collect()
    }
}

fn by_comparison() -> OutlierDetection {
    OutlierDetection::new().statistics(None, None, Some(Comparison::default()))
}

fn by_success_rate() -> OutlierDetection {
    OutlierDetection::new().statistics(Some(SuccessRate::default()), None, None)
}

/// A pool of equal backends: the share of intervals that eject anybody, and of those in which anybody is ejected.
fn false_alarms(
    settings: &OutlierDetection,
    n: usize,
    chance: f64,
    requests: u32,
    intervals: u32,
) -> (f64, f64) {
    let mut world = World::new(settings.clone(), &vec![chance; n], requests, n as u64);
    let (mut alarms, mut out) = (0, 0);
    for _ in 0..intervals {
        alarms += u32::from(!world.interval().is_empty());
        out += u32::from(world.detector.ejected() > 0);
    }
    (f64::from(alarms) / f64::from(intervals), f64::from(out) / f64::from(intervals))
}

/// In how many of `worlds` worlds the first backend, and no other, is ejected in the first interval, and within six.
fn power(settings: &OutlierDetection, chances: &[f64], requests: u32, worlds: u32) -> (f64, f64, u32) {
    let (mut first, mut six, mut wrong) = (0, 0, 0);
    for seed in 0..worlds {
        let mut world = World::new(settings.clone(), chances, requests, u64::from(seed));
        for interval in 1..=6 {
            let ejected = world.interval();
            wrong += ejected.iter().filter(|i| **i != 0).count() as u32;
            if ejected.contains(&0) {
                first += u32::from(interval == 1);
                six += 1;
                break;
            }
        }
    }
    let share = |n: u32| f64::from(n) / f64::from(worlds);
    (share(first), share(six), wrong)
}

#[test]
fn comparison_raises_fewer_false_alarms_than_promised() {
    let bound = Comparison::default().false_alarm_rate;
    println!("comparison: share of intervals with a false alarm, promised at most {bound}");
    let (mut sum, mut worlds) = (0.0, 0.0);
    for n in [2, 3, 4, 10] {
        for chance in [0.01, 0.05, 0.2, 0.5] {
            let (rate, _) = false_alarms(&by_comparison(), n, chance, 50, 20_000);
            println!("  {n:>2} backends, {:>2.0} % fail, 50 requests: {rate:.5}", chance * 100.0);
            // 2 are expected of 20 000 at the most; 8 or more have a chance of 0.1 %, and the seed is fixed.
            assert!(rate < 4.0 * bound, "{n} backends, {chance}: {rate}");
            (sum, worlds) = (sum + rate, worlds + 1.0);
        }
    }
    println!("  all: {:.6}", sum / worlds);
    assert!(sum / worlds <= bound);
}

#[test]
fn success_rate_ejects_equal_backends_all_the_time() {
    const INTERVALS: u32 = 5_000;
    println!(
        "share of intervals with a false alarm / with a good backend ejected: success rate (1.9 σ), comparison"
    );
    for (n, least) in [(2, 0.0), (4, 0.0), (5, 0.01), (10, 0.1), (20, 0.2)] {
        for chance in [0.01, 0.05] {
            let (rate, out) = false_alarms(&by_success_rate(), n, chance, 100, INTERVALS);
            let (compared, compared_out) = false_alarms(&by_comparison(), n, chance, 100, INTERVALS);
            println!(
                "  {n:>2} backends, {:>2.0} % fail, 100 requests: {rate:.3} / {out:.3}, {compared:.4} / {compared_out:.4}",
                chance * 100.0
            );
            assert!(rate >= least && (n >= 5 || out == 0.0), "{n} backends, {chance}: {rate}");
            assert!(compared < 1e-3, "{n} backends, {chance}: {compared}");
        }
    }
}

#[test]
fn comparison_finds_the_bad_one_of_few() {
    println!("comparison: the bad backend is ejected in the first interval / within six");
    for (bad, good, requests, least_six) in [
        (0.3, 0.01, 50, 0.99),
        (0.5, 0.01, 50, 0.99),
        (0.2, 0.01, 50, 0.9),
        (0.3, 0.01, 10, 0.7),
        (0.3, 0.05, 50, 0.95),
    ] {
        for n in [2, 3, 4] {
            let mut chances = vec![good; n];
            chances[0] = bad;
            let (first, six, wrong) = power(&by_comparison(), &chances, requests, 1_000);
            println!(
                "  {n} backends, {:.0} % against {:.0} %, {requests} requests: {first:.3} / {six:.3}",
                bad * 100.0,
                good * 100.0
            );
            assert!(six >= least_six, "{n} backends, {bad} against {good}: {six}");
            assert_eq!(wrong, 0, "a good one was ejected");
        }
    }
}

#[test]
fn success_rate_finds_nothing_among_few() {
    for n in [2, 3, 4] {
        let mut chances = vec![0.0; n];
        chances[0] = 1.0;
        assert_eq!(power(&by_success_rate(), &chances, 200, 10), (0.0, 0.0, 0));
    }
}

/// Two of five: each hides the other from the mean, but not from a comparison that leaves the first one out.
#[test]
fn bad_ones_do_not_hide_each_other() {
    let chances = [0.4, 0.5, 0.01, 0.01, 0.01];
    let all = |s: OutlierDetection| s.max_ejection_percent(50);
    let found = World::new(all(by_comparison()), &chances, 100, 1).interval();
    assert_eq!(found, [1, 0], "the worst first");
    assert_eq!(World::new(all(by_success_rate()), &chances, 100, 1).interval(), [0usize; 0]);
}

#[test]
fn equally_bad_ones_are_all_kept() {
    for n in [2, 3, 4] {
        let mut world = World::new(by_comparison().max_ejection_percent(100), &vec![0.9; n], 100, 7);
        assert!((0..100).all(|_| world.interval().is_empty()), "{n} backends");
    }
}
