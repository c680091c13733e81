//! What a pool is told: its algorithm and the rules around it. `Default` is the documented default.

use crate::error::PoolError;
use crate::regions::Regions;
use lb_types::KeySource;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a backend is chosen. Names are those of the configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// `round-robin`: strict rotation, weights ignored (but 0).
    RoundRobin,
    /// `weighted-round-robin`: nginx's smooth weighted round robin.
    #[default]
    WeightedRoundRobin,
    /// `least-connections`: fewest requests in flight per weight; exact.
    LeastConnections,
    /// `random`: by weight.
    Random,
    /// `p2c`: the less loaded of two random choices.
    P2c,
    /// `ip-hash`: a ring over the client's address.
    IpHash(IpHash),
    /// `least-response-time`: lowest mean of the last responses × requests in flight.
    LeastResponseTime(LeastResponseTime),
    /// `peak-ewma`: peak-sensitive moving average of latency × requests in flight, over two random choices.
    PeakEwma(PeakEwma),
    /// `maglev`: consistent hash by look-up table (Eisenbud et al., NSDI 2016).
    Maglev(Hashing),
    /// `ring-hash`: ketama's ring, compatible with nginx's `hash … consistent`.
    RingHash(Hashing),
    /// `rendezvous`: highest random weight (Thaler & Ravishankar 1998), O(backends) a pick.
    Rendezvous(Hashing),
    /// `adaptive`: by what backends report of their load, their latency and requests in flight.
    Adaptive(Adaptive),
}

impl Algorithm {
    /// The algorithm's name in the configuration file.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::WeightedRoundRobin => "weighted-round-robin",
            Self::LeastConnections => "least-connections",
            Self::Random => "random",
            Self::P2c => "p2c",
            Self::IpHash(_) => "ip-hash",
            Self::LeastResponseTime(_) => "least-response-time",
            Self::PeakEwma(_) => "peak-ewma",
            Self::Maglev(_) => "maglev",
            Self::RingHash(_) => "ring-hash",
            Self::Rendezvous(_) => "rendezvous",
            Self::Adaptive(_) => "adaptive",
        }
    }

    /// The algorithm of this name with its default options, or `None`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|a| a.name() == name)
    }

    /// Every algorithm with its default options.
    pub fn all() -> [Self; 12] {
        [
            Self::RoundRobin,
            Self::WeightedRoundRobin,
            Self::LeastConnections,
            Self::Random,
            Self::P2c,
            Self::IpHash(IpHash::default()),
            Self::LeastResponseTime(LeastResponseTime::default()),
            Self::PeakEwma(PeakEwma::default()),
            Self::Maglev(Hashing::default()),
            Self::RingHash(Hashing::default()),
            Self::Rendezvous(Hashing::default()),
            Self::Adaptive(Adaptive::default()),
        ]
    }
}

/// Options of `ip-hash`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpHash {
    /// How many leading bits of an IPv4 address count (`ipv4_prefix`): 32 = all, 24 = clients of one /24 stay together.
    pub ipv4_prefix: u8,
    /// How many leading bits of an IPv6 address count (`ipv6_prefix`): 128 = all, 64 = one customer's network.
    pub ipv6_prefix: u8,
}

impl Default for IpHash {
    fn default() -> Self {
        Self { ipv4_prefix: 32, ipv6_prefix: 128 }
    }
}

/// Options of `maglev`, `ring-hash` and `rendezvous`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hashing {
    /// What is hashed (`key`).
    pub key: KeySource,
    /// Bounded load (`hash_balance_factor`, percent, > 100): no backend takes more than this share of the mean load; keys of a
    /// full one go on to their next choice (Mirrokni, Thorup & Zadimoghaddam 2018). `None`: no bound.
    pub balance_factor: Option<u32>,
}

/// Options of `least-response-time`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeastResponseTime {
    /// How many of the last responses are averaged (`response_time_samples`): 1–64, default 10.
    pub samples: u8,
    /// How old a response may be to count (`response_time_window`), default 60 s.
    pub window: Duration,
}

