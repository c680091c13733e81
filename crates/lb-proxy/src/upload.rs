//! The client's body on its way to a backend, and what is kept of it to be sent again.
//!
//! An [`Upload`] streams: the first try is not held up. While the request may have to be sent again it also records, up to a
//! bound; beyond that the record is dropped at once and the request has had its only try. The engine drops the upload with the
//! request's end or with the connection; then its source (the client's body and the record) goes home to the [`Progress`] that all
//! tries share, and the next try's upload takes it from there: first the record again, then what the client has yet to send.

use crate::rate::{MinRate, Pace};
use crate::record::Record;
use crate::timer::{Phase, Watch};
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What goes to a backend: most requests have no body.
pub(crate) enum ReqBody<B> {
    Empty,
    /// Boxed, because the request is moved a dozen times on its way.
    Stream(Box<Upload<B>>),
}

/// The body of one try.
pub(crate) struct Upload<B> {
    /// There until it is dropped.
    source: Option<Source<B>>,
    progress: Arc<Progress<B>>,
}

/// Where a body comes from: the record of what was sent before, then the client.
struct Source<B> {
    body: B,
    /// The client has sent all of it.
    ended: bool,
    record: Record,
    trailers: Option<Box<HeaderMap>>,
    /// The trailers are yet to be sent again.
    trailers_due: bool,
    limits: Limits,
    /// Bytes that the client may still send.
    left: u64,
    pace: Pace,
}

/// The deadlines and limits while a body is on its way.
pub(crate) struct Limits {
    pub(crate) watch: Arc<Watch>,
    /// For the client, to send more.
    pub(crate) body_timeout: Duration,
    /// The most bytes of it.
    pub(crate) max: u64,
    /// How slow it may be.
    pub(crate) rate: Option<MinRate>,
    /// For the backend, from the last byte to its response.
    pub(crate) first_byte_timeout: Duration,
}

/// What the tries of a request and its body tell one another.
pub(crate) struct Progress<B> {
    /// All of it was handed to the connection.
    pub(crate) done: AtomicBool,
    /// The client broke it off.
    pub(crate) failed: AtomicBool,
    /// It is longer than it may be: nothing more of it is handed on.
    too_large: AtomicBool,
    /// The client waits for a 100 before it sends it, and the backend has said nothing yet.
    held: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// All that was taken from the client is recorded.
    keeps: AtomicBool,
    /// Between two tries.
    home: Mutex<Option<Source<B>>>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is replaced whole.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B> Progress<B> {
    /// Holds the body back until [`release`](Self::release): the client expects a 100.
    pub(crate) fn hold(&self) {
        self.held.store(true, Relaxed);
    }

    /// Lets the body flow.
    pub(crate) fn release(&self) {
        self.held.store(false, Relaxed);
        let waker = lock(&self.waker).take();
        if let Some(w) = waker {
            w.wake();
        }
    }

    /// Is it held back?
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Relaxed)
    }

    fn poll_held(&self, cx: &Context<'_>) -> bool {
        if !self.is_held() {
            return false;
        }
        *lock(&self.waker) = Some(cx.waker().clone());
        // Released while the waker was put in place?
        self.is_held()
    }

    /// Is it longer than it may be? Then it does not go on, and whoever waits for its end must give up.
    #[inline]
    pub(crate) fn is_too_large(&self) -> bool {
        self.too_large.load(Relaxed)
    }

    /// Could it be sent again from its start?
    pub(crate) fn keeps(&self) -> bool {
        self.keeps.load(Relaxed)
    }

    /// There will be no further try: nothing more is recorded, and what was is dropped.
    pub(crate) fn settle(&self) {
        if self.keeps() {
            self.keeps.store(false, Relaxed);
            let record = lock(&self.home).take();
            drop(record);
        }
    }

    /// Is no try under way that has the body?
    pub(crate) fn is_home(&self) -> bool {
        lock(&self.home).is_some()
    }
}

impl<B: Body> Progress<B> {
    /// A body's first upload. `record_max`: how many bytes are kept of it to be sent again.
    pub(crate) fn start(body: B, record_max: usize, limits: Limits) -> (ReqBody<B>, Arc<Self>) {
        // What is known to be too long need not be recorded up to there.
        let keeps = record_max > 0 && body.size_hint().lower() <= record_max as u64;
        let progress = Arc::new(Self {
            done: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            too_large: AtomicBool::new(false),
            held: AtomicBool::new(false),
            waker: Mutex::new(None),
            keeps: AtomicBool::new(keeps),
            home: Mutex::new(None),
        });
        let record = Record::new(record_max);
        let source = Source {
            body,
            ended: false,
            record,
            trailers: None,
            trailers_due: false,
            left: limits.max,
            limits,
            pace: Pace::default(),
        };
        (progress.upload(source), progress)
    }

