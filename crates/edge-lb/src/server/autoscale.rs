//! From a pool's `autoscale` to the driver that makes its instances.

use super::AssembleError;
#[cfg(target_os = "linux")]
use lb_autoscale::driver::exec::ExecDriver;
#[cfg(target_os = "linux")]
use lb_autoscale::driver::process::{Hooks, ProcessDriver};
use lb_autoscale::driver::webhook::WebhookDriver;
use lb_autoscale::{Driver, DriverError};
use lb_balancer::{LoadBalancerBuilder, ScaleEvents, ScaleSettings};
use lb_config::{Autoscale, ScaleDriver};
use std::sync::Arc;

/// Gives the balancer its driver. One of processes takes over, or stops, what the state file knows of.
pub(super) fn scaled(
    name: &str,
    builder: LoadBalancerBuilder,
    autoscale: Autoscale,
) -> Result<LoadBalancerBuilder, AssembleError> {
    let Autoscale { scale, drain_grace, replace_unhealthy_after, driver, template, .. } = autoscale;
    // Its tasks live on a runtime.
    tokio::runtime::Handle::try_current().map_err(|_| AssembleError::NoRuntime)?;
    let events = ScaleEvents::new();
    let made =
        make(driver, &events).ok_or_else(|| AssembleError::ScaleDriverKind { pool: name.to_owned() })?;
    let driver = made.map_err(|error| AssembleError::ScaleDriver { pool: name.to_owned(), error })?;
    let settings = ScaleSettings::new(scale)
        .drain_grace(drain_grace)
        .replace_unhealthy_after(replace_unhealthy_after)
        .events(events);
    Ok(builder.auto_scaler(settings, driver, template))
}

/// `None`: a kind that this version does not know, or that this system does not bear (`process` and `exec` are of Linux).
fn make(driver: ScaleDriver, events: &ScaleEvents) -> Option<Result<Arc<dyn Driver>, DriverError>> {
    fn shared<D: Driver>(driver: D) -> Arc<dyn Driver> {
        Arc::new(driver)
    }
    Some(match driver {
        #[cfg(target_os = "linux")]
        ScaleDriver::Process(s) => ProcessDriver::new(s, Hooks::new().events(events.sink())).map(shared),
        #[cfg(target_os = "linux")]
        ScaleDriver::Exec(s) => ExecDriver::new(s, Some(events.sink())).map(shared),
        ScaleDriver::Webhook(s) => WebhookDriver::new(s, Some(events.sink())).map(shared),
        _ => return None,
    })
}
