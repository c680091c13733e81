//! Agent reports in a response header: a backend announces weight, drain or maintenance with any answer (HAProxy's agent text, see
//! [`lb_types::agent`]).
//!
//! The operator names the header, and so says that the backends behind it are trusted. A report equal to the last one of its
//! backend is neither parsed nor passed on: the common case costs a hash of its bytes. What was last said is kept for all workers
//! together, and passed on in that order: with a memory for each worker, a backend that says `drain`, `ready`, `drain` to two of them would
//! stay ready for the one that has heard `drain` twice.
//!
//! A backend that takes itself out by this header gets no requests with whose answers it could say `ready`: that takes its agent's
//! port, or the operator.

use crate::load_report::Twice;
use http::header::{HeaderName, HeaderValue, InvalidHeaderName};
use lb_core::BackendState;
use lb_types::agent::AGENT_REPORT_BYTES_MAX;
use lb_types::{AgentReport, AgentSink};
use std::hash::{DefaultHasher, Hasher};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// The response header that agents speak in, by its name: `"X-Agent".parse()`. Clones share what they remember.
#[derive(Clone, Debug)]
pub struct AgentHeader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: HeaderName,
    /// By the backends' slots: whose it is (`uid`), and the hash of what it said last.
    last: Mutex<Vec<(u64, u64)>>,
}

impl FromStr for AgentHeader {
    type Err = InvalidHeaderName;

    fn from_str(name: &str) -> Result<Self, InvalidHeaderName> {
        HeaderName::from_str(name).map(Self::new)
    }
}

impl AgentHeader {
    /// The header of this name. It is taken out of every response, so it must be none that responses need.
    pub fn new(name: HeaderName) -> Self {
        Self(Arc::new(Inner { name, last: Mutex::default() }))
    }

    /// The header's name.
    pub fn name(&self) -> &HeaderName {
        &self.0.name
    }

    /// Passes on what a backend says, if it is something new. `false`: it is no agent report.
    ///
    /// The sink is called under a lock, so that the last report heard is the last one passed on.
    pub(crate) fn hear(
        &self,
        said: Result<&HeaderValue, &Twice>,
        backend: &BackendState,
        sink: &dyn AgentSink,
    ) -> bool {
        let Ok(said) = said else {
            tracing::debug!(backend = %backend.id(), "two agent reports in one response");
            return false;
        };
        let text = said.as_bytes();
        let mut hasher = DefaultHasher::new();
        hasher.write(text);
        let now = (backend.uid(), hasher.finish());
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = backend.slot() as usize;
        if last.len() <= slot {
            last.resize(slot + 1, (0, 0));
        }
        if last[slot] == now {
            return true;
        }
        match parse(text) {
            Ok(report) => {
                last[slot] = now;
                sink.agent_report(backend.id(), report);
                true
            }
            Err(error) => {
                tracing::debug!(backend = %backend.id(), %error, "malformed agent report");
                false
            }
        }
    }
}

fn parse(text: &[u8]) -> Result<AgentReport, String> {
    if text.len() > AGENT_REPORT_BYTES_MAX {
        return Err(format!("{} bytes; at most {AGENT_REPORT_BYTES_MAX} are read", text.len()));
    }
    let text = std::str::from_utf8(text).map_err(|e| e.to_string())?;
    text.parse().map_err(|e: lb_types::AgentReportError| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::{Pool, PoolSettings};
    use lb_types::{AgentMode, Backend, BackendId, SystemClock};

    #[derive(Default)]
    struct Sink(Mutex<Vec<(String, AgentReport)>>);

    impl AgentSink for Sink {
        fn agent_report(&self, id: &BackendId, report: AgentReport) {
            self.0.lock().unwrap().push((id.to_string(), report));
        }
    }

    impl Sink {
        fn heard(&self) -> Vec<(String, AgentReport)> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    fn pool() -> Pool {
        let backend = |id: &str| Backend::new(id, "http://127.0.0.1:1".parse().unwrap());
        let backends = vec![backend("a"), backend("b")];
        Pool::new(PoolSettings::default(), backends, Arc::new(SystemClock::new())).unwrap()
    }

    #[test]
    fn what_was_said_already_is_not_passed_on_again() {
        let (pool, sink, header) = (pool(), Sink::default(), "X-Agent".parse::<AgentHeader>().unwrap());
        let state = |id: &str| pool.snapshot().get(&id.into()).unwrap().state().clone();
        let (a, b) = (state("a"), state("b"));
        let hear = |header: &AgentHeader, text: &str, of: &BackendState| {
            header.hear(Ok(&HeaderValue::try_from(text).unwrap()), of, &sink)
        };
        let drain = AgentReport { mode: Some(AgentMode::Drain), ..AgentReport::default() };
        let ready = AgentReport { mode: Some(AgentMode::Ready), ..AgentReport::default() };
        let other_worker = header.clone();
        assert!(hear(&header, "drain", &a) && hear(&other_worker, "drain", &a) && hear(&header, "drain", &b));
        assert_eq!(sink.heard(), [("a".into(), drain), ("b".into(), drain)]);
        assert!(hear(&other_worker, "ready", &a) && hear(&header, "drain", &a));
        assert_eq!(sink.heard(), [("a".into(), ready), ("a".into(), drain)], "one memory for all workers");
        // Another backend in the same slot: another state of a new address.
        let mut patch = lb_types::BackendPatch::default();
        patch.url = Some("http://127.0.0.1:2".parse().unwrap());
        pool.update_backend(&"a".into(), patch).unwrap();
        assert!(hear(&header, "drain", &state("a")));
        assert_eq!(sink.heard(), [("a".into(), drain)]);
    }

    #[test]
    fn what_is_no_report_changes_nothing_and_is_said_so_each_time() {
        let (pool, sink, header) = (pool(), Sink::default(), "X-Agent".parse::<AgentHeader>().unwrap());
        let a = pool.snapshot().get(&"a".into()).unwrap().state().clone();
        let long = "x".repeat(300);
        for bad in [&b"hello"[..], b"\xff\xfe", b"300%", long.as_bytes()] {
            let value = HeaderValue::from_bytes(bad).unwrap();
            assert!(!header.hear(Ok(&value), &a, &sink) && !header.hear(Ok(&value), &a, &sink));
        }
        assert!(!header.hear(Err(&Twice), &a, &sink));
        assert!(sink.heard().is_empty());
        assert!(header.hear(Ok(&HeaderValue::from_static("50%")), &a, &sink));
        assert_eq!(sink.heard()[0].1.weight_percent, Some(50));
    }
}
