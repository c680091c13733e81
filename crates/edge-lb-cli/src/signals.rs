//! What the operating system asks of the process.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Takes over SIGTERM, SIGINT and SIGHUP, for as long as the process lives.
pub(crate) struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// When a handler cannot be set.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until the process is asked to stop; gives the signal's name. SIGHUP, by which others reload, is answered with a line in
    /// the log instead of death. Cancel-safe.
    pub(crate) async fn stop(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.term.recv() => return "SIGTERM",
                _ = self.int.recv() => return "SIGINT",
                _ = self.hup.recv() => {
                    tracing::warn!("SIGHUP: reloading is not built yet; everything stays as it is");
                }
            }
        }
    }
}
