//! A database's file mapped into memory: the crate's one use of `unsafe`.
#![allow(unsafe_code)]

use maxminddb::{MaxMindDbError, Mmap, Reader};
use std::path::Path;

/// Maps the file.
///
/// Safety: the memory of a map is the file's, so whoever writes into the file, or cuts it, while it is mapped, changes bytes that Rust
/// takes for unchanging, or has the process ended by SIGBUS. No program can keep others from that; the way that is safe is to write a
/// new file and rename it over the old one, which leaves the mapped bytes alone. `MmdbOptions::mapped` tells its user so and is
/// off by default.
pub(super) fn map(path: &Path) -> Result<Reader<Mmap>, MaxMindDbError> {
    // SAFETY: see above; the user has promised it.
    unsafe { Reader::open_mmap(path) }
}
