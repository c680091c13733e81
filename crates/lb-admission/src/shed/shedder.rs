//! From readings to refusals.
//!
//! A sampler tells the shedder what it read, about ten times a second; the requests ask it on their way in. Between the two
//! stands one number, the *pressure*, from 0 (all come in) to the number of levels. Its whole part counts the levels that
//! are refused, lowest first; its fraction is the share of the next one that is refused.
//!
//! Each reading says where the pressure should go, and the highest of these wishes counts:
//!
//! * above its threshold: at once to 1, so that the lowest level is gone with the first such reading; then up, by one level
//!   a second and more the further above it is;
//! * below its resume point ([`ShedSettings::resume_percent`]): down, at most by all levels in one second, more slowly near
//!   the resume point;
//! * between the two: where it is. So it is while a reading is beyond one of the two points but will be back within half a
//!   second at its present speed: readings are smoothed, and what the last step did has yet to show.
//!
//! The pressure integrates, so that traffic of a single priority is refused in just the share that holds the reading near its
//! threshold. Memory is the exception: refusing does not always give memory back, and a neighbour that fills the machine
//! must not close the proxy. Its wish is proportional instead: 1 at the threshold, everything at 100 %.
//!
//! Of the highest level 5 % always come in: somebody must get through to see that it recovers, and readings that are wrong
//! must not take the service down. A share is refused by carrying the remainder over, not by lot: of 100 requests at 30 %
//! exactly 30 are refused, evenly spread.
//!
//! While nothing is shed, [`Shedder::admit`] is one relaxed load. Readings that are missing are ignored: they neither shed
//! nor clear; without any reading, or without a sampler, the pressure stays what it is.

use super::settings::ShedSettings;
use crate::priority::{LEVELS_MAX, Priority};
use lb_types::{Nanos, SettingsError};
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Of the highest level, so much always comes in.
const KEEP: f64 = 0.05;
/// Levels a second that the pressure rises just above a threshold: a further level within a second of continued overload.
const RISE: f64 = 1.0;
/// What is added to [`RISE`], in multiples of it, for each threshold's worth that a reading is above.
const RISE_GAIN: f64 = 4.0;
/// The fastest rise, in levels a second: several readings see a level's effect before the next one goes.
const RISE_MAX: f64 = 3.0;
/// The slowest fall, in levels a second: just below the resume point there is little room to give.
const FALL_MIN: f64 = 0.2;
/// How far ahead a reading's slope is followed, in seconds: half of what readings are smoothed over, so that noise in the
/// slope does not outweigh the reading.
const AHEAD: f64 = 0.5;
/// A longer time between two observations counts as this: one reading does not speak for the time before it.
const STEP_MAX: Nanos = Nanos::from_secs(1);
/// Parts of a level that the requests' word and the carried remainders count in.
const ONE: u32 = 10_000;
/// Where the reason begins in the requests' word.
const REASON_SHIFT: u32 = 24;
const PRESSURE_MASK: u32 = (1 << REASON_SHIFT) - 1;

/// What was read of the machine. `None`: not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Readings {
    /// CPU time, in percent of what the process may use.
    pub cpu: Option<f64>,
    /// Memory, in percent of what the process may use.
    pub memory: Option<f64>,
    /// Requests that wait.
    pub queue: Option<usize>,
    /// How late the event loop wakes.
    #[cfg_attr(feature = "serde", serde(rename = "loop_delay_ms", serialize_with = "milliseconds"))]
    pub loop_delay: Option<Duration>,
    /// The share of time in which something waited for a CPU, in percent.
    pub pressure: Option<f64>,
}

/// Which resource is overloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Reason {
    /// CPU time.
    Cpu,
    /// Memory.
    Memory,
    /// Too many requests wait.
    Queue,
    /// The event loop wakes late.
    LoopDelay,
    /// Something waits for a CPU.
    Pressure,
}

impl Reason {
    const ALL: [Self; 5] = [Self::Cpu, Self::Memory, Self::Queue, Self::LoopDelay, Self::Pressure];

