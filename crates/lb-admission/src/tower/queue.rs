//! The queue in a tower stack: at most so many calls at once, the others wait in line.
//!
//! [`QueueLayer`] wraps a service. A call takes a **place**; when all are taken it waits for one in the [`Queue`], by the priority that a
//! closure finds in the request. Clones of a layer and of its services share places and queue.
//!
//! The place is held until the [`Placed`] response is dropped, not until it is there: a response whose body still streams keeps its
//! backend busy. (tower's `ConcurrencyLimit` gives its permit back with the response's head.) Keep the [`Place`] with the body
//! ([`Placed::into_parts`]) and drop it at its end; who has no such body calls [`Placed::into_inner`].
//!
//! The service is always ready, as waiting is done in the call: before it, a caller would be asked to wait without a priority. So it
//! clones the inner service for each call and waits for that clone's readiness once the place is there. One box for each call.

use crate::priority::Priority;
use crate::queue::{Queue, QueueSettings, Refused};
use lb_types::{Clock, SettingsError};
use std::fmt;
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// How many calls there may be at once, and who waits for one to end.
struct Places {
    queue: Queue,
    free: AtomicUsize,
}

impl Places {
    fn try_take(self: &Arc<Self>) -> Option<Place> {
        let take = |free: usize| free.checked_sub(1);
        self.free.try_update(Ordering::SeqCst, Ordering::SeqCst, take).ok()?;
        Some(Place(Arc::clone(self)))
    }

    async fn take(self: &Arc<Self>, priority: Priority) -> Result<Place, Refused> {
        if !self.queue.is_waiting()
            && let Some(place) = self.try_take()
        {
            return Ok(place);
        }
        let mut ticket = self.queue.join(priority, None)?;
        loop {
            ticket.turn().await?;
            if let Some(place) = self.try_take() {
                ticket.served();
                return Ok(place);
            }
            ticket.none_free(); // all places are alike
        }
    }
}

/// The right to one call at a time; dropped, it goes to whoever waits first.
pub struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, Ordering::SeqCst);
        self.0.queue.freed();
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

/// A response that holds its place until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, its place is another one's"]
pub struct Placed<T> {
    response: T,
    place: Place,
}

impl<T> Placed<T> {
    /// The response, and the place to be dropped when it is over.
    pub fn into_parts(self) -> (T, Place) {
        (self.response, self.place)
    }

    /// The response alone: for the backend it is over.
    pub fn into_inner(self) -> T {
        self.response
    }
}

impl<T> Deref for Placed<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.response
    }
}

impl<T> DerefMut for Placed<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.response
    }
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError<E> {
    /// The queue refused it; the inner service was not called.
    #[error(transparent)]
    Refused(Refused),
    /// The inner service's own.
    #[error("{0}")]
    Inner(#[source] E),
}

/// Puts a queue before a service. See the module's documentation.
#[derive(Clone)]
pub struct QueueLayer<P> {
    places: Arc<Places>,
    priority: P,
}

impl<P> QueueLayer<P> {
    /// At most `limit` calls at once; `priority` says how urgent a request is.
    ///
    /// # Errors
    /// The settings are out of bounds, or `limit` is 0.
    pub fn new(
        limit: usize,
        settings: QueueSettings,
        clock: Arc<dyn Clock>,
        priority: P,
    ) -> Result<Self, SettingsError> {
        if limit == 0 {
            return Err(SettingsError::new("limit", limit, "must be 1 or more"));
        }
        let queue = Queue::new(settings, clock)?;
        Ok(Self { places: Arc::new(Places { queue, free: AtomicUsize::new(limit) }), priority })
    }

    /// The queue, for its statistics.
    pub fn queue(&self) -> &Queue {
        &self.places.queue
    }
}

impl<S, P: Clone> Layer<S> for QueueLayer<P> {
    type Service = QueueService<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        QueueService { inner, layer: self.clone() }
    }
}

impl<P> fmt::Debug for QueueLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.places.free.load(Ordering::Relaxed);
        f.debug_struct("QueueLayer").field("queue", self.queue()).field("free", &free).finish()
    }
}

/// A service behind a queue.
#[derive(Clone, Debug)]
pub struct QueueService<S, P> {
    inner: S,
    layer: QueueLayer<P>,
}

impl<S, P> QueueService<S, P> {
    /// The queue, for its statistics.
    pub fn queue(&self) -> &Queue {
        self.layer.queue()
    }
}

impl<S, R, P> Service<R> for QueueService<S, P>
where
    S: Service<R> + Clone + Send + 'static,
    S::Future: Send,
    R: Send + 'static,
    P: Fn(&R) -> Priority,
{
    type Response = Placed<S::Response>;
    type Error = QueueError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let priority = (self.layer.priority)(&request);
        let (mut inner, places) = (self.inner.clone(), Arc::clone(&self.layer.places));
        Box::pin(async move {
            let place = places.take(priority).await.map_err(QueueError::Refused)?;
            poll_fn(|cx| inner.poll_ready(cx)).await.map_err(QueueError::Inner)?;
            let response = inner.call(request).await.map_err(QueueError::Inner)?;
            Ok(Placed { response, place })
        })
    }
}
