//! A simulated service with an old and a new side, for the rollout's test and for `examples/rollout_sim.rs`.
//!
//! Requests arrive evenly and are split exactly; how many of them fail is drawn for each side and look. Nothing else is random, and a
//! seed gives the same world always.

use fastrand::Rng;
use lb_split::{Reason, Rollout, RolloutDecision, RolloutSettings, Window};
use lb_types::Nanos;

/// What happens to the requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    /// Requests a second, both sides together.
    pub(crate) rate: f64,
    /// The share of the old side's requests that fail.
    pub(crate) old: f64,
    /// The share of the new side's.
    pub(crate) new: f64,
    /// How much of both shares comes and goes, over twenty minutes: 0.8 means from a fifth of it to nine fifths.
    pub(crate) drift: f64,
    /// The share of slow requests of the old and of the new side.
    pub(crate) slow: (f64, f64),
    /// Seconds between looks.
    pub(crate) look: u64,
}

impl World {
    /// A thousand requests a second, looked at every five seconds; nothing is slow, nothing drifts.
    pub(crate) fn new(old: f64, new: f64) -> Self {
        Self { rate: 1_000.0, old, new, drift: 0.0, slow: (0.0, 0.0), look: 5 }
    }
}

/// How a rollout went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Its end.
    pub(crate) end: RolloutDecision,
    /// Seconds until then.
    pub(crate) seconds: u64,
    /// Requests of the new side in the last step.
    pub(crate) new_requests: u64,
    /// The step, from 0, that it ended in.
    pub(crate) step: usize,
    /// Whether a test of one look at the 1 % level (z above 2.326), repeated at every look, would ever have cried out in the same traffic.
    pub(crate) naive_alarm: bool,
}

impl Run {
    /// For whatever reason.
    pub(crate) fn rolled_back(&self) -> bool {
        matches!(self.end, RolloutDecision::RollBack { reason: Reason::Errors | Reason::Latency })
    }
}

/// A whole rollout.
pub(crate) fn run(world: &World, settings: &RolloutSettings, seed: u64) -> Run {
    let mut rng = Rng::with_seed(seed);
    let mut rollout = Rollout::new(settings.clone(), Nanos::ZERO).expect("the settings are valid");
    let (mut old, mut new) = (Window::default(), Window::default());
    let (mut arrived, mut to_new) = (0.0, 0.0);
    let mut naive_alarm = false;
    for look in 1.. {
        let seconds = look * world.look;
        let share = f64::from(rollout.percent()) / 100.0;
        let requests = world.rate * world.look as f64;
        (arrived, to_new) = (arrived + requests * (1.0 - share), to_new + requests * share);
        let phase = (seconds % 1_200) as f64 / 1_200.0 * std::f64::consts::TAU;
        let now = 1.0 + world.drift * phase.sin();
        serve(&mut rng, &mut old, arrived, world.old * now, world.slow.0);
        serve(&mut rng, &mut new, to_new, world.new * now, world.slow.1);
        naive_alarm |= z(&old, &new) > 2.326;
        match rollout.observe(Nanos::from_secs(seconds), &old, &new) {
            RolloutDecision::Hold => {}
            RolloutDecision::Advance { .. } => {
                (old, new, arrived, to_new) = (Window::default(), Window::default(), 0.0, 0.0);
            }
            end => {
                return Run { end, seconds, new_requests: new.requests, step: rollout.step(), naive_alarm };
            }
        }
    }
    unreachable!("a rollout's steps end")
}

/// Serves until `total` requests have been served.
fn serve(rng: &mut Rng, side: &mut Window, total: f64, failing: f64, slow: f64) {
    let requests = total as u64 - side.requests;
    side.requests += requests;
    side.timed += requests;
    side.errors += binomial(rng, requests, failing);
    side.slow += binomial(rng, requests, slow);
}

/// How many of `n` happen, each with probability `p`: the gaps between them are geometric.
fn binomial(rng: &mut Rng, n: u64, p: f64) -> u64 {
    if p <= 0.0 {
        return 0;
    }
    let mut happened = 0;
    let mut at = 0.0;
    loop {
        at += ((1.0 - rng.f64()).ln() / (-p).ln_1p()).floor() + 1.0;
        if at > n as f64 {
            return happened;
        }
        happened += 1;
    }
}

/// Of the difference of two rates, pooled.
fn z(old: &Window, new: &Window) -> f64 {
    let (n, m) = (old.requests as f64, new.requests as f64);
    let pooled = (old.errors + new.errors) as f64 / (n + m);
    let deviation = (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt();
    if deviation > 0.0 { (new.errors as f64 / m - old.errors as f64 / n) / deviation } else { 0.0 }
}