    /// Its name in reports and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Queue => "queue",
            Self::LoopDelay => "loop-delay",
            Self::Pressure => "pressure",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request is refused, since the machine is overloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shed: {reason} is above its threshold")]
#[non_exhaustive]
pub struct Shed {
    /// The resource that is overloaded.
    pub reason: Reason,
}

/// Everything to be seen of a [`Shedder`].
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ShedStatus {
    /// From 0 (all come in) to the number of levels less 0.05.
    pub pressure: f64,
    /// The resource that raised it last; `None` while nothing is shed.
    pub reason: Option<Reason>,
    /// The last observation.
    pub readings: Readings,
    /// Requests shed so far, by level from the highest.
    pub shed: Vec<u64>,
}

/// See the module's documentation.
///
/// ```
/// use lb_admission::Priority;
/// use lb_admission::shed::{Readings, ShedSettings, Shedder};
/// use lb_types::Nanos;
///
/// let shedder = Shedder::new(ShedSettings::new())?;
/// shedder.observe(Nanos::ZERO, &Readings { cpu: Some(93.0), ..Readings::default() });
/// assert_eq!(shedder.admit(Priority::LOW).unwrap_err().reason.as_str(), "cpu");
/// assert!(shedder.admit(Priority::NORMAL).is_ok());
/// # Ok::<(), lb_types::SettingsError>(())
/// ```
#[derive(Debug)]
pub struct Shedder {
    /// The reason above [`REASON_SHIFT`], the pressure in parts of [`ONE`] below; 0: nothing is shed.
    word: AtomicU32,
    levels: Box<[Level]>,
    settings: ShedSettings,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct Level {
    /// Parts of a refusal that were carried over, and each refusal's [`ONE`].
    carried: AtomicU64,
    shed: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    at: Option<Nanos>,
    pressure: f64,
    reason: Option<Reason>,
    readings: Readings,
    loads: [Option<f64>; Reason::ALL.len()],
}

impl Shedder {
    /// A shedder that has seen no reading: all come in.
    ///
    /// # Errors
    /// The settings are out of bounds.
    pub fn new(settings: ShedSettings) -> Result<Self, SettingsError> {
        settings.validate()?;
        let levels = (0..settings.levels).map(|_| Level::default()).collect();
        Ok(Self { word: AtomicU32::new(0), levels, settings, state: Mutex::default() })
    }

    /// Whether a request of this priority may come in now.
    ///
    /// # Errors
    /// It may not, since a resource is overloaded.
    #[inline]
    pub fn admit(&self, priority: Priority) -> Result<(), Shed> {
        match self.word.load(Ordering::Relaxed) {
            0 => Ok(()),
            word => self.admit_under_pressure(word, priority),
        }
    }

    #[cold]
    fn admit_under_pressure(&self, word: u32, priority: Priority) -> Result<(), Shed> {
        let index = priority.index(self.levels.len());
        let lower = (self.levels.len() - 1 - index) as u32;
        let share = u64::from((word & PRESSURE_MASK).saturating_sub(lower * ONE).min(ONE));
        if share == 0 {
            return Ok(());
        }
        let level = &self.levels[index];
        let carried = level.carried.fetch_add(share, Ordering::Relaxed) % u64::from(ONE);
        if carried + share < u64::from(ONE) {
            return Ok(());
        }
        level.shed.fetch_add(1, Ordering::Relaxed);
        Err(Shed { reason: Reason::ALL[(word >> REASON_SHIFT) as usize] })
    }

