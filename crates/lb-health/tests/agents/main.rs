//! Agent checks of small scripted agents on loopback.

use lb_health::agent::{AgentCheck, AgentChecker};
use lb_health::{AgentCheckError, RunningChecker};
use lb_types::{AgentOverride, AgentReport, AgentSink, AgentStatus, Backend, BackendId};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// Long enough for anything that comes at all, on a busy machine.
const PATIENT: Duration = Duration::from_secs(20);

/// An agent that says the same to everybody, until told otherwise.
struct Agent {
    port: u16,
    says: Arc<Mutex<Says>>,
    heard: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
enum Says {
    /// These bytes, then it closes.
    Bytes(Vec<u8>),
    /// These bytes, then it hangs.
    AndHangs(Vec<u8>),
    /// These bytes, once it has read as many as this.
    After(usize, Vec<u8>),
}

fn says(text: &str) -> Says {
    Says::Bytes(text.as_bytes().to_vec())
}

impl Agent {
    async fn start(first: Says) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (says, heard) = (Arc::new(Mutex::new(first)), Arc::<Mutex<Vec<u8>>>::default());
        let (script, ears) = (says.clone(), heard.clone());
        let task = tokio::spawn(async move {
            let mut hanging = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let what = script.lock().unwrap().clone();
                // Whoever asked may have gone.
                match what {
                    Says::Bytes(bytes) => drop(stream.write_all(&bytes).await),
                    Says::AndHangs(bytes) => {
                        let _ = stream.write_all(&bytes).await;
                        hanging.push(stream);
                    }
                    Says::After(length, bytes) => {
                        let mut got = vec![0; length];
                        if stream.read_exact(&mut got).await.is_ok() {
                            ears.lock().unwrap().clone_from(&got);
                            let _ = stream.write_all(&bytes).await;
                        }
                    }
                }
            }
        });
        Self { port, says, heard, task }
    }

    fn now_says(&self, what: Says) {
        *self.says.lock().unwrap() = what;
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Tell(UnboundedSender<(BackendId, AgentReport)>);

impl AgentSink for Tell {
    fn agent_report(&self, id: &BackendId, report: AgentReport) {
        let _ = self.0.send((id.clone(), report)); // the test may be over
    }
}

struct Scene {
    checker: AgentChecker,
    told: UnboundedReceiver<(BackendId, AgentReport)>,
    _running: RunningChecker,
}

impl Scene {
    fn start(settings: AgentCheck, backends: &[Backend]) -> Self {
        let (tell, told) = unbounded_channel();
        let settings = settings.interval(Duration::from_millis(10));
        let checker = AgentChecker::new(settings, Arc::new(Tell(tell))).unwrap();
        checker.set_backends(backends.to_vec()).unwrap();
        let running = checker.start().unwrap();
        Self { checker, told, _running: running }
    }

    async fn next(&mut self) -> (String, AgentReport) {
        let (id, report) = tokio::time::timeout(PATIENT, self.told.recv()).await.unwrap().unwrap();
        (id.to_string(), report)
    }

    /// The next report that is not as the one before.
    async fn after(&mut self, before: &str) -> AgentReport {
        loop {
            let (_, report) = self.next().await;
            if report != of(before) {
                return report;
            }
        }
    }

    /// The status of `a` once it is as wanted.
    async fn until(&self, wanted: impl Fn(&AgentStatus) -> bool) -> AgentStatus {
        let look = async {
            loop {
                match self.checker.status_of("a") {
                    Some(status) if wanted(&status) => return status,
                    // tidy-allow: sleep: the poll of a bounded wait
                    _ => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        tokio::time::timeout(PATIENT, look).await.unwrap()
    }
}

fn of(text: &str) -> AgentReport {
    text.parse().unwrap()
}

fn backend(id: &str) -> Backend {
    Backend::new(id, "http://127.0.0.1:1".parse().unwrap())
}

#[tokio::test]
async fn what_an_agent_says_is_handed_on_again_and_again() {
    let agent = Agent::start(says("75% up\n")).await;
    let mut s = Scene::start(AgentCheck::port(agent.port), &[backend("a")]);
    assert_eq!(s.next().await, ("a".to_owned(), of("75% up")));
    assert_eq!(s.next().await, ("a".to_owned(), of("75% up")));
    let status = s.checker.status_of("a").unwrap();
    assert_eq!((status.last_report, status.last_error), (Some(of("75% up")), None));
    assert!(status.last_seen.unwrap() > 1_000_000_000_000);
    agent.now_says(says("drain"));
    assert_eq!(s.after("75% up").await, of("drain"));
}

#[tokio::test]
async fn a_line_is_enough_and_a_text_may_be_sent_first() {
    let agent = Agent::start(Says::AndHangs(b"ready 10%\r\nmore".to_vec())).await;
    let mut s = Scene::start(AgentCheck::port(agent.port).timeout(PATIENT), &[backend("a")]);
    assert_eq!(s.next().await.1, of("ready 10%"));

    let agent = Agent::start(Says::After(4, b"maint\n".to_vec())).await;
    let mut s = Scene::start(AgentCheck::port(agent.port).send("web\n"), &[backend("a")]);
    assert_eq!(s.next().await.1, of("maint"));
    assert_eq!(*agent.heard.lock().unwrap(), b"web\n");
}

#[tokio::test]
async fn what_is_no_report_changes_nothing_and_is_in_the_status() {
    let agent = Agent::start(says("50%\n")).await;
    let settings = AgentCheck::port(agent.port).timeout(Duration::from_millis(100));
    let mut s = Scene::start(settings, &[backend("a")]);
    assert_eq!(s.next().await.1, of("50%"));
    for (what, wanted) in [
        (says("hello\n"), "\"hello\" is not a word of an agent report"),
        (says(""), "the agent closed the connection without a word"),
        (Says::Bytes(vec![b'1'; 100_000]), "the agent's report has no line's end within 256 bytes"),
        (Says::AndHangs(b"50".to_vec()), "no report within 100ms"),
    ] {
        agent.now_says(what);
        let status = s.until(|status| status.last_error.as_deref() == Some(wanted)).await;
        assert_eq!(status.last_report, Some(of("50%")), "{wanted}");
    }
    while let Ok((_, report)) = s.told.try_recv() {
        assert_eq!(report, of("50%"));
    }
    agent.now_says(says("60%\n"));
    assert_eq!(s.after("50%").await, of("60%"));
    assert_eq!(s.until(|status| status.last_error.is_none()).await.last_report, Some(of("60%")));
}

#[tokio::test]
async fn agent_that_cannot_be_reached_is_in_the_status() {
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut s = Scene::start(AgentCheck::port(port), &[backend("a")]);
    let status = s.until(|status| status.last_error.is_some()).await;
    let error = status.last_error.unwrap();
    assert!(error.starts_with(&format!("cannot connect to 127.0.0.1:{port}: ")), "{error}");
    assert_eq!((status.last_report, status.last_seen), (None, None));
    assert!(s.told.try_recv().is_err());
}

#[tokio::test]
async fn backends_have_their_own_agents_or_none() {
    let (pools, own) = (Agent::start(says("1%")).await, Agent::start(says("2%")).await);
    let at = |port| AgentOverride { port: Some(port), ..AgentOverride::default() };
    let off = AgentOverride { enabled: Some(false), ..AgentOverride::default() };
    let unix = Backend::new("unix", lb_types::BackendUrl::unix("/nobody"));
    let host = AgentOverride { host: Some("localhost".into()), ..at(own.port) };
    let set = [
        backend("a"),
        backend("own").agent(at(own.port)),
        backend("off").agent(off),
        backend("disabled").disabled(true),
        unix.agent(host),
    ];
    let mut s = Scene::start(AgentCheck::port(pools.port), &set);
    let mut seen = std::collections::BTreeMap::new();
    while seen.len() < 3 {
        let (id, report) = s.next().await;
        seen.insert(id, report.weight_percent.unwrap());
    }
    let wanted = [("a", 1), ("own", 2), ("unix", 2)].map(|(id, percent)| (id.to_owned(), percent));
    assert_eq!(seen, wanted.into());
    assert_eq!(s.checker.status_of("off"), None);
    assert_eq!(s.checker.status()["disabled"], AgentStatus::default());
}

#[tokio::test]
async fn the_set_may_change_while_agents_are_asked() {
    let (one, two) = (Agent::start(says("drain")).await, Agent::start(says("2%")).await);
    let mut s = Scene::start(AgentCheck::port(one.port), &[backend("a")]);
    assert_eq!(s.next().await.1, of("drain"));
    // Disabled: not asked, and nothing is taken back.
    s.checker.set_backends(vec![backend("a").disabled(true)]).unwrap();
    while s.told.try_recv().is_ok() {}
    assert_eq!(s.checker.status_of("a").unwrap().last_report, Some(of("drain")));
    // Another address starts anew.
    let moved = AgentOverride { port: Some(two.port), ..AgentOverride::default() };
    s.checker.set_backends(vec![backend("a").agent(moved)]).unwrap();
    assert_eq!(s.next().await.1, of("2%"));
    // None any more: what it said is taken back, since nobody else can.
    let off = AgentOverride { enabled: Some(false), ..AgentOverride::default() };
    s.checker.set_backends(vec![backend("a").agent(off)]).unwrap();
    assert_eq!(s.after("2%").await, of("100% ready up"));
    assert_eq!(s.checker.status_of("a"), None);
    s.checker.set_backends(vec![]).unwrap();
    assert!(s.told.try_recv().is_err());
}

#[tokio::test]
async fn sink_that_panics_costs_its_call_alone() {
    struct Panics(UnboundedSender<()>);
    impl AgentSink for Panics {
        fn agent_report(&self, _: &BackendId, _: AgentReport) {
            let _ = self.0.send(());
            panic!("a sink's bug");
        }
    }
    let agent = Agent::start(says("1%")).await;
    let (tell, mut told) = unbounded_channel();
    let settings = AgentCheck::port(agent.port).interval(Duration::from_millis(10));
    let checker = AgentChecker::new(settings, Arc::new(Panics(tell))).unwrap();
    checker.set_backends(vec![backend("a")]).unwrap();
    let _running = checker.start().unwrap();
    for _ in 0..2 {
        tokio::time::timeout(PATIENT, told.recv()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let (tell, _told) = unbounded_channel();
    let sink = Arc::new(Tell(tell));
    let refused = AgentChecker::new(AgentCheck::port(0), sink.clone()).unwrap_err().to_string();
    assert_eq!(refused, "agent_check.port = 0: it must be from 1 to 65535");
    let checker = AgentChecker::new(AgentCheck::port(1), sink).unwrap();
    let twice = checker.set_backends(vec![backend("a"), backend("a")]).unwrap_err();
    assert_eq!(twice, AgentCheckError::DuplicateBackend { id: "a".into() });
    let unix = Backend::new("b", lb_types::BackendUrl::unix("/a"));
    let error = checker.set_backends(vec![backend("a"), unix]).unwrap_err().to_string();
    assert!(error.starts_with("backend \"b\": agent_check.port = 1: "), "{error}");
    assert!(checker.status().is_empty(), "all or nothing");
    let _running = checker.start().unwrap();
    assert_eq!(checker.start().unwrap_err(), AgentCheckError::AlreadyRunning);
}
