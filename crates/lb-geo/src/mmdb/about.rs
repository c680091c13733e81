//! What a database says of itself.

use std::fmt;

/// What a database is, for `about`, statuses and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct About {
    /// The file, `built-in`, or the name that it was given.
    pub source: String,
    /// Its type, as it says itself: `GeoLite2-City`.
    pub database_type: String,
    /// What it is, in its own (English) words; empty if it says nothing.
    pub description: String,
    /// When it was built: seconds since 1970.
    pub build_epoch: u64,
    /// Languages of its names, such as `en`. None in databases without names.
    pub languages: Vec<String>,
    /// 4: it knows IPv4 alone. 6: both.
    pub ip_version: u16,
    /// Its size.
    pub bytes: u64,
    /// It is mapped into memory, not read.
    pub mapped: bool,
    /// Its licence, where this crate knows it: of the built-in database. Any other's is between its publisher and its user.
    pub licence: Option<&'static str>,
    /// Whom its licence demands to name beside it, and what to know of its quality; where this crate knows.
    pub attribution: Option<&'static str>,
}

impl About {
    /// The day on which it was built: year, month, day (UTC).
    pub fn built_on(&self) -> (u64, u64, u64) {
        civil(self.build_epoch / 86_400)
    }
}

impl fmt::Display for About {
    /// One line, and one more with the attribution if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.built_on();
        write!(
            f,
            "{}: {}, built {year}-{month:02}-{day:02}, {}, {:.1} MB{}",
            self.source,
            self.database_type,
            if self.ip_version == 4 { "IPv4 alone" } else { "IPv4 and IPv6" },
            self.bytes as f64 / 1e6,
            if self.mapped { ", memory-mapped" } else { "" },
        )?;
        if !self.languages.is_empty() {
            write!(f, ", languages {}", self.languages.join(" "))?;
        }
        self.attribution.map_or(Ok(()), |text| write!(f, "\n{text}"))
    }
}

/// Days since 1970-01-01 as a date of the Gregorian calendar (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days.min(1 << 40) + 719_468; // keeps a nonsense epoch from overflowing
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (era * 400 + yoe + u64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_are_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(1_770_245_369 / 86_400), (2026, 2, 4));
        civil(u64::MAX);
    }
}
