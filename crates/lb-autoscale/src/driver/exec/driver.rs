//! The driver itself: runs the command until it agrees.

use super::settings::ExecSettings;
use crate::driver::child::mark::Mark;
use crate::driver::child::output::Output;
use crate::driver::child::spawn::{Spec, spawn};
use crate::driver::event::EventSink;
use crate::driver::latest::{Latest, Refused};
use crate::driver::template;
use crate::driver::{Driven, Driver, DriverError, DriverFuture, Order};
use std::fmt;
use std::time::Duration;

/// How long a command that took too long may take to end.
const GRACE: Duration = Duration::from_secs(5);

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

    async fn once(&self, order: &Order) -> Result<(), Refused> {
        let refused = |reason| Refused { reason, again: true };
        let output = Output::new(None);
        let mut group = spawn(self.spec(order), output.clone()).await.map_err(refused)?;
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
        Err(refused(match output.last() {
            Some(line) => format!("{how}; it said {line:?}"),
            None => how,
        }))
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
}

impl Driver for ExecDriver {
    fn name(&self) -> &'static str {
        "exec"
    }

    fn scale(&self, order: Order) -> DriverFuture<'_> {
        Box::pin(async move {
            let (retry, events) = (&self.settings.retry, self.events.as_ref());
            self.latest.pass_on(&order, retry, events, |_| self.once(&order)).await
        })
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
