//! How we scale, beside Kubernetes' HPA and fixed sizes: `cargo run --release -p lb-autoscale --example scaling_sim`.
//!
//! (Other seeds: `-- FIRST RUNS`; those of the documentation are `0 20`.) Prints each shape with each contender, as means over the seeds, and the means over the shapes. The model is in `sim/`.

#[path = "../sim/mod.rs"]
mod sim;

use sim::contender::NAMES;
use sim::table::{mean, rows};
use sim::world::Cost;

fn print(shape: &str, costs: &[Cost]) {
    for (name, c) in NAMES.iter().zip(costs) {
        println!(
            "{shape:<15} {name:<19} {:>8.1} {:>10.0} {:>10.0} {:>8.1} {:>9.0}",
            c.short_s, c.over_s, c.paid_s, c.actions, c.failed
        );
    }
    println!();
}

fn main() -> Result<(), std::num::ParseIntError> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let first = arguments.next().transpose()?.unwrap_or(0);
    let runs = arguments.next().transpose()?.unwrap_or(20).clamp(1, 10_000);
    let seeds = first..first.saturating_add(runs);
    println!("Means over the seeds {seeds:?}; an hour each.");
    println!("short: seconds until the capacity was adequate again, all rises together");
    println!("over, paid: instance-seconds above the need, and in all\n");
    println!(
        "{:<15} {:<19} {:>8} {:>10} {:>10} {:>8} {:>9}",
        "shape", "", "short s", "over", "paid", "actions", "failed"
    );
    let rows = rows(seeds, &NAMES);
    for row in &rows {
        print(row.shape, &row.costs);
    }
    print("mean", &mean(&rows));
    Ok(())
}
