//! A bounded load of idempotent requests, counted at the client.

use crate::address::Address;
use crate::client::{Client, ReadError, Response};
use crate::wait::Stopwatch;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What load to make: GET requests one after another on each of some connections.
///
/// A connection is kept until the server says that it closes it. A connection that ends without having said so is an
/// error, even between two requests: nothing is tried again.
#[derive(Clone, Debug)]
pub struct Load {
    address: Address,
    connections: usize,
    requests_each: usize,
    target: String,
    headers: Vec<(String, String)>,
    pace: Option<Duration>,
    is_fresh_each_time: bool,
}

impl Load {
    /// One connection and one request, to `/`.
    pub fn new(address: &Address) -> Self {
        let target = "/".to_owned();
        Self {
            address: address.clone(),
            connections: 1,
            requests_each: 1,
            target,
            headers: vec![],
            pace: None,
            is_fresh_each_time: false,
        }
    }

    /// How many connections at once.
    #[must_use]
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = count;
        self
    }

    /// How many requests on each connection.
    #[must_use]
    pub fn requests_each(mut self, count: usize) -> Self {
        self.requests_each = count;
        self
    }

    /// What to ask for.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// With this header, beside others.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Each connection begins a request at this pace, or as soon as it can where the one before took longer; they take turns, evenly
    /// spread.
    #[must_use]
    pub fn every(mut self, pace: Duration) -> Self {
        self.pace = Some(pace);
        self
    }

    /// A new connection for each request.
    #[must_use]
    pub fn fresh_connections(mut self) -> Self {
        self.is_fresh_each_time = true;
        self
    }

    /// Starts it, one thread for each connection.
    pub fn start(self) -> RunningLoad {
        let shared = Arc::new(Shared::default());
        let threads = (0..self.connections).map(|at| {
            let (load, shared) = (self.clone(), shared.clone());
            thread::spawn(move || load.run(at, &shared))
        });
        RunningLoad { threads: threads.collect(), shared }
    }

    /// Runs it to its end.
    pub fn run_to_end(self) -> LoadReport {
        self.start().join()
    }

    fn run(&self, at: usize, shared: &Shared) -> LoadReport {
        let mut report = LoadReport::default();
        let mut connection = None;
        let started = Stopwatch::start();
        for nth in 0..self.requests_each {
            if let Some(pace) = self.pace {
                let due = pace * nth as u32 + pace * at as u32 / self.connections as u32;
                thread::sleep(due.saturating_sub(started.elapsed()));
            }
            if shared.stops.load(SeqCst) {
                break;
            }
            let result = self.one(&mut connection);
            match &result {
                Ok(response) => {
                    report.answered(response);
                    if response.head.closes() || self.is_fresh_each_time {
                        connection = None;
                    }
                }
                Err(error) => {
                    report.errors.push(error.to_string());
                    connection = None;
                }
            }
            shared.completed.fetch_add(1, SeqCst);
        }
        report
    }

    fn one(&self, connection: &mut Option<Client>) -> Result<Response, ReadError> {
        let client = match connection {
            Some(client) => client,
            None => connection.insert(Client::connect(&self.address)?),
        };
        let headers: Vec<_> = self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        client.request("GET", &self.target, &headers, b"")
    }
}

#[derive(Debug, Default)]
struct Shared {
    stops: AtomicBool,
    completed: AtomicUsize,
}

/// A load under way.
#[derive(Debug)]
pub struct RunningLoad {
    threads: Vec<JoinHandle<LoadReport>>,
    shared: Arc<Shared>,
}

impl RunningLoad {
    /// How many requests have ended, in whatever way.
    pub fn completed(&self) -> usize {
        self.shared.completed.load(SeqCst)
    }

    /// Begins no further requests.
    pub fn stop(&self) {
        self.shared.stops.store(true, SeqCst);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When one of its threads did.
    pub fn join(self) -> LoadReport {
        let mut total = LoadReport::default();
        for thread in self.threads {
            total.add(thread.join().expect("the load's threads do not panic"));
        }
        total
    }
}

/// What came of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Responses by status.
    pub statuses: BTreeMap<u16, usize>,
    /// Responses by the scripted backend that gave them.
    pub backends: BTreeMap<String, usize>,
    /// Responses that said when to come again (`Retry-After`).
    pub retry_afters: usize,
    /// What went wrong, one for each request without a whole response.
    pub errors: Vec<String>,
}

impl LoadReport {
    /// How many responses had this status.
    pub fn status(&self, status: u16) -> usize {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// How many responses came from this backend.
    pub fn from(&self, backend: &str) -> usize {
        self.backends.get(backend).copied().unwrap_or(0)
    }

    /// Asserts that there are `count` responses, all with status 200, and no error.
    ///
    /// # Panics
    /// When not.
    #[track_caller]
    pub fn assert_all_ok(&self, count: usize) {
        let all_ok = self.errors.is_empty() && self.statuses == BTreeMap::from([(200, count)]);
        let shown = &self.errors[..self.errors.len().min(5)];
        assert!(all_ok, "{count} wanted; {:?}, {} errors: {shown:?}", self.statuses, self.errors.len());
    }

    fn answered(&mut self, response: &Response) {
        *self.statuses.entry(response.status()).or_default() += 1;
        self.retry_afters += usize::from(response.header("retry-after").is_some());
        if let Some(backend) = response.served_by() {
            *self.backends.entry(backend.to_owned()).or_default() += 1;
        }
    }

    fn add(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.retry_afters += other.retry_afters;
        for (backend, count) in other.backends {
            *self.backends.entry(backend).or_default() += count;
        }
        self.errors.extend(other.errors);
    }
}
