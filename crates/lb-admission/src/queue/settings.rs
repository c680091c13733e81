//! What a queue is told. `Default` is the documented default; [`QueueSettings::validate`] says what is out of bounds.

use crate::priority::{LEVELS_MAX, Priority};
use lb_types::SettingsError;
use std::time::Duration;

/// The most that may wait: more would only wait longer than any client does.
pub const SIZE_MAX: usize = 1_000_000;
/// The shortest `timeout`, `target` and `after`: timers are no finer.
pub const DURATION_MIN: Duration = Duration::from_millis(1);
/// The longest of any duration.
pub const DURATION_MAX: Duration = Duration::from_secs(60 * 60);
/// The largest weight: levels that differ by more are better served by one that is strictly first.
pub const WEIGHT_MAX: u32 = 1_000;

/// Settings of a [`Queue`](super::Queue).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueSettings {
    /// How many may wait, over all levels, default 1 000 (1–1 000 000).
    pub max_size: usize,
    /// How long one waits at most, default 30 s (1 ms – 1 h).
    pub timeout: Duration,
    /// The levels of priority, highest first, default high, normal and low with weights 16, 4 and 1 (1–8 of them). One level makes a
    /// plain queue.
    pub levels: Vec<Level>,
    /// When and how a level turns to newest-first, default after 1 s of waits of 10 ms. `None`: never.
    pub overload: Option<Overload>,
}

/// A level of priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// What it is called: not empty, and unlike the others whatever the case.
    pub name: String,
    /// Its share of the places that become free while others wait, too (1–1 000).
    pub weight: u32,
}

impl Level {
    /// A level of this name and weight.
    pub fn new(name: impl Into<String>, weight: u32) -> Self {
        Self { name: name.into(), weight }
    }
}

/// When a level counts as overloaded, and for how long one waits in it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    /// Overload begins once the waits have been `target` or more for this long, and ends once nobody had to be refused for this long,
    /// default 1 s (1 ms – 1 h).
    pub after: Duration,
    /// The wait that a queue should not exceed for long, and the longest during overload, default 10 ms (1 ms – 1 h).
    pub target: Duration,
}

impl Default for Overload {
    fn default() -> Self {
        Self { after: Duration::from_secs(1), target: Duration::from_millis(10) }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            max_size: 1_000,
            timeout: Duration::from_secs(30),
            levels: vec![Level::new("high", 16), Level::new("normal", 4), Level::new("low", 1)],
            overload: Some(Overload::default()),
        }
    }
}

impl QueueSettings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another number that may wait.
    #[must_use]
    pub fn max_size(mut self, waiters: usize) -> Self {
        self.max_size = waiters;
        self
    }

    /// Another longest wait.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Other levels, highest first.
    #[must_use]
    pub fn levels(mut self, levels: impl IntoIterator<Item = Level>) -> Self {
        self.levels = levels.into_iter().collect();
        self
    }

    /// Another idea of overload; `None`: first come, first served, whatever happens.
    #[must_use]
    pub fn overload(mut self, overload: Option<Overload>) -> Self {
        self.overload = overload;
        self
    }

    /// The level of requests of which nothing else is said: the one named "normal", else the middle one (of two the last).
    pub fn default_level(&self) -> Priority {
        self.level_named("normal").unwrap_or(Priority::level((self.levels.len().min(LEVELS_MAX) / 2) as u8))
    }

    /// The level of this name, in upper or lower case.
    pub fn level_named(&self, name: &str) -> Option<Priority> {
        let at = self.levels.iter().position(|level| level.name.eq_ignore_ascii_case(name))?;
        u8::try_from(at).ok().map(Priority::level)
    }

    /// Whether every value is within its bounds and they fit together.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if !(1..=SIZE_MAX).contains(&self.max_size) {
            let must = format!("must be from 1 to {SIZE_MAX}");
            return Err(SettingsError::new("max_size", self.max_size, must));
        }
        duration("timeout", self.timeout)?;
        if !(1..=LEVELS_MAX).contains(&self.levels.len()) {
            let must = format!("there must be from 1 to {LEVELS_MAX}");
            return Err(SettingsError::new("levels", self.levels.len(), must));
        }
        for (at, level) in self.levels.iter().enumerate() {
            if level.name.is_empty() {
                return Err(SettingsError::new("levels.name", &level.name, "must not be empty"));
            }
            if self.level_named(&level.name).is_some_and(|first| first.index(LEVELS_MAX) != at) {
                return Err(SettingsError::new("levels.name", &level.name, "must not be another level's"));
            }
            if !(1..=WEIGHT_MAX).contains(&level.weight) {
                let must = format!("must be from 1 to {WEIGHT_MAX}");
                return Err(SettingsError::new("levels.weight", level.weight, must));
            }
        }
        if let Some(overload) = self.overload {
            duration("overload.after", overload.after)?;
            duration("overload.target", overload.target)?;
        }
        Ok(())
    }
}

fn duration(field: &'static str, value: Duration) -> Result<(), SettingsError> {
    if (DURATION_MIN..=DURATION_MAX).contains(&value) {
        return Ok(());
    }
    Err(SettingsError::new(field, value, "must be from 1 ms to 1 h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> QueueSettings {
        QueueSettings::new().levels(names.iter().map(|name| Level::new(*name, 1)))
    }

    #[test]
    fn the_defaults_are_the_contracts_and_valid() {
        let d = QueueSettings::default();
        assert_eq!((d.max_size, d.timeout.as_secs(), d.levels.len()), (1_000, 30, 3));
        assert_eq!(d.default_level(), Priority::NORMAL);
        assert_eq!(d.level_named("LOW"), Some(Priority::LOW));
        assert_eq!(d.level_named("urgent"), None);
        assert_eq!(d.validate(), Ok(()));
    }

    #[test]
    fn the_default_level_is_normal_or_the_middle() {
        for (names, at) in [
            (&["all"][..], 0),
            (&["gold", "silver"], 1),
            (&["a", "b", "c"], 1),
            (&["a", "b", "c", "d"], 2),
            (&["Normal", "low"], 0),
        ] {
            assert_eq!(named(names).default_level(), Priority::level(at), "{names:?}");
        }
    }

    #[test]
    fn bad_values_are_named() {
        let new = QueueSettings::new;
        let zero = Duration::ZERO;
        for (settings, expected) in [
            (new().max_size(0), "max_size = 0: must be from 1 to 1000000"),
            (new().timeout(zero), "timeout = 0ns: must be from 1 ms to 1 h"),
            (named(&[]), "levels = 0: there must be from 1 to 8"),
            (named(&["a"; 9]), "levels = 9: there must be from 1 to 8"),
            (named(&["a", ""]), "levels.name = \"\": must not be empty"),
            (named(&["a", "A"]), "levels.name = \"A\": must not be another level's"),
            (new().levels([Level::new("a", 0)]), "levels.weight = 0: must be from 1 to 1000"),
            (
                new().overload(Some(Overload { after: zero, ..Overload::default() })),
                "overload.after = 0ns: must be from 1 ms to 1 h",
            ),
            (
                new().overload(Some(Overload { target: DURATION_MAX * 2, ..Overload::default() })),
                "overload.target = 7200s: must be from 1 ms to 1 h",
            ),
        ] {
            assert_eq!(settings.validate().unwrap_err().to_string(), expected);
        }
        assert_eq!(new().overload(None).validate(), Ok(()));
    }
}
