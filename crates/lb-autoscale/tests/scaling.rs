//! What docs/autoscaling.md claims of the simulation, on seeds of its own. The example `scaling_sim` prints all rows.

#[path = "../sim/mod.rs"]
mod sim;

use sim::contender::NAMES;
use sim::table::{Row, mean, rows};
use sim::world::Cost;

fn of<'a>(costs: &'a [Cost], name: &str) -> &'a Cost {
    let at = NAMES.iter().position(|other| *other == name).expect("one of NAMES");
    &costs[at]
}

fn row<'a>(rows: &'a [Row], shape: &str) -> &'a Row {
    rows.iter().find(|row| row.shape == shape).expect("a shape of this name")
}

/// On other seeds than the documentation's table, so that it is no table of lucky ones.
#[test]
fn sooner_adequate_than_the_hpa_for_no_more() {
    let names = ["target in-flight", "hpa cpu", "hpa requests"];
    let seeds = 1_000..1_020;
    let rows = rows(seeds.clone(), &names);
    assert!(rows.len() >= 20);
    let [ours, peers @ ..] = &mean(&rows)[..] else { panic!("three contenders") };
    println!("seeds {seeds:?}: ours {ours:?}");
    for (name, peer) in names[1..].iter().zip(peers) {
        println!("{name} {peer:?}");
        assert!(ours.short_s < peer.short_s, "{name}: {peer:?}, ours {ours:?}");
        assert!(ours.paid_s <= peer.paid_s, "{name}: {peer:?}, ours {ours:?}");
        assert!(ours.over_s <= peer.over_s, "{name}: {peer:?}, ours {ours:?}");
        assert!(ours.failed < peer.failed, "{name}: {peer:?}, ours {ours:?}");
    }
}

#[test]
fn the_world_is_as_it_says() {
    let rows = rows(5..6, &NAMES);
    let steady = row(&rows, "steady");
    for (name, cost) in NAMES.iter().zip(&steady.costs) {
        assert_eq!((cost.short_s, cost.failed), (0.0, 0.0), "{name}");
    }
    // 500 a second at 60 of each are nine instances for an hour.
    assert_eq!(of(&steady.costs, "fixed at peak").paid_s, 9.0 * 3_600.0);
    // A size for the peak is never short unless instances die; a size for the mean is.
    for row in &rows {
        assert!(
            of(&row.costs, "fixed at peak").short_s == 0.0 || row.shape.starts_with("outage"),
            "{}",
            row.shape
        );
    }
    assert!(of(&row(&rows, "spike 5 min").costs, "fixed at mean").failed > 0.0);
    // Nobody is ready sooner than an instance starts: a step is felt for ten seconds at least.
    for name in NAMES.iter().filter(|name| !name.starts_with("fixed")) {
        assert!(of(&row(&rows, "step x8").costs, name).short_s >= 10.0, "{name}");
    }
}

#[test]
fn the_same_seed_gives_the_same_table() {
    let (one, other) = (rows(3..4, &NAMES), rows(3..4, &NAMES));
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(format!("{:?}", one.costs), format!("{:?}", other.costs), "{}", one.shape);
    }
}
