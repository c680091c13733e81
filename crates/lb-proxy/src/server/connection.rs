//! One client connection: hyper's parser driven by a loop that keeps the client's deadlines and the shutdown.

use super::Stage;
use super::socket::{ClientSocket, Timeouts};
use crate::forward::{Client, Proxy};
use crate::settings::ListenerSettings;
use crate::socket::Socket;
use crate::stats::Counters;
use crate::timer::Phase;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::watch;

/// hyper's own default: asking for it would make it allocate.
const HEADERS_DEFAULT: usize = 100;

/// What all connections of a listener have in common.
#[derive(Debug)]
pub(super) struct ServeOptions {
    http: Builder,
    timeouts: Timeouts,
}

impl ServeOptions {
    pub(super) fn new(l: &ListenerSettings) -> Self {
        let mut http = Builder::new();
        http.max_header_size(l.max_header_bytes);
        if l.max_header_count != HEADERS_DEFAULT {
            http.max_headers(l.max_header_count);
        }
        Self {
            http,
            timeouts: Timeouts { header: l.header_timeout, body: l.body_timeout, idle: l.idle_timeout },
        }
    }
}

/// How a connection's life ended.
enum End {
    Closed,
    /// The parser refused something.
    Malformed,
    /// A deadline of the client's passed.
    TooSlow,
}

/// Serves one client until its connection ends.
pub(super) async fn serve(
    stream: Socket,
    client: Client,
    proxy: Proxy<Incoming>,
    options: Arc<ServeOptions>,
    stage: watch::Receiver<Stage>,
) {
    let worker = proxy.worker().clone();
    let guard = worker.timer.watch();
    let watch = &guard.0;
    watch.arm(Phase::Head, watch.now(), options.timeouts.header);
    let io = ClientSocket::new(stream, watch.clone(), options.timeouts);
    let service = hyper::service::service_fn(|request| {
        let (proxy, client) = (&proxy, &client);
        async move { Ok::<_, Infallible>(proxy.handle(request, client, watch).await) }
    });
    let mut connection = pin!(options.http.serve_connection(TokioIo::new(io), service));
    let mut told = false;
    let end = poll_fn(|cx| {
        loop {
            if !told && *stage.borrow() != Stage::Serving {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
            if let Poll::Ready(done) = connection.as_mut().poll(cx) {
                return Poll::Ready(match done {
                    Err(e) if e.is_parse() => End::Malformed,
                    Err(_) if watch.is_due() => End::TooSlow,
                    _ => End::Closed,
                });
            }
            watch.register(cx.waker());
            if !watch.is_due() {
                return Poll::Pending;
            }
            match watch.phase() {
                // Those of a request are its own to answer, and it has just been polled.
                Phase::ClientBody | Phase::FirstByte | Phase::BackendBody => return Poll::Pending,
                Phase::Idle if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
                Phase::Idle | Phase::Head | Phase::ClientWrite => return Poll::Ready(End::TooSlow),
            }
        }
    })
    .await;
    let counters = &worker.counters;
    match end {
        End::Closed => {}
        End::Malformed => Counters::count(&counters.client_errors),
        End::TooSlow => Counters::count(&counters.client_timeouts),
    }
    Counters::count(&counters.connections_closed);
}
