//! Two builds of edge-lb against each other: is B cheaper than A?
//!
//! Alternated pairs (A B, B A, A B …) of runs under the same load; the difference within a pair cancels what drifts slowly
//! on a shared machine. The result is the mean difference of CPU µs per request with its 95 % interval.

use serde_json::json;

use super::load::{Effort, Sample, Shape, Stage, measure};
use super::report::{Section, Table};
use super::server::Subject;
use super::stats::{Mean, Range};
use crate::error::{Context, Result};

pub(super) fn run(
    stage: &mut Stage<'_>,
    shape: &Shape,
    effort: Effort,
    subjects: &[Subject; 2],
) -> Result<Section> {
    let mut servers = Vec::new();
    for subject in subjects {
        let mut server = subject.start(stage.origin.ports, stage.scratch, stage.limits)?;
        measure(stage.wrk, &mut server, shape, 1).context(&subject.name)?;
        servers.push(server);
    }
    let mut pairs = Vec::new();
    for pair in 0..effort.rounds {
        eprintln!("{}: pair {} of {}", shape.name, pair + 1, effort.rounds);
        let mut samples: [Option<Sample>; 2] = [None; 2];
        let order = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
        for at in order {
            let sample = measure(stage.wrk, &mut servers[at], shape, effort.seconds);
            samples[at] = Some(sample.context(&subjects[at].name)?);
        }
        let [Some(a), Some(b)] = samples else { continue };
        pairs.push((a.cpu_us(), b.cpu_us()));
    }
    stage.origin.check()?;
    section(shape, &pairs)
}

fn section(shape: &Shape, pairs: &[(f64, f64)]) -> Result<Section> {
    let column = |figure: fn(&(f64, f64)) -> f64| pairs.iter().map(figure).collect::<Vec<f64>>();
    let columns = [
        ("A", column(|pair| pair.0)),
        ("B", column(|pair| pair.1)),
        ("B − A", column(|pair| pair.1 - pair.0)),
    ];
    let mut table = Table {
        header: vec!["CPU µs/req", "mean", "± 95 %", "median", "min", "max", "deviation"],
        rows: Vec::new(),
    };
    for (name, values) in &columns {
        let mean = Mean::of(values).context("a comparison needs two pairs")?;
        let range = Range::of(values.iter().copied()).context("a comparison needs two pairs")?;
        let figures = [mean.mean, mean.margin, range.median, range.min, range.max, mean.deviation];
        table.rows.push(
            std::iter::once((*name).to_owned()).chain(figures.map(|figure| format!("{figure:.3}"))).collect(),
        );
    }
    let base = Mean::of(&columns[0].1).context("a comparison needs two pairs")?;
    let difference = Mean::of(&columns[2].1).context("a comparison needs two pairs")?;
    Ok(Section {
        name: shape.name,
        what: format!(
            "A and B in {} alternated pairs, GET {}, {} connections",
            pairs.len(),
            shape.path,
            shape.connections
        ),
        table,
        notes: vec![verdict(base.mean, difference)],
        problems: Vec::new(),
        bars: Vec::new(),
        unit: "CPU µs per request",
        json: json!({
            "pairs": pairs, "difference_us": difference.mean, "margin_us": difference.margin, "base_us": base.mean,
        }),
    })
}

fn verdict(base: f64, difference: Mean) -> String {
    let percent = |us: f64| us / base * 100.0;
    let figures = format!(
        "{:+.3} ± {:.3} µs per request ({:+.1} % ± {:.1} %)",
        difference.mean,
        difference.margin,
        percent(difference.mean),
        percent(difference.margin)
    );
    let word = if difference.mean.abs() <= difference.margin {
        "no difference seen"
    } else if difference.mean < 0.0 {
        "B is cheaper"
    } else {
        "B is dearer"
    };
    format!("{word}: {figures}")
}

#[cfg(test)]
mod tests {
    use super::section;
    use crate::bench::load::SMALL;

    #[test]
    fn a_difference_is_told_from_noise() {
        let noise = [0.1, -0.2, 0.15, -0.05, 0.0, 0.1, -0.1];
        let pairs = |shift: f64| noise.map(|noise| (10.0 + noise, 10.0 - noise + shift));
        let note = |shift| section(&SMALL, &pairs(shift)).expect("seven pairs").notes.remove(0);
        assert!(note(0.0).starts_with("no difference seen"), "{}", note(0.0));
        assert!(note(-1.0).starts_with("B is cheaper: -1.000"), "{}", note(-1.0));
        assert!(note(2.0).starts_with("B is dearer: +2.000"), "{}", note(2.0));
        assert!(note(-1.0).contains("(-10.0 %"), "{}", note(-1.0));
    }

    #[test]
    fn one_pair_is_no_comparison() {
        assert!(section(&SMALL, &[(1.0, 2.0)]).is_err());
    }
}
