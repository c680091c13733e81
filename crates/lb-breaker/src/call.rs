//! Guard a future: ask the breaker, run it, tell the breaker.
//!
//! A plain future that needs no runtime. Dropped before its end (a time-out, a client that left, a panic) it is a
//! cancellation: it counts nothing and gives a probe's permit back. A time-out that shall count as a failure belongs
//! inside the operation.

use crate::breaker::Breaker;
use crate::permit::Verdict;
use crate::state::Open;
use lb_types::Clock;

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The breaker refused: the operation was not begun.
    #[error(transparent)]
    Open(Open),
    /// The operation was run, and this is its error.
    #[error("{0}")]
    Inner(#[source] E),
}

/// Which results speak against the other side. Every `Fn(&Result<T, E>) -> Verdict` does.
pub trait Classify<T, E> {
    /// What `result` says.
    fn classify(&self, result: &Result<T, E>) -> Verdict;
}

impl<T, E, F: Fn(&Result<T, E>) -> Verdict> Classify<T, E> for F {
    fn classify(&self, result: &Result<T, E>) -> Verdict {
        self(result)
    }
}

/// `Ok` is a success, `Err` a failure.
#[derive(Clone, Copy, Debug, Default)]
pub struct ErrorsFail;

impl<T, E> Classify<T, E> for ErrorsFail {
    fn classify(&self, result: &Result<T, E>) -> Verdict {
        if result.is_ok() { Verdict::Success } else { Verdict::Failure }
    }
}

/// Runs `operation` if `breaker` admits it; every `Err` counts as a failure.
///
/// # Errors
/// The refusal, or the operation's own error.
///
/// ```
/// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
/// # fn block_on<F: Future>(f: F) -> F::Output {
/// #     let mut f = pin!(f);
/// #     loop { if let Poll::Ready(x) = f.as_mut().poll(&mut Context::from_waker(Waker::noop())) { return x } }
/// # }
/// use lb_breaker::{Breaker, BreakerSettings, CallError, call};
/// use lb_types::ManualClock;
///
/// let breaker = Breaker::new(BreakerSettings::new().failure_threshold(1))?;
/// let clock = ManualClock::default();
/// block_on(async {
///     let result: Result<(), _> = call(&breaker, &clock, async || Err("no route to host")).await;
///     assert_eq!(result, Err(CallError::Inner("no route to host")));
///     let result: Result<(), CallError<&str>> = call(&breaker, &clock, async || Ok(())).await;
///     assert!(matches!(result, Err(CallError::Open(_))), "the second was not begun");
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn call<T, E, F>(
    breaker: &Breaker,
    clock: &impl Clock,
    operation: impl FnOnce() -> F,
) -> Result<T, CallError<E>>
where
    F: Future<Output = Result<T, E>>,
{
    call_classified(breaker, clock, operation, ErrorsFail).await
}

/// As [`call()`], with another idea of what a failure is.
///
/// # Errors
/// The refusal, or the operation's own error, whatever it is classified as.
pub async fn call_classified<T, E, F>(
    breaker: &Breaker,
    clock: &impl Clock,
    operation: impl FnOnce() -> F,
    classify: impl Classify<T, E>,
) -> Result<T, CallError<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let began = clock.now();
    let permit = breaker.try_acquire(began).map_err(CallError::Open)?;
    let result = operation().await;
    let now = clock.now();
    permit.settle(classify.classify(&result), now, now - began);
    result.map_err(CallError::Inner)
}
