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
    let driver = make(name, driver, &events)?;
    let settings = ScaleSettings::new(scale)
        .drain_grace(drain_grace)
        .replace_unhealthy_after(replace_unhealthy_after)
        .events(events);
    Ok(builder.auto_scaler(settings, driver, template))
}

fn make(pool: &str, driver: ScaleDriver, events: &ScaleEvents) -> Result<Arc<dyn Driver>, AssembleError> {
    fn shared<D: Driver>(driver: D) -> Arc<dyn Driver> {
        Arc::new(driver)
    }
    let made = match driver {
        #[cfg(target_os = "linux")]
        ScaleDriver::Process(s) => ProcessDriver::new(s, Hooks::new().events(events.sink())).map(shared),
        #[cfg(target_os = "linux")]
        ScaleDriver::Exec(s) => ExecDriver::new(s, Some(events.sink())).map(shared),
        ScaleDriver::Webhook(s) => WebhookDriver::new(s, Some(events.sink())).map(shared),
        ScaleDriver::Kubernetes(w) => return super::kubernetes::driver(pool, w, events),
        _ => return Err(AssembleError::ScaleDriverKind { pool: pool.to_owned() }),
    };
    made.map_err(|error: DriverError| AssembleError::ScaleDriver { pool: pool.to_owned(), error })
}
