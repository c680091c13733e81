//! What backends say of themselves in their responses: their load (ORCA), and as agents.
//!
//! | field | looked at | then |
//! |---|---|---|
//! | `endpoint-load-metrics`, `endpoint-load-metrics-bin` in head or trailers | while the pool's algorithm is `adaptive`, or it is scaled by CPU | taken out |
//! | the agent's header (`agent_header`) in the head | where one is named | taken out, of trailers too |
//!
//! What is used here is the operator's own business and not the client's; what is not looked at passes as any field does. A field that
//! is malformed or stands there twice is counted, logged at debug level, taken out and otherwise ignored. Where one message has the
//! binary form, the other is not read (as in Envoy); a trailer comes after the head and replaces what that said.

use crate::engine::RequestBody;
use crate::service::Service;
use crate::stats::Counters;
use crate::timer::Watch;
use http::header::{Entry, HeaderMap, HeaderName, HeaderValue};
use lb_core::{BackendState, orca};

const TEXT: HeaderName = HeaderName::from_static("endpoint-load-metrics");
const BINARY: HeaderName = HeaderName::from_static("endpoint-load-metrics-bin");

impl<B: RequestBody> Service<B> {
    /// Takes what is meant for the proxy out of a response's head.
    #[inline]
    pub(crate) fn hear_head(
        &self,
        headers: &mut HeaderMap,
        backend: &BackendState,
        leaf: usize,
        watch: &Watch,
    ) {
        if backend.wants_reports() {
            self.hear_load(headers, backend, watch);
        }
        if let Some(agent) = &self.upstream(leaf).settings.agent_header
            && let Some(said) = take(headers, agent.name())
            && !agent.hear(said.as_ref(), backend, self.balancer.leaves()[leaf].pool())
        {
            Counters::count(&self.counters.agent_reports_malformed);
        }
    }

    /// The same of its trailers, with which a backend can report what the request itself has cost.
    #[cold]
    pub(crate) fn hear_trailers(
        &self,
        trailers: &mut HeaderMap,
        backend: &BackendState,
        leaf: usize,
        watch: &Watch,
    ) {
        if backend.wants_reports() {
            self.hear_load(trailers, backend, watch);
        }
        if let Some(agent) = &self.upstream(leaf).settings.agent_header {
            trailers.remove(agent.name());
        }
    }

    fn hear_load(&self, fields: &mut HeaderMap, backend: &BackendState, watch: &Watch) {
        let (binary, text) = (take(fields, &BINARY), take(fields, &TEXT));
        let parsed = match (binary, text) {
            (Some(Ok(value)), _) => orca::parse_binary(value.as_bytes()),
            (None, Some(Ok(value))) => orca::parse(value.as_bytes()),
            (None, None) => return,
            (Some(Err(Twice)), _) | (None, Some(Err(Twice))) => Err(orca::OrcaError::Twice("the field")),
        };
        match parsed {
            Ok(report) => backend.report(&report, watch.now()),
            Err(error) => {
                tracing::debug!(backend = %backend.id(), %error, "malformed load report");
                Counters::count(&self.counters.load_reports_malformed);
            }
        }
    }
}

/// A field that may stand there once does so twice: which one is right?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Twice;

/// Takes all fields of this name out; `None`: there was none.
pub(crate) fn take(fields: &mut HeaderMap, name: &HeaderName) -> Option<Result<HeaderValue, Twice>> {
    let Entry::Occupied(found) = fields.entry(name) else { return None };
    let (_, mut values) = found.remove_entry_mult();
    let first = values.next()?;
    Some(if values.next().is_some() { Err(Twice) } else { Ok(first) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_taken_out_whether_it_is_there_once_or_twice() {
        let mut h = HeaderMap::new();
        assert_eq!(take(&mut h, &TEXT), None);
        h.insert(TEXT, HeaderValue::from_static("eps=1"));
        h.insert("other", HeaderValue::from_static("x"));
        assert_eq!(take(&mut h, &TEXT), Some(Ok(HeaderValue::from_static("eps=1"))));
        h.append(TEXT, HeaderValue::from_static("eps=1"));
        h.append(TEXT, HeaderValue::from_static("eps=1"));
        assert_eq!(take(&mut h, &TEXT), Some(Err(Twice)));
        assert_eq!(h.len(), 1);
    }
}
