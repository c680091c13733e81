//! A rate limit in a tower stack.
//!
//! [`RateLimitLayer`] wraps a service: each `call` asks the limiter, and a request over the limit ends with [`LimitError::Limited`] without
//! reaching the inner service. How a request is asked about is a closure of the caller's, as the layer knows no request type. Readiness is
//! the inner service's own. Clones share the limiter. For limits of this process: a shared one is awaited, which a closure cannot do.

use crate::rate_limit::{Decision, RateLimiter};
use lb_types::{Clock, Nanos};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Puts a limit before a service. `ask` is a `Fn(&RateLimiter, &Request, Nanos) -> Decision`, for example
/// `|limiter, request, now| limiter.check_key(request.user.as_bytes(), now)`.
#[derive(Debug)]
pub struct RateLimitLayer<C, F> {
    limiter: Arc<RateLimiter>,
    clock: Arc<C>,
    ask: F,
}

impl<C: Clock, F> RateLimitLayer<C, F> {
    /// A layer that asks `limiter` by `ask`.
    pub fn new(limiter: Arc<RateLimiter>, clock: Arc<C>, ask: F) -> Self {
        Self { limiter, clock, ask }
    }
}

impl<C, F: Clone> Clone for RateLimitLayer<C, F> {
    fn clone(&self) -> Self {
        Self { limiter: Arc::clone(&self.limiter), clock: Arc::clone(&self.clock), ask: self.ask.clone() }
    }
}

impl<S, C, F: Clone> Layer<S> for RateLimitLayer<C, F> {
    type Service = RateLimitService<S, C, F>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimitService { inner, limit: self.clone() }
    }
}

/// A service behind a limit.
#[derive(Debug)]
pub struct RateLimitService<S, C, F> {
    inner: S,
    limit: RateLimitLayer<C, F>,
}

impl<S: Clone, C, F: Clone> Clone for RateLimitService<S, C, F> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), limit: self.limit.clone() }
    }
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError<E> {
    /// The request is over the limit.
    #[error("{}", Decision::MESSAGE)]
    Limited(Decision),
    /// The inner service failed.
    #[error(transparent)]
    Inner(E),
}

impl<S, R, C, F> Service<R> for RateLimitService<S, C, F>
where
    S: Service<R>,
    C: Clock,
    F: Fn(&RateLimiter, &R, Nanos) -> Decision,
{
    type Response = S::Response;
    type Error = LimitError<S::Error>;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(LimitError::Inner)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let decision = (self.limit.ask)(&self.limit.limiter, &request, self.limit.clock.now());
        if decision.allowed {
            ResponseFuture::Admitted { inner: self.inner.call(request) }
        } else {
            ResponseFuture::Refused { decision }
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
        Refused { decision: Decision },
    }
}

impl<F, T, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, LimitError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Refused { decision } => Poll::Ready(Err(LimitError::Limited(*decision))),
            Projected::Admitted { inner } => inner.poll(cx).map_err(LimitError::Inner),
        }
    }
}
