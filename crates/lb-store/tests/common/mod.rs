//! What every store must do, whichever it is.

#![allow(dead_code)] // each test program uses its part

pub(crate) mod suite;
pub(crate) mod until;
