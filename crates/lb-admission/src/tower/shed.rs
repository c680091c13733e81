//! Shedding in a tower stack.
//!
//! [`ShedLayer`] wraps a service: each `call` asks the shedder, with the priority that a closure reads off the request. A
//! refused call ends with [`ShedError::Shed`] and never reaches the inner service. Readiness is the inner service's own: one
//! that reported "not ready" would let callers queue up where they are to be turned away.

use crate::priority::Priority;
use crate::shed::{Shed, Shedder};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShedError<E> {
    /// The request was shed.
    #[error(transparent)]
    Shed(#[from] Shed),
    /// The inner service's own error.
    #[error("{0}")]
    Inner(E),
}

/// Puts a shedder before a service. See the module's documentation.
#[derive(Clone, Debug)]
pub struct ShedLayer<P> {
    shedder: Arc<Shedder>,
    priority: P,
}

impl<P> ShedLayer<P> {
    /// With a function from `&Request` to its [`Priority`].
    pub fn new(shedder: Arc<Shedder>, priority: P) -> Self {
        Self { shedder, priority }
    }
}

impl<S, P: Clone> Layer<S> for ShedLayer<P> {
    type Service = ShedService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        ShedService { inner, guard: self.clone() }
    }
}

/// A service behind a shedder.
#[derive(Clone, Debug)]
pub struct ShedService<S, P> {
    inner: S,
    guard: ShedLayer<P>,
}

impl<S, R, P> Service<R> for ShedService<S, P>
where
    S: Service<R>,
    P: Fn(&R) -> Priority,
{
    type Response = S::Response;
    type Error = ShedError<S::Error>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(ShedError::Inner)
    }

    fn call(&mut self, request: R) -> Self::Future {
        match self.guard.shedder.admit((self.guard.priority)(&request)) {
            Ok(()) => ResponseFuture::Admitted { inner: self.inner.call(request) },
            Err(shed) => ResponseFuture::Refused { shed },
        }
    }
}

pin_project! {
    /// The response to come.
    #[project = Projected]
    #[derive(Debug)]
    #[allow(missing_docs)] // its fields are nobody's business, but an enum has no private ones
    #[non_exhaustive]
    pub enum ResponseFuture<F> {
        #[non_exhaustive]
        Admitted { #[pin] inner: F },
        #[non_exhaustive]
        Refused { shed: Shed },
    }
}

impl<F, T, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, ShedError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Refused { shed } => Poll::Ready(Err(ShedError::Shed(*shed))),
            Projected::Admitted { inner } => inner.poll(cx).map_err(ShedError::Inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shed::{Readings, Reason, ShedSettings};
    use lb_types::Nanos;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tower::{ServiceExt, service_fn};

    #[tokio::test]
    async fn a_shed_request_does_not_reach_the_service() {
        let shedder = Arc::new(Shedder::new(ShedSettings::new()).unwrap());
        let reached = AtomicUsize::new(0);
        let inner = service_fn(|ok: bool| {
            reached.fetch_add(1, Ordering::SeqCst);
            async move { if ok { Ok("fine") } else { Err("broken") } }
        });
        let priority = |ok: &bool| if *ok { Priority::LOW } else { Priority::HIGH };
        let service = ShedLayer::new(Arc::clone(&shedder), priority).layer(inner);
        assert_eq!(service.clone().oneshot(true).await, Ok("fine"));
        shedder.observe(Nanos::ZERO, &Readings { cpu: Some(99.0), ..Readings::default() });
        let shed = service.clone().oneshot(true).await.unwrap_err();
        assert!(matches!(shed, ShedError::Shed(Shed { reason: Reason::Cpu })));
        assert_eq!(shed.to_string(), "shed: cpu is above its threshold");
        assert_eq!(reached.load(Ordering::SeqCst), 1);
        assert_eq!(service.oneshot(false).await, Err(ShedError::Inner("broken")), "the high one came in");
    }
}
