//! What the tables of keys have in common: how a proof is written, and the capabilities that bring what is planned.

use super::Default::{self, Text, Value};
use super::Proof::{self, Changes};

// The capabilities that bring what is planned.
pub(super) const TLS: &str = "TLS and further protocols";
pub(super) const CONTROL: &str = "control at run time";
pub(super) const VIEW: &str = "access log and alerts";

/// The key is missing before.
pub(super) const fn set(after: &'static str) -> Proof {
    Changes { before: "", after }
}

/// The section needs more keys, or has another value of the key before.
pub(super) const fn change(before: &'static str, after: &'static str) -> Proof {
    Changes { before, after }
}

pub(super) const ON: Default = Value("true");
pub(super) const NONE: Default = Text("none");
pub(super) const ENABLED_DOC: &str = "`false` switches the section off without removing it.";
