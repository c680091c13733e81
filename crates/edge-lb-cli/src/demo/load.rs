//! The demo's load: clients on keep-alive connections, each with one request at a time, that check every answer.
//!
//! It is closed-loop (a slow answer slows its client down) and so bounded by the number of connections; `--rate` bounds it further.
//! A request counts as lost if it gets no answer, an answer other than 200, or one that is not its own. A connection that the proxy
//! closed between two requests is no loss: nothing was sent on it.

use super::body_of;
use super::tally::Tally;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// An answer that takes longer is lost.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Connecting takes longer than this only if nobody accepts.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A client that failed waits this long, so that a dead proxy is not asked a million times.
const AFTER_LOSS: Duration = Duration::from_millis(100);
/// An answer of the demo's backends has some 30 bytes.
const BODY_MAX: usize = 4096;

/// What the load is.
#[derive(Clone)]
pub(crate) struct Load {
    /// The proxy.
    pub(crate) address: SocketAddr,
    /// How many connections.
    pub(crate) connections: usize,
    /// The most requests a second, over all connections.
    pub(crate) rate: Option<u32>,
    /// Where results go.
    pub(crate) tally: Arc<Tally>,
}

impl Load {
    /// Starts the clients. Each ends after its request in flight once `stop` says `true`.
    pub(crate) fn start(&self, stop: &watch::Receiver<bool>) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        for number in 0..self.connections {
            clients.spawn(Client { load: self.clone(), number, open: None }.run(stop.clone()));
        }
        clients
    }

    /// How long each client has for one request, where there is a rate.
    fn period(&self) -> Option<Duration> {
        let rate = f64::from(self.rate?.max(1));
        Some(Duration::from_secs_f64(self.connections as f64 / rate))
    }
}

type Sender = SendRequest<Empty<Bytes>>;

struct Client {
    load: Load,
    number: usize,
    open: Option<Sender>,
}

impl Client {
    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut ticks = self.load.period().map(|period| {
            // Spread over the period, so that the clients do not march in step.
            let offset = period.mul_f64(self.number as f64 / self.load.connections as f64);
            let mut ticks = interval_at(Instant::now() + offset, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        for turn in 0_u64.. {
            if let Some(ticks) = &mut ticks {
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = stop.wait_for(|&s| s) => break,
                }
            }
            if *stop.borrow() {
                break;
            }
            let path = format!("/demo/{}/{turn}", self.number);
            let start = Instant::now();
            match timeout(ANSWER_MAX, self.ask(&path)).await.unwrap_or(Err(Loss::TooSlow)) {
                Ok(id) if self.load.tally.answered(&id, start.elapsed()) => continue,
                Ok(id) => self.load.tally.lost(format!("{path}: answered by an unknown backend {id:?}")),
                Err(loss) => self.load.tally.lost(format!("{path}: {loss}")),
            }
            self.open = None;
            tokio::time::sleep(AFTER_LOSS).await;
        }
    }

    /// Sends one request; gives the id of the backend that answered it.
    async fn ask(&mut self, path: &str) -> Result<String, Loss> {
        let response = loop {
            let mut sender = match self.open.take() {
                Some(sender) => sender,
                None => self.connect().await?,
            };
            if sender.ready().await.is_err() {
                continue;
            }
            let request = Request::get(path).header("host", self.load.address.to_string());
            let request = request.body(Empty::new()).map_err(|e| Loss::NoAnswer(e.to_string()))?;
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.open = Some(sender);
                    break response;
                }
                // Not a byte was sent (the request comes back): the proxy had closed the idle connection.
                Err(mut e) => {
                    if e.take_message().is_none() {
                        return Err(Loss::NoAnswer(e.into_error().to_string()));
                    }
                }
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, BODY_MAX).collect().await.map_err(|e| Loss::Broken(e.to_string()))?;
        if head.status != StatusCode::OK {
            return Err(Loss::Status(head.status));
        }
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        match body.split_once(' ') {
            Some((id, _)) if body == body_of(id, path) => Ok(id.to_owned()),
            _ => Err(Loss::Body(body.chars().take(80).collect())),
        }
    }