impl Default for LeastResponseTime {
    fn default() -> Self {
        Self { samples: 10, window: Duration::from_secs(60) }
    }
}

/// Options of `peak-ewma`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeakEwma {
    /// In this time the average forgets all but 1/e of what it was (`decay`), default 10 s.
    pub decay: Duration,
    /// What a backend is taken to need (`default_rtt`) while its first request is under way, default 30 ms. An idle one that has
    /// not answered yet is preferred, to be measured.
    pub default_rtt: Duration,
}

impl Default for PeakEwma {
    fn default() -> Self {
        Self { decay: Duration::from_secs(10), default_rtt: Duration::from_millis(30) }
    }
}

/// Options of `adaptive`. Names and defaults of the first three are those of gRPC's proposal A58.
#[derive(Clone, Debug, PartialEq)]
pub struct Adaptive {
    /// How long a backend must have reported before its weight counts (`blackout_period`), default 10 s.
    pub blackout_period: Duration,
    /// How long a report counts (`weight_expiration_period`), default 180 s.
    pub weight_expiration_period: Duration,
    /// What one error per request adds to a backend's utilization (`error_utilization_penalty`), default 1.0; 0: nothing.
    pub error_utilization_penalty: f64,
    /// In this time the average latency forgets all but 1/e of what it was (`decay`), default 10 s.
    pub decay: Duration,
    /// What a backend is taken to need (`default_rtt`) while its first request is under way, default 30 ms.
    pub default_rtt: Duration,
}

impl Default for Adaptive {
    fn default() -> Self {
        let PeakEwma { decay, default_rtt } = PeakEwma::default();
        Self {
            blackout_period: Duration::from_secs(10),
            weight_expiration_period: Duration::from_secs(180),
            error_utilization_penalty: 1.0,
            decay,
            default_rtt,
        }
    }
}

/// How the share of a backend that is new or has recovered grows (Envoy's slow start).
#[derive(Clone, Debug, PartialEq)]
pub struct SlowStart {
    /// How long the ramp takes.
    pub window: Duration,
    /// 1.0 = linear; larger values grow faster at first. Must be > 0.
    pub aggression: f64,
    /// The share at the start of the ramp, percent (1–100), default 10.
    pub min_weight_percent: u8,
}

impl Default for SlowStart {
    fn default() -> Self {
        Self { window: Duration::from_secs(30), aggression: 1.0, min_weight_percent: 10 }
    }
}

/// Prefer the backends of one zone while they can carry the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locality {
    /// This process's own zone: backends whose metadata says `zone = <this>` come first.
    pub zone: String,
}

/// The settings of a pool.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PoolSettings {
    /// How a backend is chosen.
    pub algorithm: Algorithm,
    /// The most requests in flight per backend, where the backend says nothing else; default none.
    pub max_connections: Option<u32>,
    /// When fewer than this percent of the backends are healthy, active health is ignored. 0 (the default): only when none is.
    pub panic_threshold: u8,
    /// Ramp for new and recovered backends; default none. Does not apply to hash algorithms.
    pub slow_start: Option<SlowStart>,
    /// Only backends with all of these metadata entries take part.
    pub subset: BTreeMap<String, String>,
    /// Prefer one zone; default none.
    pub locality: Option<Locality>,
    /// Which backends are whose region's; default none: there are no regions.
    pub regions: Option<Regions>,
    /// A priority level (or zone) carries all its traffic until fewer than 100/1.4 % of its backends are healthy (Envoy's
    /// overprovisioning factor), percent, default 140.
    pub overprovisioning_percent: u32,
    /// Keep a histogram of each backend's time to first byte (1.5 KiB a backend that has traffic); default true.
    pub latency_histograms: bool,
    /// Keep what backends report of their load with any algorithm, not only with `adaptive`, default false: auto-scaling by CPU goes by it. Then the reports
    /// are taken out of responses.
    pub load_reports: bool,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            max_connections: None,
            panic_threshold: 0,
            slow_start: None,
            subset: BTreeMap::new(),
            locality: None,
            regions: None,
            overprovisioning_percent: 140,
            latency_histograms: true,
            load_reports: false,
        }
    }
}