    /// The upload of the next try, from the start; `None`: that cannot be had any more.
    pub(crate) fn again(self: &Arc<Self>) -> Option<ReqBody<B>> {
        let mut source = lock(&self.home).take().filter(|_| self.keeps())?;
        source.record.rewind();
        source.pace.pause();
        source.trailers_due = source.trailers.is_some();
        self.done.store(false, Relaxed);
        Some(self.upload(source))
    }

    fn upload(self: &Arc<Self>, source: Source<B>) -> ReqBody<B> {
        ReqBody::Stream(Box::new(Upload { source: Some(source), progress: self.clone() }))
    }
}

impl<B> Drop for Upload<B> {
    fn drop(&mut self) {
        if self.progress.keeps() {
            *lock(&self.progress.home) = self.source.take();
        }
    }
}

impl<B: Body + Unpin> Source<B> {
    fn is_at_end(&self) -> bool {
        (self.ended || self.body.is_end_stream()) && !self.record.has_more() && !self.trailers_due
    }

    /// What was sent before, again.
    fn replayed(&mut self) -> Option<Frame<Bytes>> {
        if let Some(data) = self.record.next() {
            return Some(Frame::data(data));
        }
        if std::mem::take(&mut self.trailers_due) {
            return self.trailers.as_deref().cloned().map(Frame::trailers);
        }
        None
    }

    /// Records what comes from the client, as long as that is of use.
    fn keep(&mut self, frame: &Frame<Bytes>, progress: &Progress<B>) {
        if progress.keeps() {
            if let Some(data) = frame.data_ref() {
                progress.keeps.store(self.record.put(data), Relaxed);
            }
            self.trailers = frame.trailers_ref().cloned().map(Box::new);
        } else {
            self.record.clear();
        }
    }

    /// The client is waited for: for as long as it may be silent, and as its rate allows.
    fn wait(&mut self) {
        let l = &self.limits;
        if l.watch.phase() == Phase::ClientBody {
            return;
        }
        let now = l.watch.now();
        let Some(rate) = l.rate else { return l.watch.arm(Phase::ClientBody, now, l.body_timeout) };
        let left = (self.pace.wait(rate, now) - now).as_duration();
        l.watch.arm(Phase::ClientBody, now, l.body_timeout.min(left));
        if left.is_zero() {
            // Not with the next tick: the next byte may come before, and the next.
            l.watch.expire();
        }
    }

    fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        progress: &Progress<B>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let l = &self.limits;
        match polled {
            Poll::Pending => {
                self.wait();
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                let now = l.watch.now();
                l.watch.arm(Phase::FirstByte, now, l.first_byte_timeout);
                let length = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                self.pace.moved(length, now);
                let Some(left) = self.left.checked_sub(length) else {
                    // No error: the backend must not take what it has for the whole. Whoever polls the exchange looks at this.
                    progress.too_large.store(true, Relaxed);
                    return Poll::Pending;
                };
                self.left = left;
                // Of a `Bytes`, which a connection's body has, this copies nothing.
                let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                self.keep(&frame, progress);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(e))) => {
                progress.failed.store(true, Relaxed);
                Poll::Ready(Some(Err(e)))
            }
            Poll::Ready(None) => {
                l.watch.arm(Phase::FirstByte, l.watch.now(), l.first_byte_timeout);
                self.ended = true;
                Poll::Ready(None)
            }
        }
    }
}

