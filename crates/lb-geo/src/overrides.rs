//! Places that the user gives to networks: offices, a data centre's private ranges, what a database has wrong.

use crate::prefix::PrefixTable;
use crate::{Answer, GeoError, Location};
use ipnet::IpNet;
use std::net::IpAddr;

/// The most networks that may have a place of their own.
pub const OVERRIDES_MAX: usize = 100_000;

/// Networks with a place of their own. The longest prefix wins; a look-up costs a probe for each length of prefix that is in use.
///
/// They are asked first, and they alone may place private and reserved addresses.
///
/// ```
/// use lb_geo::{Location, Overrides};
/// let mut overrides = Overrides::new();
/// overrides.add("10.0.0.0/8", Location::of_country("DE".parse()?))?;
/// overrides.add("10.9.0.0/16", Location::of_country("US".parse()?))?;
/// let answer = overrides.get("10.9.1.1".parse()?).expect("it is in 10.9.0.0/16");
/// assert_eq!(answer.location().and_then(|l| l.country), Some("US".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Overrides {
    table: PrefixTable<Answer>,
}

impl Default for Overrides {
    fn default() -> Self {
        Self::new()
    }
}

impl Overrides {
    /// None.
    pub fn new() -> Self {
        Self { table: PrefixTable::new() }
    }

    /// Gives `network` (`10.0.0.0/8`, or one address) a place.
    ///
    /// # Errors
    /// When it is no network, has bits set behind its prefix, is there already, or there are [`OVERRIDES_MAX`].
    pub fn add(&mut self, network: &str, location: Location) -> Result<(), GeoError> {
        let bad = |reason| GeoError::bad("overrides", format!("{network:?}"), reason);
        let parsed = network_of(network).map_err(bad)?;
        if self.len() >= OVERRIDES_MAX {
            return Err(bad("there are 100000 already, and no more are allowed"));
        }
        if self.table.contains(parsed) {
            return Err(bad("it is there twice"));
        }
        self.table.insert(parsed, Answer::of(location.with_continent()));
        Ok(())
    }

    /// The place of the longest prefix that has `ip`.
    pub fn get(&self, ip: IpAddr) -> Option<&Answer> {
        self.table.get(ip)
    }

    /// How many networks there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A network, or one address as a network of one. Bits behind the prefix are refused: `10.1.0.0/8` is a slip more often than 10.0.0.0/8.
pub(crate) fn network_of(text: &str) -> Result<IpNet, &'static str> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.into());
    }
    let network: IpNet =
        text.parse().map_err(|_| "it is no network: an address, a slash and the length of its prefix is")?;
    let exact = network.addr() == network.network();
    exact.then_some(network).ok_or("it has bits set behind its prefix")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_refused() {
        let mut overrides = Overrides::new();
        let mut error = |network: &str| {
            overrides.add(network, Location::of_country("DE".parse().unwrap())).unwrap_err().to_string()
        };
        assert_eq!(error("10.1.0.0/8"), "geo.overrides = \"10.1.0.0/8\": it has bits set behind its prefix");
        assert!(error("10.0.0.0/33").contains("no network"));
        assert!(error("").contains("no network"));
        let norway = Location::of_country("NO".parse().unwrap());
        overrides.add("::1", norway.clone()).unwrap();
        let twice = overrides.add("::1/128", Location::default()).unwrap_err();
        assert_eq!(twice.to_string(), "geo.overrides = \"::1/128\": it is there twice");
        assert_eq!(overrides.get("::1".parse().unwrap()), Some(&norway.into()), "a refusal changes nothing");
        assert_eq!(overrides.len(), 1);
    }
}
