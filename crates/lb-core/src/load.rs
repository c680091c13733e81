//! What backends report of their own load, as weights: gRPC's weighted round robin (proposal A58).
//!
//! ```text
//! weight = qps / (utilization + eps / qps × error_utilization_penalty)
//! ```
//!
//! `utilization` is the application's own where it is above 0, else that of the CPU; `qps` is `rps_fractional`. A report without
//! one of them gives no weight and changes nothing. A weight counts once its backend has reported for `blackout_period` without a
//! break (a process that has just started says little of itself), and until `weight_expiration_period` after the last report; a
//! later report begins a new blackout. So does one after the backend had failed its health checks: A58's reconnect.
//!
//! Beyond A58: while a backend's last request failed, its report is *doubted*: it may lower the backend's share but not raise it,
//! and it is no part of the others' mean. Who fails fast is little utilised and serves many; that is no merit.
//!
//! Beside the weight, the utilization of the last report is kept for a minute: auto-scaling goes by it.
//!
//! Source: <https://github.com/grpc/proposal/blob/master/A58-client-side-weighted-round-robin-lb-policy.md>.

use crate::settings::Adaptive;
use crate::snapshot::Member;
use lb_types::{LoadReport, Nanos};
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};

/// Weights that are out of all reason are taken as these, so that means and shares stay finite.
const WEIGHT_MIN: f64 = 1e-6;
const WEIGHT_MAX: f64 = 1e12;
/// How often the pool counts who reports, and their mean: A58's `weight_update_period`.
const SWEEP_MS: u64 = 1_000;
/// How many members one pick looks at for that, at most: larger pools are counted in several steps within the second.
const STEP: usize = 64;
/// So long the last report says how utilised its backend is: a scaler looks over minutes, and who serves reports in each response.
const UTILIZATION_MS: u64 = 60_000;
/// A hundred thousand times its capacity: what is above is taken as that.
const UTILIZATION_MAX: f64 = 1e5;
/// The time stands in so many bits of a weight's word: 34 years.
const TIME_BITS: u32 = 40;

/// The weight that a report gives, `None` where it lacks requests per second or utilization. `penalty`: what one error per request
/// adds to the utilization.
pub fn weight(report: &LoadReport, penalty: f64) -> Option<f64> {
    let utilization = utilization(report)?;
    let qps = Some(report.rps_fractional).filter(|qps| *qps > 0.0)?;
    let weight = qps / (utilization + report.eps / qps * penalty);
    (weight > 0.0).then(|| weight.clamp(WEIGHT_MIN, WEIGHT_MAX))
}

/// The application's own utilization where it is above 0, else that of the CPU; `None` where neither was reported.
fn utilization(report: &LoadReport) -> Option<f64> {
    [report.application_utilization, report.cpu_utilization].into_iter().find(|part| *part > 0.0)
}

/// A weight that counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reported {
    pub(crate) weight: f64,
    /// The backend's last request failed.
    pub(crate) doubted: bool,
}

/// One backend's weight of its last report.
///
/// Weight and time share a word: racing writers may lose one another's report, and no reader sees half of each.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// The weight (an `f32` without its sign and the last 7 bits: 16 bits of mantissa) and the ms of the report; 0: none yet.
    word: AtomicU64,
    /// The ms since when it has reported without a break. Written before the first word of a row, so that no reader takes
    /// the new weight for one of the row before.
    since_ms: AtomicU64,
    doubted: AtomicBool,
    /// The utilization of the last report that had one, and its time, as `word`.
    utilization: AtomicU64,
}

impl Load {
    pub(crate) fn record(&self, weight: f64, now: Nanos, expiration_ms: u64) {
        let now_ms = now.as_millis();
        let fresh =
            unpack(self.word.load(Acquire)).is_some_and(|(_, at)| is_fresh(at, now_ms, expiration_ms));
        if !fresh {
            self.since_ms.store(now_ms, Relaxed);
        }
        self.word.store(pack(weight, now_ms), Release);
    }

