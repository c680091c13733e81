//! How guarded rollouts end, in simulation: `cargo run --release -p lb-split --example rollout_sim [RUNS]`.
//!
//! A thousand requests a second, looked at every five seconds, steps of 2 minutes, 10 minutes of patience, 1 % of the old side's requests fail. Seeds
//! count from 0: the table is always the same.

#[path = "../tests/world/mod.rs"]
mod world;

use lb_split::{Percent, RolloutDecision, RolloutSettings};
use std::time::Duration;
use world::{Run, World, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runs: u64 = std::env::args().nth(1).map_or(Ok(1_000), |runs| runs.parse())?;
    println!("{runs} runs each; times are medians of those that ended so\n");
    println!(
        "| new − old | margin | steps | α | rolled back | in the first step | after | new requests | promoted | after | inconclusive | a repeated z-test |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for steps in [&[5.0, 25.0, 50.0][..], &[1.0, 5.0, 25.0, 50.0]] {
        for alpha in [0.01, 0.05] {
            for difference in [0.0, 0.0025, 0.005, 0.01, 0.02, 0.05] {
                table_row(runs, steps, alpha, difference, 0.005)?;
            }
        }
    }
    // The hardest for false rollbacks: no margin, equal sides.
    table_row(runs, &[5.0, 25.0, 50.0], 0.05, 0.0, 0.0)
}

fn table_row(
    runs: u64,
    steps: &[f64],
    alpha: f64,
    difference: f64,
    margin: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let percents = steps.iter().map(|&p| Percent::try_from(p)).collect::<Result<Vec<_>, _>>()?;
    let settings = RolloutSettings::new()
        .steps(percents.into_iter().map(|p| (p, Duration::from_secs(120))))
        .patience(Duration::from_secs(600))
        .error_difference_max(Some(margin))
        .false_rollback_max(alpha);
    let world = World::new(0.01, 0.01 + difference);
    let all: Vec<Run> = (0..runs).map(|seed| run(&world, &settings, seed)).collect();
    let back: Vec<&Run> = all.iter().filter(|run| run.rolled_back()).collect();
    let first = back.iter().filter(|run| run.step == 0).count();
    let promoted: Vec<&Run> = all.iter().filter(|run| run.end == RolloutDecision::Promote).collect();
    let unclear = all.iter().filter(|run| run.end == RolloutDecision::Inconclusive).count();
    let naive = all.iter().filter(|run| run.naive_alarm).count();
    let percent = |n: usize| format!("{:.1} %", 100.0 * n as f64 / runs as f64);
    println!(
        "| {:+.2} % | {} % | {steps:?} | {alpha} | {} | {} | {} | {} | {} | {} | {} | {} |",
        100.0 * difference,
        100.0 * margin,
        percent(back.len()),
        percent(first),
        median(&back, |run| run.seconds, " s"),
        median(&back, |run| run.new_requests, ""),
        percent(promoted.len()),
        median(&promoted, |run| run.seconds, " s"),
        percent(unclear),
        percent(naive),
    );
    Ok(())
}

fn median(runs: &[&Run], of: impl Fn(&Run) -> u64, unit: &str) -> String {
    let mut values: Vec<u64> = runs.iter().map(|run| of(run)).collect();
    values.sort_unstable();
    values.get(values.len() / 2).map_or("–".into(), |value| format!("{value}{unit}"))
}
