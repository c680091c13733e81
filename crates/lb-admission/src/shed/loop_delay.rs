//! How late the event loop wakes.
//!
//! A task that asks to be woken at an instant is woken when the loop gets to it. The difference is what every other task
//! waits as well: it shows a loop that is blocked or has too much to do, before clients see it as latency. One value may be
//! shared by the loops of all workers; the worst counts.
//!
//! The last second is kept in ten slices, each with the worst delay in it. A loop shows its delay once it wakes: while it is
//! still blocked nothing is seen of it, and [`LoopDelay::worst`] knows nothing when no loop woke for a second.

use lb_types::Nanos;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SLICES: u64 = 10;
const SLICE_MS: u64 = 100;
const DELAY_BITS: u32 = 32;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct LoopDelay {
    /// The slice's number (from 1 on, so that 0 is none) above [`DELAY_BITS`], the worst delay in µs below: the greater word
    /// is that of the later slice, and within a slice that of the worse delay.
    slices: [AtomicU64; SLICES as usize],
}

impl LoopDelay {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A task that was to wake at `expected` woke at `now`.
    pub fn record(&self, expected: Nanos, now: Nanos) {
        let delay = (now - expected).as_micros().min(u64::from(u32::MAX));
        let slice = number(now);
        let slot = &self.slices[(slice % SLICES) as usize];
        slot.fetch_max(slice << DELAY_BITS | delay, Ordering::Relaxed);
    }

    /// The worst delay of the last second; `None`: nothing woke in it.
    pub fn worst(&self, now: Nanos) -> Option<Duration> {
        let last = number(now);
        let recent = self.slices.iter().filter_map(|slot| {
            let word = slot.load(Ordering::Relaxed);
            let slice = word >> DELAY_BITS;
            (slice != 0 && slice + SLICES > last).then_some(word & u64::from(u32::MAX))
        });
        recent.max().map(Duration::from_micros)
    }

    /// Measures the loop that polls it, until it is dropped: asks to be woken each `interval` (50 ms are enough) and
    /// records how late that was. The runtime's timer alone makes it a millisecond or two.
    #[cfg(feature = "runtime")]
    pub async fn measure(
        &self,
        clock: &impl lb_types::Clock,
        interval: Duration,
    ) -> std::convert::Infallible {
        loop {
            let expected = clock.now() + interval.into();
            tokio::time::sleep(interval).await;
            self.record(expected, clock.now());
        }
    }
}

fn number(now: Nanos) -> u64 {
    now.as_millis() / SLICE_MS + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    const MS: fn(u64) -> Nanos = Nanos::from_millis;

    #[test]
    fn the_worst_of_the_last_second() {
        let delay = LoopDelay::new();
        assert_eq!(delay.worst(MS(5_000)), None);
        delay.record(MS(1_000), MS(1_250));
        delay.record(MS(1_290), MS(1_291));
        assert_eq!(delay.worst(MS(1_300)), Some(Duration::from_millis(250)));
        delay.record(MS(2_000), MS(2_003));
        assert_eq!(delay.worst(MS(2_199)), Some(Duration::from_millis(250)));
        assert_eq!(delay.worst(MS(2_200)), Some(Duration::from_millis(3)));
        assert_eq!(delay.worst(MS(9_000)), None);
        delay.record(MS(9_100), MS(9_000));
        assert_eq!(delay.worst(MS(9_000)), Some(Duration::ZERO), "early is not late");
    }

    proptest! {
        /// Against a list, of which those in the ten latest slices are looked at.
        #[test]
        fn as_a_list_of_delays(steps in prop::collection::vec((0u64..300, 0u64..500), 1..100)) {
            let (delay, mut now, mut list) = (LoopDelay::new(), 600, Vec::new());
            for (step, late) in steps {
                now += step;
                delay.record(MS(now - late), MS(now));
                list.push((now, late));
                let inside = list.iter().filter(|&&(at, _)| now / 100 - at / 100 < 10);
                let worst = inside.map(|&(_, late)| Duration::from_millis(late)).max();
                prop_assert_eq!(delay.worst(MS(now)), worst);
            }
        }
    }

    #[cfg(feature = "runtime")]
    #[tokio::test(start_paused = true)]
    async fn a_loop_that_is_held_up_is_seen() {
        use lb_types::{Clock, ManualClock};
        use std::sync::Arc;

        let (delay, clock) = (Arc::new(LoopDelay::new()), Arc::new(ManualClock::new(MS(1_000))));
        let task = {
            let (delay, clock) = (Arc::clone(&delay), Arc::clone(&clock));
            tokio::spawn(async move { delay.measure(&clock, Duration::from_millis(50)).await })
        };
        tokio::task::yield_now().await;
        // The clock goes on by 170 ms before the loop gets to the timer.
        clock.advance(Duration::from_millis(170));
        tokio::time::advance(Duration::from_millis(170)).await;
        while delay.worst(clock.now()).is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(delay.worst(clock.now()), Some(Duration::from_millis(120)));
        task.abort();
    }
}
