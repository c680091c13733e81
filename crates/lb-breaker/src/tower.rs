//! The breaker in a tower stack (feature `tower`).
//!
//! [`BreakerLayer`] wraps a service: each `call` asks the breaker, and the response (or error) is classified when it comes.
//! A refused call ends with [`CallError::Open`] without reaching the inner service. Readiness is the inner service's own: a
//! breaker that reported "not ready" would let callers queue up before it, where it means to turn them away.
//!
//! Clones share the breaker. What the response's body does later is not seen.

use crate::breaker::Breaker;
use crate::call::{CallError, Classify, ErrorsFail};
use crate::permit::OwnedPermit;
use crate::state::Open;
use lb_types::{Clock, Nanos};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

/// Puts a breaker before a service. See the module's documentation.
#[derive(Debug)]
pub struct BreakerLayer<C, K = ErrorsFail> {
    breaker: Arc<Breaker>,
    clock: Arc<C>,
    classifier: K,
}

impl<C: Clock> BreakerLayer<C> {
    /// With every `Err` a failure.
    pub fn new(breaker: Arc<Breaker>, clock: Arc<C>) -> Self {
        Self { breaker, clock, classifier: ErrorsFail }
    }

    /// With another idea of what a failure is, for example by the response's status.
    pub fn classifier<K>(self, classifier: K) -> BreakerLayer<C, K> {
        BreakerLayer { breaker: self.breaker, clock: self.clock, classifier }
    }
}

impl<C, K: Clone> Clone for BreakerLayer<C, K> {
    fn clone(&self) -> Self {
        Self {
            breaker: Arc::clone(&self.breaker),
            clock: Arc::clone(&self.clock),
            classifier: self.classifier.clone(),
        }
    }
}

impl<S, C, K: Clone> Layer<S> for BreakerLayer<C, K> {
    type Service = BreakerService<S, C, K>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService { inner, guard: self.clone() }
    }
}

/// A service behind a breaker.
#[derive(Debug)]
pub struct BreakerService<S, C, K = ErrorsFail> {
    inner: S,
    guard: BreakerLayer<C, K>,
}

impl<S, C, K> BreakerService<S, C, K> {
    /// The breaker, for its state and its forces.
    pub fn breaker(&self) -> &Arc<Breaker> {
        &self.guard.breaker
    }
}

impl<S: Clone, C, K: Clone> Clone for BreakerService<S, C, K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), guard: self.guard.clone() }
    }
}

impl<S, R, C, K> Service<R> for BreakerService<S, C, K>
where
    S: Service<R>,
    C: Clock,
    K: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = CallError<S::Error>;
    type Future = ResponseFuture<S::Future, C, K>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(CallError::Inner)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let began = self.guard.clock.now();
        match self.guard.breaker.try_acquire_owned(began) {
            Ok(permit) => ResponseFuture::Admitted {
                inner: self.inner.call(request),
                permit: Some(permit),
                clock: Arc::clone(&self.guard.clock),
                classifier: self.guard.classifier.clone(),
                began,
            },
            Err(open) => ResponseFuture::Refused { open },
        }
    }
}

pin_project! {
    /// The response to come. Dropped before, it is a cancellation.
    #[project = Projected]
    #[derive(Debug)]
    #[allow(missing_docs)] // its fields are nobody's business, but an enum has no private ones
    #[non_exhaustive]
    pub enum ResponseFuture<F, C, K> {
        #[non_exhaustive]
        Admitted { #[pin] inner: F, permit: Option<OwnedPermit>, clock: Arc<C>, classifier: K, began: Nanos },
        #[non_exhaustive]
        Refused { open: Open },
    }
}

impl<F, T, E, C, K> Future for ResponseFuture<F, C, K>
where
    F: Future<Output = Result<T, E>>,
    C: Clock,
    K: Classify<T, E>,
{
    type Output = Result<T, CallError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Refused { open } => Poll::Ready(Err(CallError::Open(*open))),
            Projected::Admitted { inner, permit, clock, classifier, began } => {
                let result = ready!(inner.poll(cx));
                if let Some(permit) = permit.take() {
                    let now = clock.now();
                    permit.settle(classifier.classify(&result), now, now - *began);
                }
                Poll::Ready(result.map_err(CallError::Inner))
            }
        }
    }
}
