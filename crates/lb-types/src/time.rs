//! Monotonic time as a plain number, and where it comes from.
//!
//! Decisions take `now: Nanos` as an argument; only the shells own a [`Clock`]. So the same code runs on the
//! operating system's clock, under a test's [`ManualClock`] and in a simulation.

use std::ops::{Add, AddAssign, Sub};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Monotonic nanoseconds: an instant (since the clock's own origin) or a length of time.
///
/// A `u64` of nanoseconds lasts 584 years, so arithmetic saturates instead of failing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct Nanos(pub u64);

impl Nanos {
    /// The clock's origin, or no time at all.
    pub const ZERO: Self = Self(0);
    /// Later than every instant a clock will give.
    pub const MAX: Self = Self(u64::MAX);

    /// From whole microseconds.
    pub const fn from_micros(us: u64) -> Self {
        Self(us.saturating_mul(1_000))
    }

    /// From whole milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// From whole seconds.
    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1_000_000_000))
    }

    /// Whole microseconds, rounded down.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Seconds with their fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// As a [`Duration`].
    pub const fn as_duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

impl From<Duration> for Nanos {
    /// Saturates at 584 years.
    fn from(d: Duration) -> Self {
        Self(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl Add for Nanos {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Nanos {
    type Output = Self;
    /// How much later `self` is than `other`; zero if it is earlier.
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// Where an instant comes from. Injected, so that nothing below the shell reads the operating system's clock.
pub trait Clock: Send + Sync + 'static {
    /// The present instant; never earlier than one given before.
    fn now(&self) -> Nanos;
}

/// The operating system's monotonic clock, counted from this value's creation.
#[cfg(feature = "std-clock")]
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(std::time::Instant);

#[cfg(feature = "std-clock")]
impl SystemClock {
    /// A clock whose origin is now.
    #[allow(clippy::disallowed_methods)] // the one place that reads the clock
    pub fn new() -> Self {
        Self(std::time::Instant::now())
    }

    /// The clock of this process: always the same, so that what is made apart can be compared.
    pub fn process() -> Self {
        static CLOCK: std::sync::OnceLock<SystemClock> = std::sync::OnceLock::new();
        *CLOCK.get_or_init(Self::new)
    }
}

#[cfg(feature = "std-clock")]
impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "std-clock")]
impl Clock for SystemClock {
    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

/// A clock that stands still until it is moved: for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock at `start`.
    pub const fn new(start: Nanos) -> Self {
        Self(AtomicU64::new(start.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: impl Into<Nanos>) {
        self.0.fetch_add(by.into().0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Nanos {
        Nanos(self.0.load(Ordering::SeqCst))
    }
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Nanos {
        (**self).now()
    }
}
