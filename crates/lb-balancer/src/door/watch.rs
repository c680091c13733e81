//! Reads how loaded the machine is, and tells the shedder.

use crate::LoadBalancer;
use lb_admission::shed::Readings;
use lb_admission::shed::readings::Sampler;
use lb_types::{Clock, Nanos, SystemClock};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often the machine is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// The process's one sampler, and what it read last: all pools see the same machine.
static MACHINE: Mutex<Option<Machine>> = Mutex::new(None);

struct Machine {
    sampler: Sampler,
    last: Readings,
    read: Nanos,
}

/// The readings of this moment, or of half an interval ago.
fn machine() -> Readings {
    let now = SystemClock::process().now();
    let mut machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    let m = machine.get_or_insert_with(|| Machine {
        sampler: Sampler::new("/"),
        last: Readings::default(),
        read: Nanos::ZERO,
    });
    if now - m.read >= Nanos::from(INTERVAL / 2) || m.read == Nanos::ZERO {
        m.last = m.sampler.sample(now);
        m.read = now;
    }
    m.last
}

/// Feeds the shedder for ever.
pub(crate) async fn watch(lb: LoadBalancer) {
    let Some(shedder) = lb.shedder() else { return };
    loop {
        let mut readings = machine();
        readings.queue = lb.queue().map(lb_admission::queue::Queue::len);
        let now = lb.pool().now();
        readings.loop_delay = lb.loop_delay().and_then(|delay| delay.worst(now));
        shedder.observe(now, &readings);
        tokio::time::sleep(INTERVAL).await;
    }
}
