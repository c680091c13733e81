//! The tokio shell: asks agents when it is their turn and hands on what they say.

use super::exchange::ask;
use super::registry::{Member, Registry};
use super::{AgentCheck, AgentCheckError};
use crate::outbox::Outbox;
use crate::runner::unix_ms;
use crate::scheduler::{self, Line, NotStarted, RunningChecker, Scheduled, Ticket};
use lb_types::{Address, AgentMode, AgentReport, AgentSink, AgentStatus, Backend, BackendId};
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a backend without an agent is taken to say: nothing stands against it. A bound on its requests that its agent set stays, as no
/// report can lift one.
const RELEASED: AgentReport = AgentReport {
    weight_percent: Some(100),
    max_connections: None,
    mode: Some(AgentMode::Ready),
    up: Some(true),
};

/// Asks the agents of a set of backends and hands their reports to a sink. A cheap handle: clones are the same checker.
///
/// ```
/// use lb_health::agent::{AgentCheck, AgentChecker};
/// use lb_types::{AgentReport, AgentSink, Backend, BackendId};
/// use std::sync::{Arc, mpsc};
///
/// struct Tell(mpsc::Sender<(BackendId, AgentReport)>); // a pool, as a rule
/// impl AgentSink for Tell {
///     fn agent_report(&self, id: &BackendId, report: AgentReport) {
///         let _ = self.0.send((id.clone(), report));
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let agent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let port = agent.local_addr()?.port();
///
/// let (tell, told) = mpsc::channel();
/// let checker = AgentChecker::new(AgentCheck::port(port), Arc::new(Tell(tell)))?;
/// checker.set_backends(vec![Backend::new("a", "http://127.0.0.1:9001".parse()?)])?;
/// let running = checker.start()?; // asks until the guard is dropped
///
/// let (mut connection, _) = agent.accept().await?;
/// tokio::io::AsyncWriteExt::write_all(&mut connection, b"50% drain\n").await?;
/// let (id, report) = loop {
///     tokio::task::yield_now().await;
///     if let Ok(told) = told.try_recv() { break told }
/// };
/// assert_eq!((id.as_str(), report.weight_percent), ("a", Some(50)));
/// running.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AgentChecker(Arc<Inner>);

struct Inner {
    settings: AgentCheck,
    sink: Arc<dyn AgentSink>,
    registry: Registry,
    /// At most one report a backend waits: a newer one is laid over it.
    outbox: Outbox<(BackendId, AgentReport)>,
    line: Line,
}

/// A question to be asked.
pub(crate) struct Question {
    ticket: Ticket,
    agent: Address,
}

impl AgentChecker {
    /// A checker without backends, at rest.
    ///
    /// # Errors
    /// [`AgentCheckError::BadSetting`], as [`AgentCheck::validate`].
    pub fn new(settings: AgentCheck, sink: Arc<dyn AgentSink>) -> Result<Self, AgentCheckError> {
        settings.validate()?;
        let line = Line::new(settings.max_concurrent, None);
        let (registry, outbox) = (Registry::default(), Outbox::default());
        Ok(Self(Arc::new(Inner { settings, sink, registry, outbox, line })))
    }

    /// Makes `backends` the set whose agents are asked: all of it, or on an error nothing. Tell a pool of new backends first, since sinks
    /// ignore ids that they do not know.
    ///
    /// - A new backend's agent is asked for the first time within a second.
    /// - An id whose agent's address is the same keeps its status; with another address it starts anew.
    /// - The agent of a `disabled` backend is not asked, and what it said stays in force.
    /// - A backend that stays and has no agent any more is told to the sink as `100% ready up`, if its agent ever said something:
    ///   nobody else could end its drain.
    /// - An id that is gone is forgotten; nothing is told of it.
    ///
    /// # Errors
    /// [`AgentCheckError::DuplicateBackend`], or [`AgentCheckError::Backend`] when host and port of an agent give no address.
    pub fn set_backends(&self, backends: Vec<Backend>) -> Result<(), AgentCheckError> {
        let inner = &*self.0;
        let mut ids = HashSet::new();
        if let Some(twice) = backends.iter().find(|b| !ids.insert(&b.id)) {
            return Err(AgentCheckError::DuplicateBackend { id: twice.id.clone() });
        }
        let member = |b: Backend| {
            let agent = inner.settings.agent_of(&b)?;
            Ok(Member { id: b.id, agent, disabled: b.disabled })
        };
        let set = backends.into_iter().map(member).collect::<Result<Vec<_>, AgentCheckError>>()?;
        inner.registry.replace(set, |id| inner.put(id, RELEASED));
        inner.flush();
        inner.line.changed.notify_one();
        Ok(())
    }

