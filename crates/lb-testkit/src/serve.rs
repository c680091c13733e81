//! One connection of a scripted backend.

use crate::decode::BodyDecoder;
use crate::message::{Framing, RequestHead};
use crate::record::{Received, Record};
use crate::script::{Answer, BodyKind, Reply, Step};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

/// A head larger than this is not read further.
const HEAD_BYTES_MAX: usize = 1 << 20;

pub(crate) type Handler = dyn Fn(&Received) -> Reply + Send + Sync;
pub(crate) type Greeting = dyn Fn(usize) -> Option<Vec<Step>> + Send + Sync;

pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The connection ended, in whatever way: nothing more to do.
struct Ended;

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// What is common to all connections of a backend.
pub(crate) struct Scripted {
    pub(crate) id: String,
    pub(crate) record: Arc<Record>,
    pub(crate) handler: Box<Handler>,
    pub(crate) greeting: Box<Greeting>,
}

struct Connection {
    socket: Socket,
    number: usize,
    buffer: Vec<u8>,
    backend: Arc<Scripted>,
    resets: bool,
    /// Last, so that it counts as open until the socket is closed.
    _open: Open,
}

struct Open(Arc<Record>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Socket::Tcp(stream) = &self.socket
            && (self.resets || self.backend.record.is_killed.load(SeqCst))
        {
            // A socket that is gone already cannot be reset any more.
            let _ = stream.set_zero_linger();
        }
    }
}

/// A request in flight, whatever ends it.
struct InFlight<'a>(&'a Record);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
    }
}

/// The request that a reply answers.
struct Exchange {
    head: RequestHead,
    kept_at: Option<usize>,
    decoder: BodyDecoder,
}

pub(crate) async fn connection(socket: Socket, backend: Arc<Scripted>) {
    let number = backend.record.connected();
    let open = Open(backend.record.clone());
    let connection = Connection { socket, number, buffer: Vec::new(), backend, resets: false, _open: open };
    let _: Result<(), Ended> = connection.run().await;
}

impl Connection {
    async fn run(mut self) -> Result<(), Ended> {
        let backend = self.backend.clone();
        if let Some(steps) = (backend.greeting)(self.number) {
            let mut nothing = Exchange {
                head: RequestHead {
                    method: "GET".to_owned(),
                    target: String::new(),
                    minor_version: 1,
                    headers: crate::Headers::default(),
                },
                kept_at: None,
                decoder: BodyDecoder::new(Framing::Length(0)),
            };
            for step in steps {
                self.step(step, &mut nothing).await?;
            }
        }
        loop {
            let head = self.head().await?;
            let closes = head.closes();
            let kept_at = backend.record.request(self.number, head.clone());
            let mut in_flight = Some(InFlight(&backend.record));
            let decoder = BodyDecoder::new(head.framing());
            let received = Received {
                connection: self.number,
                head: head.clone(),
                body: Vec::new(),
                trailers: Vec::new(),
                is_complete: decoder.is_done(),
            };
            let mut exchange = Exchange { head, kept_at, decoder };
            backend.record.update(kept_at, |r| r.is_complete = exchange.decoder.is_done());
            let reply = (backend.handler)(&received);
            if !reply.early {
                self.read_body(&mut exchange).await?;
            }
            let last = reply.steps.len();
            for (at, step) in reply.steps.into_iter().enumerate() {
                if at + 1 == last && matches!(step, Step::Answer(_) | Step::Send(_)) {
                    // The peer may send the next request as soon as it has the last byte, before this task runs again.
                    in_flight = None;
                }
                self.step(step, &mut exchange).await?;
            }
            drop(in_flight);
            self.read_body(&mut exchange).await?;
            if closes {
                return Err(Ended);
            }
        }
    }

    async fn step(&mut self, step: Step, exchange: &mut Exchange) -> Result<(), Ended> {
        match step {
            Step::Send(bytes) => self.write(&bytes).await?,
            Step::Fill { byte, count } => {
                let part = vec![byte; 64 << 10];
                let mut left = count;
                while left > 0 {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(part.len());
                    self.write(&part[..n]).await?;
                    left -= n as u64;
                }
            }
            Step::Answer(answer) => self.answer(&answer, &exchange.head.method).await?,
            Step::EchoBody { chunked } => {
                self.read_body(exchange).await?;
                let kind = if chunked { BodyKind::Chunked(16 << 10) } else { BodyKind::Length };
                let answer = Answer::ok(std::mem::take(&mut exchange.decoder.body)).kind(kind);
                self.answer(&answer, &exchange.head.method).await?;
            }
            Step::ReadBody => self.read_body(exchange).await?,
            Step::Pause(time) => tokio::time::sleep(time).await,
            Step::Wait(gate) => gate.passed().await,
            Step::AwaitNextByte => {
                if self.buffer.is_empty() {
                    self.read().await?;
                }
            }
            Step::Close => return Err(Ended),
            Step::Reset => {
                self.resets = true;
                return Err(Ended);
            }
            Step::Hang => loop {
                self.read().await?;
            },
        }
        Ok(())
    }

    async fn answer(&mut self, answer: &Answer, method: &str) -> Result<(), Ended> {
        let bytes = answer.bytes(method, &self.backend.id);
        self.write(&bytes).await?;
        if answer.is_closed_after() { Err(Ended) } else { Ok(()) }
    }

    async fn head(&mut self) -> Result<RequestHead, Ended> {
        loop {
            match RequestHead::parse(&self.buffer) {
                Ok(Some((head, length))) => {
                    self.buffer.drain(..length);
                    return Ok(head);
                }
                Ok(None) if self.buffer.len() < HEAD_BYTES_MAX => self.read().await?,
                Ok(None) => return Err(Ended),
                Err(error) => {
                    let start =
                        String::from_utf8_lossy(&self.buffer[..self.buffer.len().min(200)]).into_owned();
                    self.backend.record.malformed(format!("{error}: {start:?}"));
                    return Err(Ended);
                }
            }
        }
    }

    async fn read_body(&mut self, exchange: &mut Exchange) -> Result<(), Ended> {
        let record = self.backend.record.clone();
        while !exchange.decoder.is_done() {
            if self.buffer.is_empty() {
                self.read().await?;
            }
            match exchange.decoder.push(&self.buffer) {
                Ok(taken) => drop(self.buffer.drain(..taken)),
                Err(error) => {
                    record.malformed(error);
                    return Err(Ended);
                }
            }
            record.update(exchange.kept_at, |received| {
                let known = received.body.len();
                received.body.extend_from_slice(&exchange.decoder.body[known..]);
                received.is_complete = exchange.decoder.is_done();
                received.trailers.clone_from(&exchange.decoder.trailers);
            });
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Ended> {
        let mut part = [0; 16 << 10];
        let n = match &mut self.socket {
            Socket::Tcp(stream) => stream.read(&mut part).await?,
            Socket::Unix(stream) => stream.read(&mut part).await?,
        };
        if n == 0 {
            return Err(Ended);
        }
        self.backend.record.came(self.number, &part[..n]);
        self.buffer.extend_from_slice(&part[..n]);
        Ok(())
    }

    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Ended> {
        while !bytes.is_empty() {
            let n = match &mut self.socket {
                Socket::Tcp(stream) => stream.write(bytes).await?,
                Socket::Unix(stream) => stream.write(bytes).await?,
            };
            self.backend.record.bytes_sent.fetch_add(n as u64, SeqCst);
            bytes = &bytes[n..];
        }
        Ok(())
    }
}
