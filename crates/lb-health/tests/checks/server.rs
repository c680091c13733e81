//! A server that reads a request head, remembers it, and does one thing.

use lb_types::{Backend, BackendUrl};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, UnixListener};
use tokio::task::{JoinHandle, JoinSet};

/// What it does once it has a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Writes this and closes.
    Say(Vec<u8>),
    /// Writes this, then keeps the connection without another byte.
    SayAndHang(Vec<u8>),
    /// Writes this again and again, until the other side has enough.
    Repeat(Vec<u8>),
}

impl Answer {
    pub(crate) fn status(line: &str) -> Self {
        Self::Say(format!("HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\nok").into_bytes())
    }

    pub(crate) fn say(text: &str) -> Self {
        Self::Say(text.as_bytes().to_vec())
    }
}

pub(crate) struct Server {
    url: BackendUrl,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// On a free port of 127.0.0.1.
    pub(crate) async fn start(answer: Answer) -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into(), answer).await.unwrap()
    }

    /// On a free port of `ip`.
    pub(crate) async fn on(ip: IpAddr, answer: Answer) -> std::io::Result<Self> {
        let listener = TcpListener::bind((ip, 0)).await?;
        let url = BackendUrl::http(&ip.to_string(), listener.local_addr()?.port()).unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let log = requests.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, answer.clone(), log.clone()));
            }
        });
        Ok(Self { url, requests, task })
    }

    /// On a unix socket.
    pub(crate) fn unix(path: &Path, answer: Answer) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let log = requests.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, answer.clone(), log.clone()));
            }
        });
        Self { url: BackendUrl::unix(path), requests, task }
    }

    pub(crate) fn backend(&self) -> Backend {
        Backend::new("b", self.url.clone())
    }

    pub(crate) fn authority(&self) -> String {
        self.url.authority()
    }

    pub(crate) fn port(&self) -> u16 {
        self.authority().rsplit(':').next().unwrap().parse().unwrap()
    }

    /// The heads it got, one a connection, in lower case but for the first line.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Closes the port, and returns when it is closed.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Answer,
    log: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return, // a TCP check
        }
    }
    let head = String::from_utf8(head).unwrap();
    let (first, rest) = head.split_once("\r\n").unwrap();
    log.lock().unwrap().push(format!("{first}\r\n{}", rest.to_ascii_lowercase()));
    match answer {
        Answer::Say(bytes) => drop(stream.write_all(&bytes).await),
        Answer::SayAndHang(bytes) => {
            stream.write_all(&bytes).await.unwrap();
            std::future::pending::<()>().await;
        }
        Answer::Repeat(bytes) => while stream.write_all(&bytes).await.is_ok() {},
    }
}

/// A port that is taken, so that nobody else listens on it, but not listened on either: connections are refused.
pub(crate) fn refusing() -> (TcpSocket, Backend) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let url = BackendUrl::http("127.0.0.1", socket.local_addr().unwrap().port()).unwrap();
    (socket, Backend::new("b", url))
}
