//! How many backends there are, and who makes them.

use super::KubernetesWorkload;
use lb_autoscale::driver::exec::ExecSettings;
use lb_autoscale::driver::process::ProcessSettings;
use lb_autoscale::driver::webhook::WebhookSettings;
use lb_autoscale::{AutoScale, InstanceTemplate};
use std::time::Duration;

/// A pool's auto-scaling.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Autoscale {
    /// How many, and by what.
    pub scale: AutoScale,
    /// How long an instance that goes may finish what it has, default 30 s.
    pub drain_grace: Duration,
    /// How long an instance's health check may fail before it is replaced, default 60 s. `None`: for ever.
    pub replace_unhealthy_after: Option<Duration>,
    /// Who makes instances.
    pub driver: ScaleDriver,
    /// What they become, with a driver that keeps a list.
    pub template: InstanceTemplate,
}

/// Who makes instances.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ScaleDriver {
    /// Processes of this machine.
    Process(ProcessSettings),
    /// A command that is run with the number.
    Exec(ExecSettings),
    /// A URL that the number is posted to.
    Webhook(WebhookSettings),
    /// A workload of Kubernetes.
    Kubernetes(KubernetesWorkload),
}
