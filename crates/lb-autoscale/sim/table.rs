//! All shapes with all contenders over all seeds, and the means.

use super::contender::by_name;
use super::shape;
use super::world::{Cost, run};

/// A shape, and the mean cost of each contender over the seeds.
pub(crate) struct Row {
    pub(crate) shape: &'static str,
    pub(crate) costs: Vec<Cost>,
}

/// Runs every shape with these contenders.
pub(crate) fn rows(seeds: std::ops::Range<u64>, names: &[&str]) -> Vec<Row> {
    let mut rows: Vec<Row> = shape::all(0)
        .iter()
        .map(|shape| Row { shape: shape.name, costs: vec![Cost::default(); names.len()] })
        .collect();
    let runs = (seeds.end - seeds.start) as f64;
    for seed in seeds {
        for (row, shape) in rows.iter_mut().zip(shape::all(seed)) {
            for (sum, name) in row.costs.iter_mut().zip(names) {
                add(sum, &run(&shape, by_name(name, seed).as_mut(), seed), runs);
            }
        }
    }
    rows
}

/// The mean over shapes, for each contender.
pub(crate) fn mean(rows: &[Row]) -> Vec<Cost> {
    let contenders = rows.first().map_or(0, |row| row.costs.len());
    let mut means = vec![Cost::default(); contenders];
    for row in rows {
        for (sum, cost) in means.iter_mut().zip(&row.costs) {
            add(sum, cost, rows.len() as f64);
        }
    }
    means
}

fn add(sum: &mut Cost, cost: &Cost, parts: f64) {
    sum.short_s += cost.short_s / parts;
    sum.over_s += cost.over_s / parts;
    sum.paid_s += cost.paid_s / parts;
    sum.actions += cost.actions / parts;
    sum.failed += cost.failed / parts;
}