    /// The utilization at this time; `None`: not reported of late.
    pub(crate) fn utilization(&self, now: Nanos) -> Option<f64> {
        let (utilization, at) = unpack(self.utilization.load(Relaxed))?;
        is_fresh(at, now.as_millis(), UTILIZATION_MS).then_some(utilization)
    }

    pub(crate) fn get(&self, now: Nanos, blackout_ms: u64, expiration_ms: u64) -> Option<Reported> {
        let (weight, at) = unpack(self.word.load(Acquire))?;
        let now_ms = now.as_millis();
        let reported_ms = now_ms.saturating_sub(self.since_ms.load(Relaxed));
        let counts = is_fresh(at, now_ms, expiration_ms) && reported_ms >= blackout_ms;
        counts.then(|| Reported { weight, doubted: self.doubted.load(Relaxed) })
    }

    /// Whether the last request failed.
    #[inline]
    pub(crate) fn doubt(&self, doubted: bool) {
        // Read first: most often nothing changes, and all workers read this line.
        if self.doubted.load(Relaxed) != doubted {
            self.doubted.store(doubted, Relaxed);
        }
    }

    pub(crate) fn forget(&self) {
        self.word.store(0, Release);
        self.utilization.store(0, Relaxed);
    }
}

fn pack(value: f64, now_ms: u64) -> u64 {
    u64::from((value as f32).to_bits() >> 7) << TIME_BITS | now_ms & ((1 << TIME_BITS) - 1)
}

fn unpack(word: u64) -> Option<(f64, u64)> {
    let bits = (word >> TIME_BITS) as u32;
    (bits != 0).then(|| (f64::from(f32::from_bits(bits << 7)), word & ((1 << TIME_BITS) - 1)))
}

/// A racer's report may carry a slightly later time than the reader's.
fn is_fresh(at_ms: u64, now_ms: u64, expiration_ms: u64) -> bool {
    now_ms.saturating_sub(at_ms) < expiration_ms
}

/// Who of a pool reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reporting {
    /// How many backends have a weight that counts.
    pub(crate) backends: u32,
    /// The mean of their weights, as far as they are not doubted (or all are).
    pub(crate) mean: f64,
}

/// What a pool knows of its backends' reports beside the reports themselves: the rules, and who reports.
///
/// The latter is counted by the picks, at most [`STEP`] members each and all of them once in [`SWEEP_MS`]: a pick costs the same in any
/// pool, and a backend that falls silent is noticed without anybody's timer. Whether a single weight counts is asked anew
/// in each pick.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    blackout_ms: AtomicU64,
    expiration_ms: AtomicU64,
    /// The bits of an `f64`.
    penalty: AtomicU64,
    /// [`Reporting`] in one word: the count, and the mean as the bits of an `f32`.
    known: AtomicU64,
    /// The ms from which on the next step is to be made; [`BUSY`] while somebody makes it, who alone touches what is below.
    due_ms: AtomicU64,
    at: AtomicU32,
    sums: KeptSums,
}

const BUSY: u64 = u64::MAX;

/// Weights added up between two steps: (how many, their sum) of the trusted and of the doubted.
#[derive(Clone, Copy, Debug, Default)]
struct Sums([(u32, f64); 2]);

impl Sums {
    fn add(&mut self, reported: Option<Reported>) {
        if let Some(r) = reported {
            let (count, sum) = &mut self.0[usize::from(r.doubted)];
            (*count, *sum) = (*count + 1, *sum + r.weight);
        }
    }

    fn reporting(self) -> Reporting {
        let [trusted, doubted] = self.0;
        let (count, sum) = if trusted.0 > 0 { trusted } else { doubted };
        // Rounded as it is kept, so that a dry look says the same.
        let mean = (sum / f64::from(count.max(1))) as f32;
        Reporting { backends: trusted.0 + doubted.0, mean: f64::from(mean) }
    }
}

/// [`Sums`] from one step to the next.
#[derive(Debug, Default)]
struct KeptSums([(AtomicU32, AtomicU64); 2]);

