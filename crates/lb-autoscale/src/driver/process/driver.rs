//! The driver itself: takes orders, and has a task for each instance.

use super::ledger::{Ledger, LeftOver};
use super::life::{Found, Life};
use super::ready::Readiness;
use super::settings::{Orphans, ProcessSettings};
use super::shared::{Entry, Shared, Table};
use crate::driver::child::mark::Mark;
use crate::driver::child::output::{Line, LineSink, Output};
use crate::driver::event::EventSink;
use crate::driver::{Driven, Driver, DriverError, DriverFuture, Order, Stage};
use lb_types::{BackendId, SettingsError};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// Who is told of each line that an instance says. Called on the driver's tasks; it should return soon.
pub type OutputSink = Arc<dyn Fn(&BackendId, &Line) + Send + Sync>;

/// A stop takes its grace, and twice ten seconds where processes are stuck in the kernel; then it is waited no more.
const STUCK: Duration = Duration::from_secs(25);

/// What a driver is given beside its settings. All of it may be left out.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Hooks {
    events: Option<EventSink>,
    output: Option<OutputSink>,
    readiness: Option<Arc<dyn Readiness>>,
}

impl Hooks {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who is told what happens.
    #[must_use]
    pub fn events(mut self, sink: EventSink) -> Self {
        self.events = Some(sink);
        self
    }

    /// Who is told what instances say.
    #[must_use]
    pub fn output(mut self, sink: OutputSink) -> Self {
        self.output = Some(sink);
        self
    }

