//! Backends and clients that do next to nothing, for tests of a hundred thousand requests: they check no more of HTTP than they need.

use lb_testkit::{Address, Stopwatch};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// The longest that anything is waited for.
const LIMIT: Duration = Duration::from_secs(10);

/// A backend that answers each request with one letter. Requests must have no body.
#[derive(Debug)]
pub struct QuickBackend {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    letter: u8,
    requests: AtomicU64,
    fails_every: AtomicUsize,
    ends: AtomicBool,
}

impl QuickBackend {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no port for it.
    pub fn start(letter: char) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared { letter: letter as u8, ..Shared::default() });
        let accepting = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ends.load(SeqCst) {
                    break;
                }
                let shared = accepting.clone();
                thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { address, shared }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on each `n`th request is answered with 500; 0: none.
    pub fn fail_every(&self, n: usize) {
        self.shared.fails_every.store(n, SeqCst);
    }

    /// How many requests it had.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(SeqCst)
    }
}

impl Drop for QuickBackend {
    fn drop(&mut self) {
        self.shared.ends.store(true, SeqCst);
        // Its listener wakes up.
        let _ = TcpStream::connect(self.address);
    }
}

/// Until the proxy closes.
fn serve(mut stream: TcpStream, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let (mut buffer, mut filled) = ([0; 8192], 0);
    loop {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => return,
            Ok(n) => filled += n,
        }
        // The proxy does not pipeline: one head at a time.
        if !buffer[..filled].ends_with(b"\r\n\r\n") {
            continue;
        }
        filled = 0;
        let n = shared.requests.fetch_add(1, SeqCst) as usize + 1;
        let every = shared.fails_every.load(SeqCst);
        let status = if every > 0 && n.is_multiple_of(every) { "500 Oops" } else { "200 OK" };
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: 1\r\n\r\n{}", char::from(shared.letter));
        if stream.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}

/// A client with one connection.
#[derive(Debug)]
pub struct QuickClient(TcpStream);

impl QuickClient {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    ///
    /// # Panics
    /// When it is no TCP address.
    pub fn connect(address: &Address) -> io::Result<Self> {
        let stream = TcpStream::connect(address.to_string())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self(stream))
    }

    /// Status and letter of the answer to `GET /`.
    ///
    /// # Errors
    /// No whole answer, or one with a body of another length than 1.
    pub fn get(&mut self) -> io::Result<(u16, char)> {
        self.0.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let (mut buffer, mut filled) = ([0; 4096], 0);
        loop {
            let n = self.0.read(&mut buffer[filled..])?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += n;
            let Some(end) = buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            if filled < end + 5 {
                continue;
            }
            let status = std::str::from_utf8(&buffer[9..12]).ok().and_then(|s| s.parse().ok());
            let status = status.ok_or(io::ErrorKind::InvalidData)?;
            return if filled == end + 5 {
                Ok((status, char::from(buffer[end + 4])))
            } else {
                Err(io::Error::other(String::from_utf8_lossy(&buffer[..filled]).into_owned()))
            };
        }
    }
}

/// One request of a load.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// When it began, by the load's watch.
    pub began: Duration,
    /// Status and letter; `None`: there was no whole answer.
    pub answer: Option<(u16, char)>,
}

/// Requests one after another on each of some connections, until it is stopped.
#[derive(Debug)]
pub struct QuickLoad {
    watch: Stopwatch,
    stops: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<Vec<Asked>>>,
}

impl QuickLoad {
    /// Starts it.
    pub fn start(address: &Address, connections: usize) -> Self {
        let (watch, stops) = (Stopwatch::start(), Arc::new(AtomicBool::new(false)));
        let threads = (0..connections).map(|_| {
            let (address, stops) = (address.clone(), stops.clone());
            thread::spawn(move || {
                let (mut client, mut asked) = (None, vec![]);
                while !stops.load(SeqCst) {
                    let began = watch.elapsed();
                    let answer = match &mut client {
                        Some(client) => QuickClient::get(client).ok(),
                        none => {
                            QuickClient::connect(&address).ok().and_then(|new| none.insert(new).get().ok())
                        }
                    };
                    if answer.is_none() {
                        client = None;
                    }
                    asked.push(Asked { began, answer });
                }
                asked
            })
        });
        let threads = threads.collect();
        Self { watch, stops, threads }
    }

    /// The time by which requests begin.
    pub fn now(&self) -> Duration {
        self.watch.elapsed()
    }

    /// Ends it and gives back all of its requests.
    ///
    /// # Panics
    /// When one of its threads did.
    pub fn stop(self) -> Vec<Asked> {
        self.stops.store(true, SeqCst);
        let each = self.threads.into_iter().map(|t| t.join().expect("the load's threads do not panic"));
        each.flatten().collect()
    }
}