    async fn connect(&self) -> Result<Sender, Loss> {
        let stream = timeout(CONNECT_MAX, connect_from(self.number, self.load.address));
        let stream = stream.await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|e| Loss::NoConnection(e.to_string()))?;
        // Small requests: latency matters, and failing to set it does not.
        let _ = stream.set_nodelay(true);
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|e| Loss::NoConnection(e.to_string()))?;
        // It ends when the sender is dropped or the proxy closes; what went wrong the sender is told.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

/// Connects from a loopback address of the client's own where the system has them (Linux does), so that algorithms that look at
/// the client's address see many clients.
async fn connect_from(client: usize, to: SocketAddr) -> std::io::Result<TcpStream> {
    let own = |n: usize| Ipv4Addr::new(127, 0, (n / 250) as u8, (n % 250) as u8 + 1);
    let socket = TcpSocket::new_v4()?;
    if socket.bind(SocketAddr::from((own(client), 0))).is_ok() {
        return socket.connect(to).await;
    }
    TcpStream::connect(to).await
}

/// Why a request is lost.
#[derive(Debug, thiserror::Error)]
enum Loss {
    #[error("no connection: {0}")]
    NoConnection(String),
    #[error("no answer: {0}")]
    NoAnswer(String),
    #[error("no answer within {} s", ANSWER_MAX.as_secs())]
    TooSlow,
    #[error("the answer broke off: {0}")]
    Broken(String),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("not the answer to this request: {0:?}")]
    Body(String),
}

#[cfg(test)]
mod tests {
    use super::super::backend::DemoBackend;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::interval;

    fn load(address: SocketAddr, connections: usize, rate: Option<u32>) -> Load {
        Load { address, connections, rate, tally: Arc::new(Tally::new(["a"].into_iter())) }
    }

    /// Runs the load until `enough`, at most 10 s.
    async fn run(load: &Load, enough: impl Fn(&Tally) -> bool) {
        let (stop, stopped) = watch::channel(false);
        let mut clients = load.start(&stopped);
        let looked = async {
            let mut looks = interval(Duration::from_millis(1));
            while !enough(&load.tally) {
                looks.tick().await;
            }
        };
        timeout(Duration::from_secs(10), looked).await.unwrap();
        stop.send_replace(true);
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
    }

    #[tokio::test]
    async fn answers_are_checked_and_counted() {
        let backend = DemoBackend::start("a", Duration::from_millis(1)).unwrap();
        let load = load(backend.address(), 4, None);
        run(&load, |t| t.responses(0) >= 40).await;
        assert_eq!((load.tally.lost_count(), load.tally.reasons()), (0, vec![]));
    }

    #[tokio::test]
    async fn a_connection_that_the_server_closes_between_requests_is_no_loss() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let load = load(listener.local_addr().unwrap(), 1, None);
        let server = async {
            for turn in 0..3 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 1024];
                assert!(stream.read(&mut head).await.unwrap() > 0);
                let body = body_of("a", &format!("/demo/0/{turn}"));
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).await.unwrap();
            }
        };
        let asked = async {
            let mut client = Client { load: load.clone(), number: 0, open: None };
            for turn in 0..3 {
                assert_eq!(client.ask(&format!("/demo/0/{turn}")).await.unwrap(), "a");
            }
        };
        tokio::join!(server, asked);
    }

    #[tokio::test]
    async fn other_statuses_bodies_and_silence_are_losses() {
        for (answer, reason) in [
            ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "/demo/0/0: status 503"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                "/demo/0/0: not the answer to this request: \"hello\"",
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "/demo/0/0: the answer broke off"),
            ("", "/demo/0/0: no answer"),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let load = load(listener.local_addr().unwrap(), 1, None);
            let server = tokio::spawn(async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut head = [0; 1024];
                    let _ = stream.read(&mut head).await;
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
            run(&load, |t| t.lost_count() > 0).await;
            server.abort();
            assert!(load.tally.reasons()[0].starts_with(reason), "{:?}", load.tally.reasons());
        }
    }

    #[test]
    fn a_rate_is_shared_by_the_clients() {
        let at = |connections, rate| load(([127, 0, 0, 1], 1).into(), connections, rate).period();
        assert_eq!(at(32, Some(1_000)), Some(Duration::from_millis(32)));
        assert_eq!(at(32, None), None);
    }
}