    /// Who is asked whether an instance is ready, instead of [`ProcessSettings::ready`].
    #[must_use]
    pub fn readiness(mut self, readiness: Arc<dyn Readiness>) -> Self {
        self.readiness = Some(readiness);
        self
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// Starts and stops processes. Dropped, it kills those that may not stay.
pub struct ProcessDriver {
    shared: Arc<Shared>,
    output: Option<OutputSink>,
}

impl ProcessDriver {
    /// A driver with the instances that the state file knows of, or with none. Those of another command, and all if they may not stay, are
    /// being stopped.
    ///
    /// # Errors
    /// A setting is out of its bounds, or somebody is to be told what instances say that may stay; or the state file is another driver's, is none, or cannot be written.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time and I/O enabled.
    pub fn new(settings: ProcessSettings, hooks: Hooks) -> Result<Self, DriverError> {
        settings.validate()?;
        if settings.orphans == Orphans::Stay && hooks.output.is_some() {
            let must = "must be Die if somebody is told what instances say: those that stay are not heard";
            return Err(SettingsError::new("orphans", settings.orphans, must).into());
        }
        let (ledger, left) = Ledger::open(settings.state_file.as_deref(), fingerprint(&settings))?;
        let readiness = hooks.readiness.unwrap_or_else(|| Arc::new(settings.ready.clone()));
        let driver = Self {
            output: hooks.output,
            shared: Arc::new(Shared {
                readiness,
                settings,
                events: hooks.events,
                origin: Instant::now(),
                table: Mutex::default(),
                ledger: Mutex::new(ledger),
                instances: watch::Sender::new(0),
            }),
        };
        driver.take_over(left);
        Ok(driver)
    }

    /// The last 100 lines that an instance said, oldest first; `None`: there is no such instance.
    pub fn output(&self, id: &BackendId) -> Option<Vec<Line>> {
        let table = self.shared.table();
        let entry = table.entries.values().find(|entry| entry.driven.id == *id)?;
        Some(entry.output.lines())
    }

    fn take_over(&self, mut left: LeftOver) {
        // In the order that they were made: their tasks wrote them down in any.
        left.records.sort_by(|a, b| (a.id.len(), &a.id).cmp(&(b.id.len(), &b.id)));
        let mut table = self.shared.table();
        for record in left.records {
            let unwanted = match (self.shared.stay(), left.same_command) {
                (true, true) => None,
                (true, false) => Some("the command is another one now".to_owned()),
                (false, _) => Some("instances do not outlive their parent".to_owned()),
            };
            let number = self.shared.ledger().number();
            self.add(&mut table, number, record.id.as_str().into(), Some(Found { record, unwanted }));
        }
        drop(table);
        self.shared.count();
    }

    fn add(&self, table: &mut Table, number: u64, id: BackendId, found: Option<Found>) {
        let mark = found.as_ref().map_or_else(Mark::new, |found| Mark::from_text(&found.record.mark));
        let told = self.output.clone().map(|told| {
            let id = id.clone();
            Arc::new(move |line: &Line| told(&id, line)) as LineSink
        });
        let output = Output::new(told);
        let (stop, stopped) = watch::channel(false);
        let goes = found.as_ref().is_some_and(|found| found.unwanted.is_some());
        let driven = Driven {
            id: id.clone(),
            stage: if goes { Stage::Stopping } else { Stage::Starting },
            address: SocketAddr::new(
                self.shared.settings.host,
                found.as_ref().map_or(0, |found| found.record.port),
            ),
            pid: None,
            restarts: 0,
        };
        let shared = self.shared.clone();
        let life = Life { shared, id, number, mark, stop: stopped, output: output.clone() };
        let task = tokio::spawn(life.run(found)).abort_handle();
        table.entries.insert(number, Entry { driven, stop, output, task });
    }

    fn order(&self, order: &Order) -> Result<(), DriverError> {
        let most = self.shared.settings.instances_max;
        if order.desired > most {
            return Err(DriverError::TooMany { desired: order.desired, most });
        }
        let mut table = self.shared.table();
        if table.closed {
            return Err(DriverError::Closed);
        }
        for entry in table.entries.values_mut().filter(|entry| order.going.contains(&entry.driven.id)) {
            entry.stop();
        }
        let desired = order.desired as usize;
        let mut living: Vec<&mut Entry> = table.entries.values_mut().filter(|entry| entry.lives()).collect();
        let there = living.len();
        // The ready and the old ones stay.
        living.sort_by_key(|entry| entry.driven.stage != Stage::Ready);
        living.into_iter().skip(desired).for_each(Entry::stop);
        if there >= desired {
            return Ok(());
        }
        if let Some((left, reason)) = table.rest.left(self.shared.now()) {
            return Err(DriverError::Resting { left, reason });
        }
        for _ in there..desired {
            let number = self.shared.ledger().number();
            let id = format!("{}-{number}", self.shared.settings.name).into();
            self.add(&mut table, number, id, None);
        }
        drop(table);
        self.shared.count();
        Ok(())
    }

    async fn stop_all(&self) -> Result<(), DriverError> {
        {
            let mut table = self.shared.table();
            table.closed = true;
            table.entries.values_mut().for_each(Entry::stop);
        }
        let mut instances = self.shared.instances.subscribe();
        let limit = self.shared.settings.stop_grace + STUCK;
        let stopped = timeout(limit, instances.wait_for(|count| *count == 0)).await.is_ok();
        let left = self.shared.table().entries.len();
        if !stopped && left > 0 {
            return Err(DriverError::StillThere { left });
        }
        self.shared.ledger().release();
        Ok(())
    }
}

impl Driver for ProcessDriver {
    fn name(&self) -> &'static str {
        "process"
    }

    fn scale(&self, order: Order) -> DriverFuture<'_> {
        Box::pin(async move { self.order(&order) })
    }

    fn instances(&self) -> Option<Vec<Driven>> {
        Some(self.shared.table().entries.values().map(|entry| entry.driven.clone()).collect())
    }

    fn shutdown(&self) -> DriverFuture<'_> {
        Box::pin(self.stop_all())
    }
}

impl Drop for ProcessDriver {
    fn drop(&mut self) {
        let table = self.shared.table();
        table.entries.values().for_each(|entry| entry.task.abort());
    }
}

impl fmt::Debug for ProcessDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessDriver").field("settings", &self.shared.settings).finish_non_exhaustive()
    }
}

impl Entry {
    fn lives(&self) -> bool {
        self.driven.stage != Stage::Stopping
    }

    fn stop(&mut self) {
        self.driven.stage = Stage::Stopping;
        self.stop.send_replace(true);
    }
}

/// Of all that an instance is made of. Another version of Rust may hash otherwise: then instances are stopped instead of adopted.
fn fingerprint(settings: &ProcessSettings) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&settings.command, &settings.environment, settings.inherit_environment).hash(&mut hasher);
    (&settings.directory, settings.host).hash(&mut hasher);
    hasher.finish()
}
