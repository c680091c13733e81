//! The balancer's figures while requests run.

use crate::support::{builder, ok, pick};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// Enough that some readings fall into the end of a request: each request is followed by a reading or two.
const READINGS: usize = 60_000;

/// Figures are read one after the other, and a request that ended between two was counted twice or not at all: a counter that goes down
/// looks to Prometheus like a restart, and like as many new requests as there ever were.
#[test]
fn the_count_of_requests_never_goes_down() {
    let lb = builder(&["a"]).build().unwrap();
    let (stops, readings) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stops.load(SeqCst) {
                pick(&lb).complete(ok(1));
                // The next one would hide what a reading has got wrong.
                let known = readings.load(SeqCst);
                while readings.load(SeqCst) < known + 2 && !stops.load(SeqCst) {
                    std::hint::spin_loop();
                }
            }
        });
        let mut last = 0;
        let down = (0..READINGS).find_map(|_| {
            let now = lb.metrics().requests;
            readings.fetch_add(1, SeqCst);
            let before = std::mem::replace(&mut last, now);
            (now < before).then_some((before, now))
        });
        stops.store(true, SeqCst);
        assert_eq!(down, None, "from, to");
    });
}
