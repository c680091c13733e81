//! One client connection: asleep while nothing comes, awake with hyper's parser while requests do.
//!
//! The loop around the parser keeps the client's deadlines and the shutdown; see [`awake`](super::awake) for who sleeps.

use super::awake::Awake;
use super::socket::{ClientSocket, Timeouts};
use crate::proxy::{Client, Proxy};
use crate::rate::MinRate;
use crate::settings::ListenerSettings;
use crate::socket::Socket;
use crate::stats::Counters;
use crate::timer::{Phase, Watch};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

/// hyper's own default: asking for it would make it allocate.
const HEADERS_DEFAULT: usize = 100;

/// How long a client that was answered amid its body may go on sending what nobody reads.
const LINGER: Duration = Duration::from_secs(2);

/// What all connections of a worker's listener have in common.
pub(super) struct Context {
    pub(super) proxy: Proxy<Incoming>,
    /// The server accepts no more and finishes what is open.
    closing: Arc<AtomicBool>,
    awake: Arc<Awake>,
    http: Builder,
    timeouts: Timeouts,
    /// How fast clients must take responses.
    rate: Option<MinRate>,
}

impl Context {
    pub(super) fn new(
        l: &ListenerSettings,
        proxy: Proxy<Incoming>,
        closing: Arc<AtomicBool>,
        awake: Arc<Awake>,
    ) -> Self {
        let mut http = Builder::new();
        http.max_header_size(l.max_header_bytes);
        if l.max_header_count != HEADERS_DEFAULT {
            http.max_headers(l.max_header_count);
        }
        let timeouts = Timeouts { header: l.header_timeout, body: l.body_timeout, idle: l.idle_timeout };
        let grace = l.rate_grace.into();
        let rate = l.min_send_rate.map(|bytes| MinRate { bytes, grace });
        Self { proxy, closing, awake, http, timeouts, rate }
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Relaxed)
    }
}

/// How a connection's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    /// The parser refused something.
    Malformed,
    /// A deadline of the client's passed.
    TooSlow,
}

/// What an awake stretch ends with.
enum Stretch {
    Over(End),
    /// Nothing to do: the socket, to wait for more with.
    Sleep(ClientSocket),
}

/// Serves one client until its connection ends.
pub(super) async fn serve(stream: Socket, client: Client, cx: Arc<Context>) {
    let guard = cx.proxy.worker().timer.watch(true);
    let watch = &guard.0;
    watch.arm(Phase::Head, watch.now(), cx.timeouts.header);
    let mut socket = ClientSocket::new(stream, watch.clone(), cx.timeouts, cx.rate);
    let mut fresh = true;
    let end = loop {
        if let Some(end) = asleep(&socket, fresh, watch, &cx).await {
            break end;
        }
        match awake(socket, &client, watch, &cx).await {
            Stretch::Over(end) => break end,
            Stretch::Sleep(s) => (socket, fresh) = (s, false),
        }
    };
    cx.awake.forget(watch);
    let counters = &cx.proxy.worker().counters;
    match end {
        End::Closed => {}
        End::Malformed => Counters::count(&counters.client_errors),
        End::TooSlow => Counters::count(&counters.client_timeouts),
    }
    Counters::count(&counters.connections_closed);
}

/// Closed over what the client still sends, the connection would be reset, and the answer with it: for a while that is read.
async fn linger(socket: &ClientSocket) {
    // Whichever comes first is an end.
    let _ = tokio::time::timeout(LINGER, poll_fn(|cx| socket.poll_discard(cx))).await;
}

/// Waits for the client's next byte: a socket and a small task, no buffers. `None`: there is one (or the end of them).
async fn asleep(socket: &ClientSocket, fresh: bool, watch: &Watch, context: &Context) -> Option<End> {
    poll_fn(|cx| {
        if let Poll::Ready(ready) = socket.poll_readable(cx, fresh) {
            return Poll::Ready(ready.err().map(|_| End::Closed));
        }
        watch.register(cx.waker());
        if watch.is_due() || context.is_closing() {
            // It owes nothing: not even a first byte.
            return Poll::Ready(Some(End::Closed));
        }
        Poll::Pending
    })
    .await
}

/// Runs the parser until the connection ends or may sleep. A plain function that boxes, so that the large future is built in its
/// box and leaves no room for itself in the sleeper's own state.
#[inline(never)]
fn awake<'a>(
    socket: ClientSocket,
    client: &'a Client,
    watch: &'a Arc<Watch>,
    context: &'a Context,
) -> Pin<Box<dyn Future<Output = Stretch> + Send + 'a>> {
    Box::pin(run(socket, client, watch, context))
}

async fn run(socket: ClientSocket, client: &Client, watch: &Arc<Watch>, context: &Context) -> Stretch {
    let proxy = &context.proxy;
    let service = hyper::service::service_fn(|request| async move {
        Ok::<_, Infallible>(proxy.handle(request, client, watch).await)
    });
    let mut connection = context.http.serve_connection(TokioIo::new(socket), service);
    let mut told = false;
    let end = poll_fn(|cx| {
        loop {
            if !told && context.is_closing() {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            watch.register(cx.waker());
            if let Poll::Ready(done) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(Some(match done {
                    Err(e) if e.is_parse() => End::Malformed,
                    Err(_) if watch.is_due() => End::TooSlow,
                    _ => End::Closed,
                }));
            }
            if watch.is_due() {
                match watch.phase() {
                    // Those of a request are its own to answer, and it has just been polled.
                    Phase::ClientBody
                    | Phase::Connect
                    | Phase::FirstByte
                    | Phase::BackendBody
                    | Phase::Backoff => {
                        return Poll::Pending;
                    }
                    Phase::Idle if !told => {
                        told = true;
                        Pin::new(&mut connection).graceful_shutdown();
                        continue;
                    }
                    Phase::Idle | Phase::Head | Phase::ClientWrite => return Poll::Ready(Some(End::TooSlow)),
                }
            }
            if told || !watch.is_idle() || context.awake.may_stay(watch) {
                return Poll::Pending;
            }
            return Poll::Ready(None);
        }
    })
    .await;
    let parts = connection.into_parts();
    if let Some(end) = end {
        if watch.lingers() && end == End::Closed {
            Box::pin(linger(parts.io.inner())).await;
        }
        return Stretch::Over(end);
    }
    if parts.read_buf.is_empty() {
        Stretch::Sleep(parts.io.into_inner())
    } else {
        // Cannot be: what the parser holds back is no whole message, and then the connection is not idle.
        Stretch::Over(End::Closed)
    }
}
