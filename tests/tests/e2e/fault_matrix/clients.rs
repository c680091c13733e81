//! A bounded load of GETs and some POSTs, each of its own target, whose outcomes are told apart.

use super::fault::right_body;
use lb_testkit::{Address, Client, ReadError, Switch};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Connections with GETs.
pub(super) const GETTERS: usize = 6;
/// All connections: the most requests in flight.
pub(super) const CLIENTS: usize = GETTERS + 1;
/// Between two requests of a connection: some hundred a second in all, which leaves the machine to other tests.
const PACE: Duration = Duration::from_millis(15);

/// What came of the requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcomes {
    /// GETs with status 200 and the right body.
    pub(super) right: usize,
    /// GETs with another status or without a response.
    pub(super) lost: Vec<String>,
    /// GETs whose response began and was cut.
    pub(super) cut: usize,
    /// GETs that seemed well and had another body: never.
    pub(super) wrong: Vec<String>,
    /// POSTs by status, or `cut`, or `error`.
    pub(super) posts: BTreeMap<String, usize>,
}

/// The load under way.
pub(super) struct Clients {
    stops: Switch,
    done: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Outcomes>>,
}

impl Clients {
    pub(super) fn start(address: &Address) -> Self {
        let (stops, done) = (Switch::new(), Arc::new(AtomicUsize::new(0)));
        let threads = (0..CLIENTS).map(|n| {
            let (address, stops, done) = (address.clone(), stops.clone(), done.clone());
            thread::spawn(move || run(n, &address, &stops, &done))
        });
        Self { threads: threads.collect(), stops, done }
    }

    /// How many requests have ended.
    pub(super) fn done(&self) -> usize {
        self.done.load(SeqCst)
    }

    pub(super) fn stop(self) -> Outcomes {
        self.stops.on();
        let mut all = Outcomes::default();
        for thread in self.threads {
            let one = thread.join().expect("clients do not panic");
            all.right += one.right;
            all.cut += one.cut;
            all.lost.extend(one.lost);
            all.wrong.extend(one.wrong);
            for (outcome, count) in one.posts {
                *all.posts.entry(outcome).or_default() += count;
            }
        }
        all
    }
}

fn run(number: usize, address: &Address, stops: &Switch, done: &AtomicUsize) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let mut connection = None;
    for n in 0.. {
        if stops.is_on() {
            break;
        }
        let is_post = number >= GETTERS;
        let target = if is_post { format!("/pay/{n}") } else { format!("/get/{number}/{n}") };
        let result = match connection.take().map_or_else(|| Client::connect(address), Ok) {
            Ok(mut client) => {
                let (method, body): (_, &[u8]) = if is_post { ("POST", b"pay") } else { ("GET", b"") };
                let result = client.request(method, &target, &[], body);
                if result.as_ref().is_ok_and(|response| !response.head.closes()) {
                    connection = Some(client);
                }
                result
            }
            Err(error) => Err(ReadError::Io(error)),
        };
        match result {
            Ok(response) if is_post => *outcomes.posts.entry(response.status().to_string()).or_default() += 1,
            Err(error) if is_post => {
                let what = if is_cut(&error) { "cut".to_owned() } else { error.to_string() };
                *outcomes.posts.entry(what).or_default() += 1;
            }
            Ok(response) if response.status() != 200 => {
                outcomes.lost.push(format!("{target}: {} {}", response.status(), response.text()));
            }
            Ok(response) if response.text() != right_body(&target) => {
                outcomes.wrong.push(format!("{target}: {:?}", response.text()));
            }
            Ok(_) => outcomes.right += 1,
            Err(error) if is_cut(&error) => outcomes.cut += 1,
            Err(error) => outcomes.lost.push(format!("{target}: {error}")),
        }
        done.fetch_add(1, SeqCst);
        thread::sleep(PACE); // tidy-allow: sleep: the load's pace, nothing is waited for
    }
    outcomes
}

/// The client can tell that it has not got all. (The proxy may close before it has written the head.)
fn is_cut(error: &ReadError) -> bool {
    matches!(error, ReadError::Cut(_) | ReadError::Reset(_) | ReadError::Closed)
}