impl<B: Body + Unpin> Body for ReqBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Self::Stream(upload) = self.get_mut() else { return Poll::Ready(None) };
        let Upload { source: Some(source), progress } = &mut **upload else { return Poll::Ready(None) };
        if progress.is_too_large() || progress.poll_held(cx) {
            return Poll::Pending;
        }
        let polled = match source.replayed() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if source.ended => Poll::Ready(None),
            None => source.poll_client(cx, progress),
        };
        if matches!(polled, Poll::Ready(Some(Ok(_)) | None)) && source.is_at_end() {
            progress.done.store(true, Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Stream(u) => u.source.as_ref().is_none_or(Source::is_at_end),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let Self::Stream(u) = self else { return SizeHint::with_exact(0) };
        let Some(source) = &u.source else { return SizeHint::with_exact(0) };
        let (client, again) = (source.body.size_hint(), source.record.left() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(client.lower() + again);
        if let Some(upper) = client.upper() {
            hint.set_upper(upper + again);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::{Timer, WatchGuard};
    use lb_types::ManualClock;
    use std::collections::VecDeque;
    use std::convert::Infallible;

    /// A client's frames; `None`: not yet.
    struct Script(VecDeque<Option<Frame<Bytes>>>);

    impl Body for Script {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.pop_front() {
                Some(None) => Poll::Pending,
                Some(frame) => Poll::Ready(frame.map(Ok)),
                None => Poll::Ready(None),
            }
        }
    }

    fn start(
        frames: impl IntoIterator<Item = Option<Frame<Bytes>>>,
        max: usize,
    ) -> (ReqBody<Script>, Arc<Progress<Script>>, WatchGuard) {
        let guard = Timer::new(Arc::new(ManualClock::default())).watch(false);
        let second = Duration::from_secs(1);
        let limits = Limits {
            watch: guard.0.clone(),
            body_timeout: second,
            max: 9,
            rate: None,
            first_byte_timeout: second,
        };
        let (body, progress) = Progress::start(Script(frames.into_iter().collect()), max, limits);
        (body, progress, guard)
    }

    fn data(text: &'static str) -> Option<Frame<Bytes>> {
        Some(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    /// What comes until the end (`$`) or until nothing does.
    fn take(body: &mut ReqBody<Script>) -> String {
        let mut taken = String::new();
        loop {
            match Pin::new(&mut *body).poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending => return taken,
                Poll::Ready(None) => return taken + "$",
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => taken.push_str(std::str::from_utf8(&data).unwrap()),
                    Err(frame) => taken.push_str(&format!("{:?}", frame.into_trailers().unwrap())),
                },
            }
        }
    }

    #[tokio::test]
    async fn a_second_try_sends_the_record_and_goes_on_with_the_client() {
        let trailers = HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("x"))]);
        let frames = [data("ab"), data("c"), None, data("d"), Some(Frame::trailers(trailers.clone()))];
        let (mut first, progress, guard) = start(frames, 4);
        assert_eq!(take(&mut first), "abc");
        assert_eq!(guard.0.phase(), Phase::ClientBody);
        assert!(!progress.is_home());
        drop(first);
        assert!(progress.is_home() && progress.keeps());
        let mut second = progress.again().unwrap();
        assert_eq!(second.size_hint().lower(), 3);
        assert_eq!(take(&mut second), format!("abcd{trailers:?}$"));
        assert!(progress.done.load(Relaxed) && second.is_end_stream());
        drop(second);
        let mut third = progress.again().unwrap();
        assert!(!progress.done.load(Relaxed) && !third.is_end_stream());
        assert_eq!(take(&mut third), format!("abcd{trailers:?}$"));
    }

    #[tokio::test]
    async fn beyond_the_bound_there_is_one_try() {
        let (mut first, progress, _guard) = start([data("ab"), data("cd"), data("e")], 4);
        assert_eq!(take(&mut first), "abcde$");
        let ReqBody::Stream(upload) = &first else { panic!() };
        assert_eq!(upload.source.as_ref().unwrap().record.left(), 0);
        drop(first);
        assert!(!progress.keeps() && !progress.is_home() && progress.again().is_none());
    }

    #[tokio::test]
    async fn once_settled_nothing_is_kept() {
        let (mut first, progress, _guard) = start([data("ab"), None, data("c")], 9);
        assert_eq!(take(&mut first), "ab");
        progress.settle();
        assert_eq!(take(&mut first), "c$");
        drop(first);
        assert!(progress.again().is_none());
        let (first, progress, _guard) = start([data("ab")], 9);
        drop(first);
        progress.settle();
        assert!(!progress.is_home());
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_stops() {
        let (mut body, progress, _guard) = start([data("12345"), data("6789"), data("x"), data("y")], 0);
        assert_eq!(take(&mut body), "123456789");
        assert!(progress.is_too_large() && !progress.done.load(Relaxed) && !body.is_end_stream());
    }

    #[tokio::test]
    async fn a_body_that_is_held_goes_on_when_it_is_released() {
        let (mut body, progress, _guard) = start([data("ab")], 9);
        progress.hold();
        assert_eq!(take(&mut body), "");
        progress.release();
        assert_eq!(take(&mut body), "ab$");
    }
}
