//! What this machine bears at present, a few times, and what a sample costs:
//! `cargo run --release -p lb-admission --features readings --example readings`.

use lb_admission::Priority;
use lb_admission::shed::{Readings, Sampler, ShedSettings, Shedder};
use lb_types::{Clock, Nanos, SystemClock};
use std::hint::black_box;
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (clock, mut sampler) = (SystemClock::new(), Sampler::new("/"));
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(100)); // tidy-allow: sleep: the time between two samples
        println!("{:?}", sampler.sample(clock.now()));
    }

    let least = |calls: u64, call: &mut dyn FnMut()| {
        let rounds = (0..20).map(|_| {
            let began = clock.now();
            (0..calls).for_each(|_| call());
            (clock.now() - began).0 as f64 / calls as f64
        });
        rounds.fold(f64::INFINITY, f64::min)
    };
    let mut tick = 0;
    let sample = least(200, &mut || {
        tick += 1; // each a tenth of a second after the last, so that nothing is left out
        black_box(sampler.sample(Nanos::from_secs(10) + Nanos::from_millis(tick * 100)));
    });
    println!("a sample           {:>8.1} µs", sample / 1e3);

    let shedder = Shedder::new(ShedSettings::new())?;
    let admit = |name| {
        let ns = least(1_000_000, &mut || {
            black_box(black_box(&shedder).admit(black_box(Priority::NORMAL)).is_ok());
        });
        println!("{name} {ns:>8.1} ns");
    };
    admit("admit, nothing shed");
    let overload = Readings { cpu: Some(90.0), ..Readings::default() };
    (0..6).for_each(|tick| shedder.observe(Nanos::from_millis(tick * 100), &overload));
    admit("admit, a share shed");
    Ok(())
}
