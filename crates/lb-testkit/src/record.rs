//! What a backend saw: every byte, every request, and how many at once.

use crate::message::RequestHead;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes that are kept of one connection; all are counted.
const WIRE_BYTES_MAX: usize = 1 << 20;
/// Requests that are kept; all are counted.
const REQUESTS_MAX: usize = 65_536;

/// A request as a backend received it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Which of the backend's connections it came on, from 0.
    pub connection: usize,
    /// Its head.
    pub head: RequestHead,
    /// Its body, as far as it came.
    pub body: Vec<u8>,
    /// The lines of its trailer.
    pub trailers: Vec<String>,
    /// Whether the body came to its end.
    pub is_complete: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Record {
    wire: Mutex<Vec<Vec<u8>>>,
    requests: Mutex<Vec<Received>>,
    malformed: Mutex<Vec<String>>,
    pub(crate) request_count: AtomicUsize,
    pub(crate) open: AtomicUsize,
    pub(crate) in_flight: AtomicUsize,
    pub(crate) in_flight_max: AtomicUsize,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) is_killed: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Record {
    /// A new connection; its number.
    pub(crate) fn connected(&self) -> usize {
        self.open.fetch_add(1, SeqCst);
        let mut wire = lock(&self.wire);
        wire.push(Vec::new());
        wire.len() - 1
    }

    pub(crate) fn came(&self, connection: usize, bytes: &[u8]) {
        self.bytes_received.fetch_add(bytes.len() as u64, SeqCst);
        let mut wire = lock(&self.wire);
        let kept = &mut wire[connection];
        let room = WIRE_BYTES_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// A request's head has come; where its record is kept, if it is.
    pub(crate) fn request(&self, connection: usize, head: RequestHead) -> Option<usize> {
        self.request_count.fetch_add(1, SeqCst);
        let now = self.in_flight.fetch_add(1, SeqCst) + 1;
        self.in_flight_max.fetch_max(now, SeqCst);
        let mut requests = lock(&self.requests);
        if requests.len() >= REQUESTS_MAX {
            return None;
        }
        requests.push(Received {
            connection,
            head,
            body: Vec::new(),
            trailers: Vec::new(),
            is_complete: false,
        });
        Some(requests.len() - 1)
    }

    pub(crate) fn update(&self, at: Option<usize>, change: impl FnOnce(&mut Received)) {
        let mut requests = lock(&self.requests);
        if let Some(received) = at.and_then(|at| requests.get_mut(at)) {
            change(received);
        }
    }

    pub(crate) fn malformed(&self, what: String) {
        lock(&self.malformed).push(what);
    }

    pub(crate) fn all_requests(&self) -> Vec<Received> {
        lock(&self.requests).clone()
    }

    pub(crate) fn all_malformed(&self) -> Vec<String> {
        lock(&self.malformed).clone()
    }

    pub(crate) fn all_wire(&self) -> Vec<Vec<u8>> {
        lock(&self.wire).clone()
    }

    pub(crate) fn connection_count(&self) -> usize {
        lock(&self.wire).len()
    }
}