    /// Starts asking on the current tokio runtime, until the returned guard is dropped or shut down. A stopped checker keeps its
    /// backends and statuses, and may be started again.
    ///
    /// # Errors
    /// [`AgentCheckError::NoRuntime`] outside a runtime, [`AgentCheckError::AlreadyRunning`] if it is.
    pub fn start(&self) -> Result<RunningChecker, AgentCheckError> {
        Ok(scheduler::start(&self.0)?)
    }

    /// Asks as long as the future is polled; drop it to stop. For programs that keep their tasks themselves.
    ///
    /// # Errors
    /// [`AgentCheckError::AlreadyRunning`], at once.
    pub async fn run(&self) -> Result<Infallible, AgentCheckError> {
        Ok(scheduler::run(&self.0).await?)
    }

    /// What is known of every backend that has an agent.
    pub fn status(&self) -> BTreeMap<BackendId, AgentStatus> {
        self.0.registry.statuses()
    }

    /// What is known of one backend's agent; `None` if it has none.
    pub fn status_of(&self, id: impl AsRef<str>) -> Option<AgentStatus> {
        self.0.registry.status_of(id.as_ref())
    }
}

impl fmt::Debug for AgentChecker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentChecker").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Inner {
    /// Puts a report in the outbox, under the lock that orders a backend's reports.
    fn put(&self, id: &BackendId, report: AgentReport) {
        self.outbox.edit(|waiting| match waiting.iter_mut().find(|(i, _)| i == id) {
            Some((_, earlier)) => *earlier = report.over(*earlier),
            None => waiting.push_back((id.clone(), report)),
        });
    }

    fn flush(&self) {
        self.outbox.flush(|(id, report)| self.sink.agent_report(&id, report));
    }
}

impl Scheduled for Inner {
    type Turn = Question;

    fn line(&self) -> &Line {
        &self.line
    }

    fn turn(&self, ticket: &Ticket) -> Option<Question> {
        let agent = self.registry.agent(ticket)?;
        Some(Question { ticket: ticket.clone(), agent })
    }

    async fn take(self: Arc<Self>, Question { ticket, agent }: Question) {
        let after = self.settings.timeout;
        let said = match tokio::time::timeout(after, ask(&agent, &self.settings.send)).await {
            Ok(said) => said.map_err(|e| e.to_string()),
            Err(_) => Err(format!("no report within {after:?}")),
        };
        self.registry.record(&ticket, said, unix_ms(), |report| self.put(&ticket.id, report));
        self.flush();
    }

    fn pace(&self, ticket: &Ticket) -> Option<(Duration, u8)> {
        self.is_valid(ticket).then_some((self.settings.interval, self.settings.jitter_percent))
    }

    fn is_valid(&self, ticket: &Ticket) -> bool {
        self.registry.agent(ticket).is_some()
    }

    fn take_unscheduled(&self, all: bool) -> BTreeMap<BackendId, (u64, Duration)> {
        let taken = self.registry.take_unscheduled(all).into_iter();
        taken.map(|(id, generation)| (id, (generation, self.settings.interval))).collect()
    }
}

impl From<NotStarted> for AgentCheckError {
    fn from(why: NotStarted) -> Self {
        match why {
            NotStarted::AlreadyRunning => Self::AlreadyRunning,
            NotStarted::NoRuntime => Self::NoRuntime,
        }
    }
}