    /// Takes in what a sampler read at `now`, which is not before an earlier observation's.
    pub fn observe(&self, now: Nanos, readings: &Readings) {
        let mut state = self.state();
        let seconds = state.at.map_or(Nanos::ZERO, |at| (now - at).min(STEP_MAX)).as_secs_f64();
        let loads = self.loads(readings);
        let mut next = f64::NEG_INFINITY;
        let mut worst = None;
        for (i, reason) in Reason::ALL.into_iter().enumerate() {
            let Some(load) = loads[i] else { continue };
            let slope = match state.loads[i] {
                Some(before) if seconds > 0.0 => (load - before) / seconds,
                _ => 0.0,
            };
            let wish = self.wish(reason, load, load + slope * AHEAD, state.pressure, seconds);
            next = next.max(wish);
            if load > 1.0 && worst.is_none_or(|(_, most)| wish > most) {
                worst = Some((reason, wish));
            }
        }
        if next.is_finite() {
            state.pressure = next.clamp(0.0, self.settings.levels as f64 - KEEP);
        }
        state.reason = worst.map(|(reason, _)| reason).or(state.reason).filter(|_| state.pressure > 0.0);
        // After a gap a reading has no slope.
        state.loads = loads;
        (state.at, state.readings) = (Some(now), *readings);
        self.word.store(word(state.pressure, state.reason), Ordering::Relaxed);
    }

    /// Readings as parts of their thresholds; what is missing, not looked at or no number is `None`.
    fn loads(&self, readings: &Readings) -> [Option<f64>; Reason::ALL.len()] {
        let s = &self.settings;
        let of = |reading: Option<f64>, threshold: Option<f64>| {
            Some(reading? / threshold?).filter(|load| load.is_finite())
        };
        let seconds = |d: Option<Duration>| d.map(|d| d.as_secs_f64());
        [
            of(readings.cpu, s.cpu_threshold),
            of(readings.memory, s.memory_threshold),
            of(readings.queue.map(|n| n as f64), s.queue_threshold.map(|n| n as f64)),
            of(seconds(readings.loop_delay), seconds(s.loop_delay_threshold)),
            of(readings.pressure, s.pressure_threshold),
        ]
    }

    /// Where a resource would have the pressure: it carries `load` times its threshold, and `ahead` times in a while.
    fn wish(&self, reason: Reason, load: f64, ahead: f64, pressure: f64, seconds: f64) -> f64 {
        let levels = self.settings.levels as f64;
        let resume = f64::from(self.settings.resume_percent) / 100.0;
        if load > 1.0 {
            // The lowest level at once; but where it is the only one, not all of it.
            let first = (levels - 1.0).min(1.0);
            let rise = (RISE * (1.0 + RISE_GAIN * (load - 1.0))).min(RISE_MAX);
            let next = if pressure < first {
                first
            } else if ahead > 1.0 {
                pressure + rise * seconds
            } else {
                pressure
            };
            match self.settings.memory_threshold {
                Some(threshold) if reason == Reason::Memory => {
                    let excess = (load - 1.0) * threshold / (100.0 - threshold).max(1.0);
                    let proportional = first + (levels - first) * excess.min(1.0);
                    next.min(proportional.max(pressure - levels * seconds))
                }
                _ => next,
            }
        } else if load.max(ahead) < resume {
            let fall = (levels * 2.0 * (1.0 - load.max(0.0) / resume)).clamp(FALL_MIN, levels);
            pressure - fall * seconds
        } else {
            pressure
        }
    }

    /// What it was made with, the response to refused clients among it.
    pub fn settings(&self) -> &ShedSettings {
        &self.settings
    }

    /// Everything to be seen, for reports.
    pub fn status(&self) -> ShedStatus {
        let state = self.state();
        ShedStatus {
            pressure: state.pressure,
            reason: state.reason,
            readings: state.readings,
            shed: self.levels.iter().map(|level| level.shed.load(Ordering::Relaxed)).collect(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "serde")]
fn milliseconds<S: serde::Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&time.map(|t| t.as_secs_f64() * 1e3), to)
}

/// The requests' word.
fn word(pressure: f64, reason: Option<Reason>) -> u32 {
    let parts = (pressure * f64::from(ONE)).round() as u32;
    match reason {
        Some(reason) if parts > 0 => (reason as u32) << REASON_SHIFT | parts,
        _ => 0,
    }
}

const _: () = assert!(LEVELS_MAX as u32 * ONE <= PRESSURE_MASK, "every pressure fits below the reason");
