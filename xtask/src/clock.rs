//! The one place where a task reads a clock.
//!
//! The workspace bans `Instant::now` so that the product takes its time as an argument. Tasks time other programs: there is
//! nothing to inject, and depending on `lb-types` for its clock would rebuild xtask at every change there.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "xtask times other processes; see the module docs")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, for the date of a report.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// `1m 02s`, `3.4s`: durations as people read them.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 60 {
        format!("{}m {:02}s", seconds / 60, seconds % 60)
    } else {
        format!("{:.1}s", duration.as_secs_f64())
    }
}

/// `2026-11-23 15:04 UTC` (days-to-civil after Howard Hinnant's `chrono`-compatible algorithm).
pub(crate) fn utc(unix_seconds: u64) -> String {
    let days = unix_seconds / 86_400 + 719_468; // from 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153; // 0 is March
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (unix_seconds / 3_600 % 24, unix_seconds / 60 % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::{human, utc};
    use std::time::Duration;

    #[test]
    fn dates_are_civil() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_795_446_240), "2026-11-23 15:04 UTC");
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(human(Duration::from_millis(3_420)), "3.4s");
        assert_eq!(human(Duration::from_secs(62)), "1m 02s");
    }
}
