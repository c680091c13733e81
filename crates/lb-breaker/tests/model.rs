//! The breaker against a naive model of it: lists of instants, an enum and no atomics.

#![cfg(not(loom))]

use lb_breaker::{Breaker, BreakerSettings, Nanos, Permit, State, Verdict};
use proptest::prelude::*;
use std::time::Duration;

const PERIOD: u64 = 1_000;
const RECOVERY: u64 = 3_000;

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Begin,
    /// Ends one of the calls under way, so many ms after it began as far as the breaker knows.
    End(prop::sample::Index, Verdict, u64),
    Early,
    Open,
    Close,
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let verdict =
        prop_oneof![4 => Just(Verdict::Failure), 4 => Just(Verdict::Success), 1 => Just(Verdict::Cancelled)];
    prop_oneof![
        12 => prop_oneof![0..400u64, 2_000..4_000u64].prop_map(Step::Wait),
        20 => Just(Step::Begin),
        20 => (any::<prop::sample::Index>(), verdict, 0..120u64).prop_map(|(i, v, e)| Step::End(i, v, e)),
        1 => Just(Step::Early),
        1 => Just(Step::Open),
        1 => Just(Step::Close),
        2 => Just(Step::Reset),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Closed,
    Open(u64),
    Half { probes: u32, successes: u32 },
    HeldOpen,
    HeldClosed,
}

#[derive(Debug)]
struct Model {
    failure_threshold: u32,
    failure_rate: Option<u8>,
    slow_call_rate: Option<u8>,
    success_threshold: u32,
    probes: u32,
    phase: Phase,
    era: u32,
    /// When, failed, slow.
    calls: Vec<(u64, bool, bool)>,
}

const MINIMUM_CALLS: usize = 4;
const SLOW: u64 = 100;

