//! A command of the user's is run for each order: [`ExecDriver`]. Linux only.
//!
//! `scale.sh {desired}`, `kubectl scale deployment web --replicas={desired}`: who it talks to keeps the instances, and they come
//! to the pool by discovery. Exit status 0 is agreement; all else is tried again. A command that takes too long is stopped
//! with all that it started, and never outlives us.
//!
//! ```
//! use lb_autoscale::driver::exec::{ExecDriver, ExecSettings};
//! use lb_autoscale::{Driver, Order};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), lb_autoscale::DriverError> {
//! let settings = ExecSettings::new(["test", "{desired}", "-gt", "{current}"]);
//! let driver = ExecDriver::new(settings, None)?;
//! driver.scale(Order::new(3, 2)).await?; // `test 3 -gt 2` agrees
//! # Ok(())
//! # }
//! ```
//!
//! Not here: what instances there are ([`Driver::instances`] is `None`), and whether the order came true.

use super::child::mark::Mark;
use super::child::output::Output;
use super::child::spawn::{Spec, spawn};
use super::event::{DriverEvent, EventSink, Happening};
use super::latest::Latest;
use super::retry::{Retry, within};
use super::template;
use super::{Driven, Driver, DriverError, DriverFuture, Order};
use lb_types::SettingsError;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What may be filled in.
const PLACES: &[&str] = &["desired", "current", "going", "reason"];
/// How long a command that took too long may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecSettings {
    /// The program and its arguments, with `{desired}`, `{current}`, `{going}` (ids, separated by commas) and `{reason}` filled in. There is
    /// no shell. The same values are in the environment as `EDGE_LB_DESIRED`, `EDGE_LB_CURRENT` and so on. No default.
    pub command: Vec<String>,
    /// More variables of the environment, with the same places.
    pub environment: BTreeMap<String, String>,
    /// The working directory, default our own.
    pub directory: Option<PathBuf>,
    /// How long it may take, default 30 s (10 ms – 1 h).
    pub timeout: Duration,
    /// How often and when it is run again, default 5 tries, 500 ms doubling to 30 s.
    pub retry: Retry,
}

impl ExecSettings {
    /// This command; the rest as documented.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            environment: BTreeMap::new(),
            directory: None,
            timeout: Duration::from_secs(30),
            retry: Retry::default(),
        }
    }

    /// One more variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Another working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Another time limit.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Other tries.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        template::check_command(&self.command, PLACES)?;
        template::check_environment(&self.environment, PLACES)?;
        within("timeout", self.timeout, Duration::from_millis(10))?;
        self.retry.validate()
    }
}

/// Runs the command.
pub struct ExecDriver {
    settings: ExecSettings,
    events: Option<EventSink>,
    latest: Latest,
}

impl ExecDriver {
    /// A driver that runs this, and tells of its tries.
    ///
    /// # Errors
    /// A setting is out of its bounds.
    pub fn new(settings: ExecSettings, events: Option<EventSink>) -> Result<Self, DriverError> {
        settings.validate()?;
        Ok(Self { settings, events, latest: Latest::new() })
    }

    async fn carry_out(&self, order: &Order) -> Result<(), DriverError> {
        let mut turn = self.latest.turn().await?;
        let retry = &self.settings.retry;
        let mut tries = 0;
        loop {
            let result = self.once(order).await;
            tries += 1;
            let Err(reason) = result else {
                self.tell(Happening::Ordered { desired: order.desired, tries });
                return Ok(());
            };
            if tries >= retry.tries {
                return Err(DriverError::Failed { tries, reason });
            }
            let retry_in = retry.wait(tries - 1, fastrand::f64());
            self.tell(Happening::Retrying { tries, reason, retry_in });
            turn.wait(retry_in).await?;
        }
    }

    async fn once(&self, order: &Order) -> Result<(), String> {
        let output = Output::new(None);
        let mut group = spawn(self.spec(order), output.clone()).await?;
        let limit = self.settings.timeout;
        let how = match tokio::time::timeout(limit, group.ended()).await {
            Ok(how) if how == "exit status: 0" => return Ok(()),
            Ok(how) => how,
            Err(_) => {
                let stopped = group.stop(GRACE).await;
                let killed = if stopped.killed { ", and killed" } else { "" };
                format!("not done within {limit:?}: {}{killed}", stopped.how)
            }
        };
        Err(match output.last() {
            Some(line) => format!("{how}; it said {line:?}"),
            None => how,
        })
    }

    fn spec(&self, order: &Order) -> Spec {
        let (desired, current) = (order.desired.to_string(), order.current.to_string());
        let going: Vec<&str> = order.going.iter().map(AsRef::as_ref).collect();
        let going = going.join(",");
        // A NUL may stand in no argument.
        let reason = order.reason.replace('\0', " ");
        let values =
            [("desired", &*desired), ("current", &*current), ("going", &*going), ("reason", &*reason)];
        let said = values
            .iter()
            .map(|(name, value)| (format!("EDGE_LB_{}", name.to_ascii_uppercase()), (*value).to_owned()));
        let own = self.settings.environment.iter();
        let own = own.map(|(name, value)| (name.clone(), template::fill(value, &values)));
        Spec {
            argv: self.settings.command.iter().map(|text| template::fill(text, &values)).collect(),
            environment: said.chain(own).collect(),
            inherit_environment: true,
            directory: self.settings.directory.clone(),
            mark: Mark::new(),
            stay: false,
        }
    }

    fn tell(&self, what: Happening) {
        if let Some(events) = &self.events {
            events(&DriverEvent { id: None, what });
        }
    }
}

impl Driver for ExecDriver {
    fn name(&self) -> &'static str {
        "exec"
    }

    fn scale(&self, order: Order) -> DriverFuture<'_> {
        Box::pin(async move { self.carry_out(&order).await })
    }

    fn instances(&self) -> Option<Vec<Driven>> {
        None
    }

    fn shutdown(&self) -> DriverFuture<'_> {
        Box::pin(async {
            self.latest.close().await;
            Ok(())
        })
    }
}

impl fmt::Debug for ExecDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecDriver").field("settings", &self.settings).finish_non_exhaustive()
    }
}
