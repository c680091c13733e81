//! A body that is encoded as it streams.
//!
//! Back-pressure stays: one frame of the inner body is asked for at a time, and only when the last one is encoded. A frame is encoded in pieces
//! of [`PIECE`]; after [`TURN`] bytes in a row the worker's other tasks have their turn. When the inner body has nothing more for now, what
//! was fed is flushed, so that a slow stream arrives as it is sent (each flush costs a few bytes and some of the ratio).
//!
//! Errors and trailers of the inner body pass. It ends when it ends, with its lease; what the encoder still holds then follows at once.

use super::encoder::Encoder;
use crate::body::BodyError;
use crate::error::ProxyError;
use crate::stats::Counters;
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

/// How much is encoded at once, and from what on that which came out is handed on, in bytes.
pub(crate) const PIECE: usize = 16 * 1024;

/// How much is encoded before others have their turn, in bytes: a millisecond or two.
const TURN: usize = 64 * 1024;

/// A body that gives frames.
pub(crate) trait Frames {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;
}

/// A body, and what encodes it.
pub(crate) struct Compressed<F> {
    inner: F,
    /// `None` after the end.
    encoder: Option<Encoder>,
    /// What is left of the inner body's last frame.
    rest: Bytes,
    /// Something was fed since the last flush.
    fed: bool,
    /// Bytes encoded since others had their turn.
    spent: usize,
    /// The inner body has ended.
    ended: bool,
    trailers: Option<HeaderMap>,
    counters: Arc<Counters>,
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl<F: Frames> Compressed<F> {
    pub(crate) fn new(inner: F, encoder: Encoder, counters: Arc<Counters>) -> Self {
        Self {
            inner,
            encoder: Some(encoder),
            rest: Bytes::new(),
            fed: false,
            spent: 0,
            ended: false,
            trailers: None,
            counters,
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.ended && self.encoder.is_none() && self.trailers.is_none()
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Polled {
        let polled = ready!(self.advance(cx));
        Poll::Ready(match polled {
            Ok(frame) => frame.map(Ok),
            Err(error) => {
                // Nothing comes after it.
                (self.ended, self.encoder, self.trailers) = (true, None, None);
                Some(Err(error))
            }
        })
    }

    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BodyError>> {
        while let Some(encoder) = &mut self.encoder {
            if !self.rest.is_empty() {
                if self.spent >= TURN {
                    self.spent = 0;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let piece = self.rest.split_to(self.rest.len().min(PIECE));
                encoder.feed(&piece).map_err(|e| broken(&e))?;
                self.counters.compression_bytes_in.fetch_add(piece.len() as u64, Relaxed);
                (self.fed, self.spent) = (true, self.spent + piece.len());
                if encoder.out().len() >= PIECE {
                    return Poll::Ready(Ok(self.take()));
                }
                continue;
            }
            match self.inner.poll(cx) {
                Poll::Ready(Some(frame)) => match frame?.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => {
                        (self.trailers, self.ended) = (frame.into_trailers().ok(), true);
                        return self.finish();
                    }
                },
                Poll::Ready(None) => {
                    self.ended = true;
                    return self.finish();
                }
                Poll::Pending => {
                    self.spent = 0;
                    if std::mem::take(&mut self.fed) {
                        encoder.flush().map_err(|e| broken(&e))?;
                    }
                    return match self.take() {
                        Some(frame) => Poll::Ready(Ok(Some(frame))),
                        None => Poll::Pending,
                    };
                }
            }
        }
        Poll::Ready(Ok(self.trailers.take().map(Frame::trailers)))
    }

    /// What has come out.
    fn take(&mut self) -> Option<Frame<Bytes>> {
        let out = std::mem::take(self.encoder.as_mut()?.out());
        self.count(out)
    }

    fn finish(&mut self) -> Poll<Result<Option<Frame<Bytes>>, BodyError>> {
        let encoder = self.encoder.take().expect("it is there until the end, which comes once");
        let last = encoder.finish().map_err(|e| broken(&e))?;
        let last = self.count(last);
        Poll::Ready(Ok(last.or_else(|| self.trailers.take().map(Frame::trailers))))
    }

    fn count(&self, out: Vec<u8>) -> Option<Frame<Bytes>> {
        if out.is_empty() {
            return None;
        }
        self.counters.compression_bytes_out.fetch_add(out.len() as u64, Relaxed);
        Some(Frame::data(out.into()))
    }
}

/// Writing to memory does not fail: what an encoder can object to is a body that is not as long as its head says.
fn broken(error: &io::Error) -> BodyError {
    tracing::debug!(%error, "a response could not be compressed");
    BodyError(ProxyError::BadResponse)
}

#[cfg(test)]
mod tests {
    use super::super::Coding;
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::io::Read;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::{Wake, Waker};

    /// What an inner body does, one after the other; then it ends.
    enum Does {
        Gives(Bytes),
        Waits,
        Breaks,
        Trails(HeaderMap),
    }

    struct Script(VecDeque<Does>);

    impl Frames for Script {
        fn poll(&mut self, _: &mut Context<'_>) -> Polled {
            match self.0.pop_front() {
                None => Poll::Ready(None),
                Some(Does::Gives(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Does::Trails(map)) => Poll::Ready(Some(Ok(Frame::trailers(map)))),
                Some(Does::Breaks) => Poll::Ready(Some(Err(BodyError(ProxyError::Reset)))),
                Some(Does::Waits) => Poll::Pending,
            }
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);
    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn body(coding: Coding, size: Option<u64>, script: impl IntoIterator<Item = Does>) -> Compressed<Script> {
        let script = Script(script.into_iter().collect());
        Compressed::new(script, Encoder::new(coding, size).unwrap(), Arc::default())
    }

    fn poll(body: &mut Compressed<Script>) -> Polled {
        body.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// All that comes, over however many polls.
    fn all(body: &mut Compressed<Script>) -> Vec<u8> {
        let mut out = vec![];
        loop {
            match poll(body) {
                Poll::Ready(Some(frame)) => out.extend(frame.unwrap().into_data().unwrap()),
                Poll::Ready(None) => return out,
                Poll::Pending => {}
            }
        }
    }

    fn decode(coding: Coding, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap(),
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out).unwrap(),
            Coding::Zstd => {
                zstd::stream::read::Decoder::new(&mut bytes).unwrap().read_to_end(&mut out).unwrap()
            }
        };
        out
    }

    /// What can be read of an encoding that has not ended.
    fn decode_begun(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        // It ends with an error: there is no end.
        let _ = match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
            Coding::Zstd => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out),
        };
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn what_is_decoded_is_what_was_encoded(
            parts in proptest::collection::vec((0usize..40_000, any::<bool>(), any::<u64>(), 1u8..=255), 0..8),
            which in 0usize..3, known in any::<bool>(),
        ) {
            let coding = Coding::ALL[which];
            let (mut whole, mut script) = (vec![], vec![]);
            for (n, waits, seed, spread) in parts {
                let mut random = fastrand::Rng::with_seed(seed);
                let data: Vec<u8> = (0..n).map(|_| random.u8(..spread)).collect();
                whole.extend_from_slice(&data);
                script.push(Does::Gives(data.into()));
                script.extend(waits.then_some(Does::Waits));
            }
            let size = known.then_some(whole.len() as u64);
            let mut body = body(coding, size, script);
            let encoded = all(&mut body);
            prop_assert!(body.is_end_stream());
            prop_assert_eq!(body.counters.compression_bytes_in.load(Relaxed), whole.len() as u64);
            prop_assert_eq!(body.counters.compression_bytes_out.load(Relaxed), encoded.len() as u64);
            prop_assert!(decode(coding, &encoded) == whole);
        }
    }

    #[test]
    fn a_stream_that_pauses_is_flushed() {
        for coding in Coding::ALL {
            let gives = |text: &'static str| Does::Gives(text.into());
            let mut body =
                body(coding, None, [gives("first"), Does::Waits, Does::Waits, gives("second"), Does::Waits]);
            let mut out = vec![];
            for expected in ["first", "firstsecond"] {
                let Poll::Ready(Some(Ok(frame))) = poll(&mut body) else {
                    panic!("{coding:?} holds {expected} back")
                };
                out.extend(frame.into_data().unwrap());
                assert_eq!(decode_begun(coding, &out), expected.as_bytes(), "{coding:?}");
                if expected == "first" {
                    assert!(poll(&mut body).is_pending(), "nothing is flushed twice");
                }
            }
            out.extend(all(&mut body));
            assert_eq!(decode(coding, &out), b"firstsecond");
        }
    }

    #[test]
    fn trailers_pass_and_are_the_end() {
        let trailers: HeaderMap = [(http::header::ETAG, "\"x\"".parse().unwrap())].into_iter().collect();
        for coding in Coding::ALL {
            let mut body = body(coding, None, [Does::Gives("text".into()), Does::Trails(trailers.clone())]);
            let Poll::Ready(Some(Ok(frame))) = poll(&mut body) else { panic!("{coding:?}") };
            assert_eq!(decode(coding, &frame.into_data().unwrap()), b"text");
            assert!(!body.is_end_stream());
            let Poll::Ready(Some(Ok(frame))) = poll(&mut body) else { panic!("{coding:?}") };
            assert_eq!(frame.into_trailers().unwrap(), trailers);
            assert!(body.is_end_stream() && matches!(poll(&mut body), Poll::Ready(None)));
        }
    }

    #[test]
    fn what_breaks_off_does_not_look_whole() {
        for coding in Coding::ALL {
            let mut body =
                body(coding, None, [Does::Gives("text".into()), Does::Breaks, Does::Gives("no".into())]);
            let Poll::Ready(Some(Err(error))) = poll(&mut body) else { panic!("{coding:?}") };
            assert_eq!(error, BodyError(ProxyError::Reset));
            assert!(body.is_end_stream() && matches!(poll(&mut body), Poll::Ready(None)));
        }
    }

    #[test]
    fn a_large_frame_lets_others_have_their_turn() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        // All the same: next to nothing comes out, so that nothing else interrupts.
        let mut body = body(Coding::Gzip, None, [Does::Gives(vec![b'a'; 5 * TURN].into())]);
        let mut pending = 0;
        while body.poll(&mut Context::from_waker(&waker)).is_pending() {
            pending += 1;
            assert_eq!(woken.0.load(SeqCst), pending, "whoever waits is woken");
        }
        assert_eq!(pending, 4);
    }
}