impl Model {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.era += 1;
        self.calls.clear();
    }

    /// The era in which the call began; `None`: refused.
    fn begin(&mut self, now: u64) -> Option<u32> {
        match self.phase {
            Phase::Closed | Phase::HeldClosed => {}
            Phase::HeldOpen => return None,
            Phase::Open(until) if now < until => return None,
            Phase::Open(_) => self.enter(Phase::Half { probes: 1, successes: 0 }),
            Phase::Half { probes, .. } if probes >= self.probes => return None,
            Phase::Half { probes, successes } => self.phase = Phase::Half { probes: probes + 1, successes },
        }
        Some(self.era)
    }

    fn end(&mut self, era: u32, verdict: Verdict, slow: bool, now: u64) {
        if era != self.era {
            return;
        }
        match (self.phase, verdict) {
            (Phase::Closed, Verdict::Cancelled) => {}
            (Phase::Closed, _) => {
                self.calls.push((now, verdict == Verdict::Failure, slow));
                let recent = self.calls.iter().filter(|c| c.1 && now - c.0 < PERIOD).count() as u32;
                let reached = |rate: Option<u8>, part: fn(&(u64, bool, bool)) -> bool| {
                    let inside: Vec<_> = self.calls.iter().filter(|c| now / 100 - c.0 / 100 < 10).collect();
                    let parts = inside.iter().filter(|c| part(c)).count();
                    inside.len() >= MINIMUM_CALLS
                        && rate.is_some_and(|rate| parts * 100 >= inside.len() * usize::from(rate))
                };
                let failed = verdict == Verdict::Failure;
                if failed && self.failure_threshold > 0 && recent >= self.failure_threshold
                    || reached(self.failure_rate, |c| c.1)
                    || reached(self.slow_call_rate, |c| c.2)
                {
                    self.enter(Phase::Open(now + RECOVERY));
                }
            }
            (Phase::Half { probes, successes }, Verdict::Cancelled) => {
                self.phase = Phase::Half { probes: probes - 1, successes };
            }
            (Phase::Half { probes, successes }, Verdict::Success)
                if !(slow && self.slow_call_rate.is_some()) =>
            {
                self.phase = Phase::Half { probes: probes - 1, successes: successes + 1 };
                if successes + 1 == self.success_threshold {
                    self.enter(Phase::Closed);
                }
            }
            (Phase::Half { .. }, _) => self.enter(Phase::Open(now + RECOVERY)),
            (Phase::Open(_) | Phase::HeldOpen | Phase::HeldClosed, _) => {}
        }
    }

    fn state(&self, now: u64) -> State {
        match self.phase {
            Phase::Closed | Phase::HeldClosed => State::Closed,
            Phase::Open(until) if now >= until => State::HalfOpen,
            Phase::Open(_) | Phase::HeldOpen => State::Open,
            Phase::Half { .. } => State::HalfOpen,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]
    #[test]
    fn the_breaker_does_what_the_model_does(
        failure_threshold in 0u32..6,
        failure_rate in prop::option::of(1u8..=100),
        slow_call_rate in prop::option::of(1u8..=100),
        success_threshold in 1u32..4,
        probes in prop::option::of(1u32..4),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        prop_assume!(failure_threshold > 0 || failure_rate.is_some() || slow_call_rate.is_some());
        let mut settings = BreakerSettings::new()
            .failure_threshold(failure_threshold)
            .success_threshold(success_threshold)
            .monitoring_period(Duration::from_millis(PERIOD))
            .recovery_timeout(Duration::from_millis(RECOVERY))
            .minimum_calls(MINIMUM_CALLS as u32);
        settings.failure_rate = failure_rate;
        settings.slow_call_rate = slow_call_rate;
        settings.slow_call_duration = slow_call_rate.map(|_| Duration::from_millis(SLOW));
        settings.half_open_probes = probes;
        let breaker = Breaker::new(settings).unwrap();
        let probes = probes.unwrap_or(success_threshold);
        let mut model = Model {
            failure_threshold, failure_rate, slow_call_rate, success_threshold, probes,
            phase: Phase::Closed, era: 0, calls: Vec::new(),
        };
        let mut calls: Vec<(Permit<'_>, u32)> = Vec::new();
        let mut now = 0;
        for step in steps {
            let at = Nanos::from_millis(now);
            match step {
                Step::Wait(ms) => now += ms,
                Step::Begin => match (breaker.try_acquire(at), model.begin(now)) {
                    (Ok(permit), Some(era)) => calls.push((permit, era)),
                    (Err(open), None) => {
                        let until = if let Phase::Open(until) = model.phase { Some(until - now) } else { None };
                        prop_assert_eq!(open.retry_after, until.map(Nanos::from_millis));
                        prop_assert_eq!(open.forced, model.phase == Phase::HeldOpen);
                    }
                    (is, should) => prop_assert!(false, "is {is:?}, should be {should:?}: {model:?}"),
                },
                Step::End(which, verdict, elapsed) => if !calls.is_empty() {
                    let (permit, era) = calls.swap_remove(which.index(calls.len()));
                    permit.settle(verdict, at, Nanos::from_millis(elapsed));
                    model.end(era, verdict, elapsed >= SLOW, now);
                },
                Step::Early => {
                    let may = matches!(model.phase, Phase::Open(_));
                    prop_assert_eq!(breaker.early_half_open(), may);
                    if may {
                        model.enter(Phase::Half { probes: 0, successes: 0 });
                    }
                }
                Step::Open => {
                    breaker.force_open();
                    model.enter(Phase::HeldOpen);
                }
                Step::Close => {
                    breaker.force_close();
                    model.enter(Phase::HeldClosed);
                }
                Step::Reset => {
                    breaker.reset();
                    model.enter(Phase::Closed);
                }
            }
            let status = breaker.status(Nanos::from_millis(now));
            prop_assert_eq!(status.state, model.state(now));
            prop_assert_eq!(status.forced, matches!(model.phase, Phase::HeldOpen | Phase::HeldClosed));
            if let Phase::Half { probes, successes } = model.phase {
                prop_assert_eq!((status.probes, status.successes), (probes, successes));
            }
        }
    }
}
