//! Load shapes: requests a second at each second of an hour, and what goes wrong meanwhile.

use fastrand::Rng;
use std::f64::consts::TAU;

/// How long a run is, in s.
pub(crate) const RUN_S: usize = 3_600;

/// An hour of load.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Arrivals a second, for each second.
    pub(crate) rps: Vec<f64>,
    /// At this second half of the ready instances die.
    pub(crate) outage_s: Option<usize>,
    /// From the one second to the other nobody gets any metrics.
    pub(crate) blind_s: Option<(usize, usize)>,
}

/// All of them. The noise is the seed's.
pub(crate) fn all(seed: u64) -> Vec<Shape> {
    let mut rng = Rng::with_seed(seed ^ 0x5ca1e);
    let step = |from: f64, to: f64| move |t: f64| if t < 600.0 { from } else { to };
    let pulse = |low: f64, high: f64, long: f64| {
        move |t: f64| if (900.0..900.0 + long).contains(&t) { high } else { low }
    };
    let ramp = |from: f64, to: f64, over: f64| {
        move |t: f64| from + (to - from) * ((t - 600.0) / over).clamp(0.0, 1.0)
    };
    let sine = |mean: f64, swing: f64, period: f64| move |t: f64| mean + swing * (TAU * t / period).sin();
    let steady = |rps: f64| move |_: f64| rps;
    let stairs = |t: f64| 200.0 + 150.0 * (t / 600.0).floor().min(5.0);
    let stairs_down = |t: f64| 950.0 - 150.0 * (t / 600.0).floor().min(5.0);
    let day = |t: f64| 150.0 + 850.0 * (-((t - 1_800.0) / 600.0).powi(2)).exp();
    let sawtooth = |t: f64| 200.0 + 700.0 * ((t % 900.0) / 900.0);
    let gone = |t: f64| if (1_200.0..1_320.0).contains(&t) { 0.0 } else { 600.0 };
    let flash = |t: f64| {
        let since = t - 900.0;
        if since < 0.0 {
            200.0
        } else {
            200.0 + 1_000.0 * (since / 60.0).min(1.0) * (-(since - 60.0).max(0.0) / 600.0).exp()
        }
    };
    let mut shapes = vec![
        shape("steady", &mut rng, 0.0, steady(500.0)),
        shape("step x2", &mut rng, 0.0, step(300.0, 600.0)),
        shape("step x4", &mut rng, 0.0, step(250.0, 1_000.0)),
        shape("step x8", &mut rng, 0.0, step(130.0, 1_040.0)),
        shape("step down", &mut rng, 0.0, step(1_000.0, 250.0)),
        shape("stairs up", &mut rng, 0.0, stairs),
        shape("stairs down", &mut rng, 0.0, stairs_down),
        shape("ramp 30 min", &mut rng, 0.0, ramp(200.0, 1_000.0, 1_800.0)),
        shape("ramp 5 min", &mut rng, 0.0, ramp(200.0, 1_000.0, 300.0)),
        shape("ramp 1 min", &mut rng, 0.0, ramp(200.0, 1_000.0, 60.0)),
        shape("ramp down", &mut rng, 0.0, ramp(1_000.0, 200.0, 1_200.0)),
        shape("sine 30 min", &mut rng, 0.0, sine(600.0, 400.0, 1_800.0)),
        shape("sine 10 min", &mut rng, 0.0, sine(600.0, 400.0, 600.0)),
        shape("sine 3 min", &mut rng, 0.0, sine(600.0, 400.0, 180.0)),
        shape("sawtooth", &mut rng, 0.0, sawtooth),
        shape("day", &mut rng, 0.0, day),
        shape("spike 10 s", &mut rng, 0.0, pulse(300.0, 1_200.0, 10.0)),
        shape("spike 1 min", &mut rng, 0.0, pulse(300.0, 1_200.0, 60.0)),
        shape("spike 5 min", &mut rng, 0.0, pulse(300.0, 1_200.0, 300.0)),
        shape("flash crowd", &mut rng, 0.0, flash),
        shape("noise 20 %", &mut rng, 0.2, steady(500.0)),
        shape("noise 50 %", &mut rng, 0.5, steady(500.0)),
        shape("noisy step", &mut rng, 0.3, step(250.0, 750.0)),
        shape("noisy sine", &mut rng, 0.3, sine(600.0, 300.0, 1_200.0)),
        shape("clients gone", &mut rng, 0.1, gone),
    ];
    shapes.push(Shape { outage_s: Some(1_200), ..shape("outage", &mut rng, 0.1, steady(700.0)) });
    shapes.push(Shape { outage_s: Some(660), ..shape("outage in step", &mut rng, 0.1, step(300.0, 700.0)) });
    shapes
        .push(Shape { blind_s: Some((1_200, 1_500)), ..shape("metrics lost", &mut rng, 0.1, steady(700.0)) });
    shapes.push(Shape {
        blind_s: Some((590, 720)),
        ..shape("blind in step", &mut rng, 0.1, step(300.0, 700.0))
    });
    shapes.push(Shape {
        blind_s: Some((1_000, 2_400)),
        ..shape("blind downhill", &mut rng, 0.1, ramp(900.0, 200.0, 900.0))
    });
    shapes
}

/// A shape of this course, each second up to `noise` of it more or less.
fn shape(name: &'static str, rng: &mut Rng, noise: f64, course: impl Fn(f64) -> f64) -> Shape {
    let rps =
        (0..RUN_S).map(|s| (course(s as f64) * (1.0 + noise * (2.0 * rng.f64() - 1.0))).max(0.0)).collect();
    Shape { name, rps, outage_s: None, blind_s: None }
}