impl KeptSums {
    fn load(&self) -> Sums {
        Sums(self.0.each_ref().map(|(count, sum)| (count.load(Relaxed), f64::from_bits(sum.load(Relaxed)))))
    }

    fn store(&self, sums: Sums) {
        for ((count, sum), now) in self.0.iter().zip(sums.0) {
            count.store(now.0, Relaxed);
            sum.store(now.1.to_bits(), Relaxed);
        }
    }
}

impl Reports {
    pub(crate) fn set(&self, o: &Adaptive) {
        let ms = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        self.blackout_ms.store(ms(o.blackout_period), Relaxed);
        self.expiration_ms.store(ms(o.weight_expiration_period).max(1), Relaxed);
        self.penalty.store(o.error_utilization_penalty.to_bits(), Relaxed);
    }

    pub(crate) fn record(&self, load: &Load, report: &LoadReport, now: Nanos) {
        if let Some(utilization) = utilization(report) {
            load.utilization.store(pack(utilization.min(UTILIZATION_MAX), now.as_millis()), Relaxed);
        }
        if let Some(weight) = weight(report, f64::from_bits(self.penalty.load(Relaxed))) {
            load.record(weight, now, self.expiration_ms.load(Relaxed));
        }
    }

    #[inline]
    pub(crate) fn weight_of(&self, load: &Load, now: Nanos) -> Option<Reported> {
        load.get(now, self.blackout_ms.load(Relaxed), self.expiration_ms.load(Relaxed))
    }

    /// Who reports, as far as was counted; counts on where that is due. `dry`: what a pick would find, without moving anything.
    #[inline]
    pub(crate) fn look(&self, members: &[Member], now: Nanos, dry: bool) -> Reporting {
        let due_ms = self.due_ms.load(Acquire);
        if now.as_millis() < due_ms { self.known() } else { self.step(members, now, due_ms, dry) }
    }

    fn known(&self) -> Reporting {
        let word = self.known.load(Relaxed);
        Reporting { backends: (word >> 32) as u32, mean: f64::from(f32::from_bits(word as u32)) }
    }

