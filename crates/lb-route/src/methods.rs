//! Methods of a route: a word of bits for those that everybody knows, a list for the others.
//!
//! Compared as they are, case included (RFC 9110 §9.1). `GET` does not bring `HEAD` along: who wants both names both.

use crate::values::is_token;
use lb_types::SettingsError;

/// The methods of RFC 9110 and `PATCH`, each a bit by its place.
const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// The bit of a known method; 0 for another.
pub(crate) fn bit(method: &str) -> u16 {
    KNOWN.iter().position(|known| *known == method).map_or(0, |at| 1 << at)
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Methods {
    known: u16,
    others: Box<[Box<str>]>,
}

impl Methods {
    pub(crate) fn parse(methods: &[String]) -> Result<Self, SettingsError> {
        let mut known = 0;
        let mut others: Vec<Box<str>> = Vec::new();
        for method in methods {
            if !is_token(method) || method.bytes().any(|b| b.is_ascii_lowercase()) {
                return Err(SettingsError::new("methods", method, "must be a method's name, in capitals"));
            }
            match bit(method) {
                0 => others.push(method.as_str().into()),
                bit => known |= bit,
            }
        }
        Ok(Self { known, others: others.into() })
    }

    fn is_any(&self) -> bool {
        self.known == 0 && self.others.is_empty()
    }

    /// `bit` is the method's.
    pub(crate) fn allow(&self, bit: u16, method: &str) -> bool {
        self.known & bit != 0 || self.is_any() || self.others.iter().any(|other| **other == *method)
    }

    /// Has this every method that `other` has?
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.is_any()
            || !other.is_any()
                && other.known & !self.known == 0
                && other.others.iter().all(|method| self.others.contains(method))
    }
}
