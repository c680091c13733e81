//! One copy of each backend's name: ids that come out of cookies and stores share the memory of equal ones before them.

use lb_types::BackendId;
use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

/// The most names that are remembered. Pools have fewer; one that replaces its backends for months starts the list anew now and then,
/// which costs memory for a while and nothing else.
const NAMES_MAX: usize = 4096;

#[derive(Default)]
pub(crate) struct Names(RwLock<HashSet<BackendId>>);

impl Names {
    /// An id equal to this one, in shared memory.
    pub(crate) fn share(&self, name: &BackendId) -> BackendId {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return known.clone();
        }
        let mut names = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return known.clone(); // another thread was faster
        }
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(name.clone());
        name.clone()
    }
}