    #[cold]
    fn step(&self, members: &[Member], now: Nanos, due_ms: u64, dry: bool) -> Reporting {
        if !dry && self.due_ms.compare_exchange(due_ms, BUSY, Acquire, Relaxed).is_err() {
            return self.known();
        }
        let n = members.len();
        // The pool may have shrunk since the last step.
        let from = Some(self.at.load(Relaxed) as usize).filter(|&at| at < n).unwrap_or(0);
        let to = n.min(from + STEP);
        let mut sums = if from == 0 { Sums::default() } else { self.sums.load() };
        for m in members[from..to].iter().filter(|m| m.exclusion.is_none()) {
            sums.add(m.state.reported(now));
        }
        let found = sums.reporting();
        let done = to == n;
        if !dry {
            self.at.store(if done { 0 } else { to as u32 }, Relaxed);
            self.sums.store(sums);
            if done {
                self.known.store(
                    u64::from(found.backends) << 32 | u64::from((found.mean as f32).to_bits()),
                    Relaxed,
                );
            }
            let pause_ms = SWEEP_MS * STEP as u64 / n.max(STEP) as u64;
            self.due_ms.store(now.as_millis() + pause_ms, Release);
        }
        if done { found } else { self.known() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const MS: fn(u64) -> Nanos = Nanos::from_millis;

    fn report(utilization: f64, qps: f64, eps: f64) -> LoadReport {
        LoadReport { cpu_utilization: utilization, rps_fractional: qps, eps, ..LoadReport::default() }
    }

    #[test]
    fn weights_by_a58() {
        assert_eq!(weight(&report(0.5, 100.0, 0.0), 1.0), Some(200.0));
        assert_eq!(weight(&report(0.5, 100.0, 50.0), 1.0), Some(100.0));
        assert_eq!(weight(&report(0.5, 100.0, 50.0), 0.0), Some(200.0));
        let app = LoadReport { application_utilization: 2.0, ..report(0.5, 100.0, 0.0) };
        assert_eq!(weight(&app, 1.0), Some(50.0));
        assert_eq!(weight(&report(0.0, 100.0, 0.0), 1.0), None);
        assert_eq!(weight(&report(0.5, 0.0, 3.0), 1.0), None);
        assert_eq!(weight(&report(1e300, 1e-300, 1e308), 1.0), None, "0: not a weight");
        assert_eq!(weight(&report(1e-300, 1e300, 0.0), 1.0), Some(WEIGHT_MAX));
        for odd in [f64::NAN, f64::INFINITY, -1.0] {
            for r in [report(odd, 1.0, 0.0), report(1.0, odd, 0.0), report(1.0, 1.0, odd)] {
                assert!(weight(&r, 1.0).is_none_or(|w| (WEIGHT_MIN..=WEIGHT_MAX).contains(&w)), "{r:?}");
            }
        }
    }

    #[test]
    fn a_weight_counts_after_the_blackout_and_until_it_expires() {
        let load = Load::default();
        let at = |ms| load.get(MS(ms), 10_000, 180_000).map(|r| r.weight.round());
        assert_eq!(at(0), None);
        load.record(200.0, MS(5_000), 180_000);
        assert_eq!(at(14_999), None);
        load.record(300.0, MS(15_000), 180_000);
        assert_eq!(
            (at(14_990), at(15_000), at(194_999), at(195_000)),
            (None, Some(300.0), Some(300.0), None)
        );
        load.record(400.0, MS(195_000), 180_000);
        assert_eq!((at(195_000), at(204_999), at(205_000)), (None, None, Some(400.0)), "a new blackout");
        load.forget();
        load.record(500.0, MS(206_000), 180_000);
        assert_eq!((at(206_000), at(216_000)), (None, Some(500.0)));
    }

    #[test]
    fn the_utilization_is_that_of_the_last_report_that_had_one() {
        let (load, reports) = (Load::default(), Reports::default());
        let at = |ms| load.utilization(MS(ms));
        assert_eq!(at(0), None);
        reports.record(&load, &report(0.25, 0.0, 0.0), MS(0));
        let app = LoadReport { application_utilization: 1.5, ..report(0.25, 1.0, 0.0) };
        assert_eq!((at(0), at(59_999), at(60_000)), (Some(0.25), Some(0.25), None));
        reports.record(&load, &app, MS(1_000));
        reports.record(&load, &report(0.0, 9.0, 0.0), MS(50_000));
        assert_eq!((at(50_000), at(61_000)), (Some(1.5), None), "one without it changes nothing");
        reports.record(&load, &report(f64::INFINITY, 0.0, 0.0), MS(70_000));
        assert!(at(70_000).is_some_and(f64::is_finite));
        load.forget();
        assert_eq!(at(70_000), None);
    }

    /// A time of 32 bits would wrap after 49 days, and a backend that was silent for so long would be fresh again.
    #[test]
    fn a_silence_of_weeks_does_not_look_fresh() {
        let load = Load::default();
        load.record(200.0, MS(1_000), 180_000);
        for days in [20, 25, 40, 49, 50, 99, 10_000] {
            let now = Nanos::from_secs(days * 86_400);
            assert_eq!(load.get(now, 0, 180_000), None, "{days} days");
        }
        let wrap = Nanos::from_millis((1 << 32) + 1_500);
        assert_eq!(load.get(wrap, 0, 180_000), None);
    }

    proptest::proptest! {
        #[test]
        fn the_word_keeps_a_weight_to_four_digits(weight in WEIGHT_MIN..WEIGHT_MAX, ms in 0u64..1 << 40) {
            let load = Load::default();
            load.record(weight, MS(ms), 1);
            let kept = load.get(MS(ms), 0, 1).unwrap().weight;
            proptest::prop_assert!((kept / weight - 1.0).abs() < 1e-4, "{weight} is kept as {kept}");
        }
    }
}