impl PoolSettings {
    /// The defaults with another algorithm.
    pub fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, ..Self::default() }
    }

    /// Is it of use what backends report of their load?
    pub(crate) fn wants_reports(&self) -> bool {
        self.load_reports || matches!(self.algorithm, Algorithm::Adaptive(_))
    }

    /// The name of the pool's way to choose: `geo-based` where there are regions, else the algorithm's.
    pub fn algorithm_name(&self) -> &'static str {
        if self.regions.is_some() { "geo-based" } else { self.algorithm.name() }
    }

    /// Are all values within their ranges?
    ///
    /// # Errors
    /// The first one that is not, by its name in the configuration file.
    pub fn check(&self) -> Result<(), PoolError> {
        let refuse = |field, value: &dyn std::fmt::Display, reason| {
            Err(PoolError::Setting { field, value: value.to_string(), reason })
        };
        if self.panic_threshold > 100 {
            return refuse("panic_threshold", &self.panic_threshold, "must be 0 to 100 percent");
        }
        if self.max_connections == Some(0) {
            return refuse("max_connections", &0, "must be 1 or more");
        }
        if self.overprovisioning_percent < 100 {
            return refuse("overprovisioning_percent", &self.overprovisioning_percent, "must be 100 or more");
        }
        if let Some(s) = &self.slow_start {
            if s.window.is_zero() {
                return refuse("slow_start.window", &"0s", "must be longer than nothing");
            }
            if !(s.aggression > 0.0 && s.aggression.is_finite()) {
                return refuse("slow_start.aggression", &s.aggression, "must be greater than 0");
            }
            if !(1..=100).contains(&s.min_weight_percent) {
                return refuse(
                    "slow_start.min_weight_percent",
                    &s.min_weight_percent,
                    "must be 1 to 100 percent",
                );
            }
        }
        if let Some(regions) = &self.regions {
            regions.check()?;
        }
        match &self.algorithm {
            Algorithm::IpHash(o) if o.ipv4_prefix > 32 => {
                refuse("ipv4_prefix", &o.ipv4_prefix, "must be 0 to 32")
            }
            Algorithm::IpHash(o) if o.ipv6_prefix > 128 => {
                refuse("ipv6_prefix", &o.ipv6_prefix, "must be 0 to 128")
            }
            Algorithm::LeastResponseTime(o) if !(1..=64).contains(&o.samples) => {
                refuse("response_time_samples", &o.samples, "must be 1 to 64")
            }
            Algorithm::LeastResponseTime(o) if o.window.is_zero() => {
                refuse("response_time_window", &"0s", "must be longer than nothing")
            }
            Algorithm::PeakEwma(PeakEwma { decay, .. }) | Algorithm::Adaptive(Adaptive { decay, .. })
                if decay.is_zero() =>
            {
                refuse("decay", &"0s", "must be longer than nothing")
            }
            Algorithm::Adaptive(o) if o.weight_expiration_period.is_zero() => {
                refuse("weight_expiration_period", &"0s", "must be longer than nothing")
            }
            Algorithm::Adaptive(o)
                if !(o.error_utilization_penalty >= 0.0 && o.error_utilization_penalty.is_finite()) =>
            {
                refuse("error_utilization_penalty", &o.error_utilization_penalty, "must be 0 or more")
            }
            Algorithm::Maglev(h) | Algorithm::RingHash(h) | Algorithm::Rendezvous(h) => {
                match h.balance_factor {
                    Some(f) if f <= 100 => refuse("hash_balance_factor", &f, "must be more than 100 percent"),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}
