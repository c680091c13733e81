//! Something that a test turns on and off while its backends run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Off until a test turns it on; clones are the same switch. A backend's script asks it, so that a fault can begin and end at run time.
#[derive(Clone, Debug, Default)]
pub struct Switch(Arc<AtomicBool>);

impl Switch {
    /// A switch that is off.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on.
    pub fn on(&self) {
        self.0.store(true, SeqCst);
    }

    /// No longer.
    pub fn off(&self) {
        self.0.store(false, SeqCst);
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.0.load(SeqCst)
    }
}
