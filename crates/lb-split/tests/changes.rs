//! What each change does, says and refuses.

use lb_split::{Change, ChangeError, EVENTS_MAX, Percent, Split};
use lb_types::Nanos;
use proptest::prelude::*;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn percents<const N: usize>(percents: [f64; N]) -> [Percent; N] {
    percents.map(|percent| Percent::try_from(percent).unwrap())
}

fn at(s: u64) -> Nanos {
    Nanos::from_secs(s)
}

fn blue_green(green: f64, sticky: bool) -> Split {
    let [b, g] = percents([100.0 - green, green]);
    Split::new("checkout", &[("blue", b), ("green", g)], sticky).unwrap()
}

fn green_at(split: &Split, s: u64) -> f64 {
    split.percents(at(s))[1].into()
}

/// Who is on green, of all points.
fn on_green(split: &Split, s: u64) -> Vec<u32> {
    (0..10_000).filter(|&point| split.choose(Some(point), at(s)) == 1).collect()
}

#[test]
fn a_shift_is_paused_resumed_and_ends_with_its_event() {
    let split = blue_green(0.0, true);
    let began = split.shift(&percents([0.0, 100.0]), MINUTE, "ann", at(10)).unwrap();
    assert_eq!((began.number, began.change), (1, Change::ShiftBegan { over: MINUTE.into() }));
    assert_eq!((began.from, began.to), (percents([100.0, 0.0]).to_vec(), percents([0.0, 100.0]).to_vec()));
    assert_eq!((green_at(&split, 10), green_at(&split, 25), green_at(&split, 40)), (0.0, 25.0, 50.0));

    let paused = split.pause("bob", at(40)).unwrap();
    assert_eq!(
        (paused.by.as_str(), paused.from, paused.change),
        ("bob", percents([50.0, 50.0]).to_vec(), Change::Paused)
    );
    assert_eq!(split.pause("bob", at(41)), Err(ChangeError::AlreadyPaused("checkout".into())));
    assert_eq!(split.tick(at(500)), None, "it stands still");
    assert_eq!(green_at(&split, 500), 50.0);
    assert_eq!(on_green(&split, 500).len(), 5_000);
    let shift = split.status(at(500)).shift.unwrap();
    assert!(shift.paused && shift.elapsed == at(30), "{shift:?}");

    split.resume("bob", at(500)).unwrap();
    assert_eq!(split.resume("bob", at(501)), Err(ChangeError::NotPaused("checkout".into())));
    assert_eq!((green_at(&split, 515), green_at(&split, 530), green_at(&split, 531)), (75.0, 100.0, 100.0));
    assert_eq!(split.tick(at(529)), None);
    let ended = split.tick(at(530)).unwrap();
    assert_eq!((ended.number, ended.by.as_str(), ended.change), (4, "ann", Change::ShiftEnded));
    assert_eq!(split.tick(at(531)), None);
    assert_eq!(split.status(at(531)).shift, None);
    assert_eq!(split.events().iter().map(|event| event.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    for refused in [split.pause("", at(531)), split.resume("", at(531)), split.abort("", at(531))] {
        assert_eq!(refused, Err(ChangeError::NotShifting("checkout".into())));
    }
}

#[test]
fn a_change_notes_a_shift_that_is_over_first() {
    let split = blue_green(0.0, false);
    split.shift(&percents([0.0, 100.0]), MINUTE, "ann", at(0)).unwrap();
    assert_eq!(split.abort("bob", at(60)), Err(ChangeError::NotShifting("checkout".into())));
    let changes: Vec<_> = split.events().into_iter().map(|event| (event.change, event.by)).collect();
    assert_eq!(changes[1..], [(Change::ShiftEnded, "ann".into())]);
}

#[test]
fn an_abort_takes_everybody_back_to_where_they_were() {
    for pause in [false, true] {
        let [a, b, c] = percents([50.0, 30.0, 20.0]);
        let split = Split::new("s", &[("a", a), ("b", b), ("c", c)], true).unwrap();
        split.set(&percents([20.0, 60.0, 20.0]), "x", at(0)).unwrap();
        let sides = |s| (0..10_000).map(|point| split.choose(Some(point), at(s))).collect::<Vec<_>>();
        let before = sides(0);
        split.shift(&percents([50.0, 10.0, 40.0]), MINUTE, "x", at(0)).unwrap();
        assert_ne!(sides(30), before);
        if pause {
            split.pause("x", at(30)).unwrap();
        }
        let event = split.abort("x", at(30)).unwrap();
        assert_eq!(
            (event.from, event.to),
            (percents([35.0, 35.0, 30.0]).to_vec(), percents([20.0, 60.0, 20.0]).to_vec())
        );
        assert_eq!(sides(31), before);
    }
}

#[test]
fn growing_from_ten_to_twenty_moves_nobody_back() {
    let split = blue_green(10.0, true);
    let ten = on_green(&split, 0);
    split.canary(percents([20.0])[0], "x", at(0)).unwrap();
    let twenty = on_green(&split, 0);
    assert_eq!((ten.len(), twenty.len()), (1_000, 2_000));
    assert!(ten.iter().all(|point| twenty.contains(point)));
    // And the same after every way there.
    split.switch_to("green", "x", at(0)).unwrap();
    split.switch_to("blue", "x", at(0)).unwrap();
    split.set(&percents([80.0, 20.0]), "x", at(0)).unwrap();
    assert_eq!(on_green(&split, 0), twenty);
    assert_eq!(on_green(&blue_green(20.0, true), 0), twenty);
    // A point that there is not counts as the highest.
    assert_eq!(split.choose(Some(u32::MAX), at(0)), 0);
}

#[test]
fn a_split_that_is_not_sticky_looks_at_no_points() {
    let split = blue_green(50.0, false);
    let green: usize = (0..1_000).map(|_| split.choose(Some(9_999), at(0))).sum();
    assert_eq!(green, 500);
}

#[test]
fn a_canary_takes_from_the_first_alone() {
    let [a, b, c] = percents([50.0, 30.0, 20.0]);
    let split = Split::new("s", &[("a", a), ("b", b), ("c", c)], true).unwrap();
    let canary = |percent: f64| split.canary(Percent::try_from(percent).unwrap(), "x", at(0));
    assert_eq!(canary(0.25).unwrap().to, percents([69.75, 30.0, 0.25]));
    assert_eq!(canary(70.0).unwrap().to, percents([0.0, 30.0, 70.0]));
    let [asked, free] = percents([70.01, 70.0]);
    assert_eq!(canary(70.01), Err(ChangeError::NoRoom { percent: asked, free }));
    assert_eq!(split.percents(at(0)), percents([0.0, 30.0, 70.0]));
    // One target alone has all.
    let only = Split::new("s", &[("a", Percent::ALL)], true).unwrap();
    assert!(only.canary(asked, "x", at(0)).is_err());
    assert_eq!(only.canary(Percent::ALL, "x", at(0)).unwrap().to, [Percent::ALL]);
    assert_eq!((only.choose(Some(3), at(0)), only.choose(None, at(0))), (0, 0));
}

#[test]
fn what_is_wrong_is_named_and_changes_nothing() {
    let split = blue_green(10.0, true);
    let text = |result: Result<_, ChangeError>| result.map(|_: lb_split::Event| ()).unwrap_err().to_string();
    assert_eq!(
        text(split.set(&percents([90.0, 9.99]), "x", at(0))),
        "percents = [90.0, 9.99]: must be 100 together"
    );
    assert_eq!(
        text(split.set(&percents([100.0]), "x", at(0))),
        "percents = [100.0]: must be 2, one for each target"
    );
    assert_eq!(text(split.switch_to("red", "x", at(0))), "split checkout has no target \"red\"");
    let shift = split.shift(&percents([0.0, 100.0]), Duration::from_millis(999), "x", at(0));
    assert_eq!(text(shift), "over = 999ms: must be 1s to 2592000s");
    assert_eq!((split.status(at(0)).changes, green_at(&split, 0)), (0, 10.0));

    let [half, all] = percents([50.0, 100.0]);
    let long = "n".repeat(129);
    for (name, targets, must) in [
        ("s", &[][..], "targets = []: must be 1 to 4"),
        ("s", &[("a", all); 5], "targets = [\"a\", \"a\", \"a\", \"a\", \"a\"]: must be 1 to 4"),
        ("", &[("a", all)], "name = \"\": must have 1 to 128 bytes"),
        ("s", &[("a", half), ("a", half)], "targets = \"a\": must be there once"),
        ("s", &[(long.as_str(), all)], &format!("targets = {long:?}: must have 1 to 128 bytes")),
        ("s", &[("a", half)], "percents = [50.0]: must be 100 together"),
    ] {
        assert_eq!(Split::new(name, targets, true).unwrap_err().to_string(), must);
    }
    // The split's name may be a target's.
    assert!(Split::new("a", &[("a", all)], true).is_ok());
}

#[test]
fn the_log_and_its_names_are_bounded() {
    let split = blue_green(0.0, false);
    let by = "é".repeat(40);
    for _ in 0..EVENTS_MAX + 7 {
        split.switch_to("green", &by, at(0)).unwrap();
    }
    let events = split.events();
    assert_eq!((events.len(), events[0].number), (EVENTS_MAX, 8));
    assert_eq!(events[0].by, "é".repeat(32));
}

#[derive(Clone, Debug)]
enum Step {
    Set(u16),
    Canary(u16),
    Switch(bool),
    Shift(u16, u64),
    Pause,
    Resume,
    Abort,
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..=10_000u16).prop_map(Step::Set),
        (0..=10_000u16).prop_map(Step::Canary),
        any::<bool>().prop_map(Step::Switch),
        (0..=10_000u16, 1..100u64).prop_map(|(to, s)| Step::Shift(to, s)),
        Just(Step::Pause),
        Just(Step::Resume),
        Just(Step::Abort),
        Just(Step::Tick),
    ]
}

/// The naive split: green's share as a number, a shift as from, to, length, time done and whether it stands still.
#[derive(Debug, Default)]
struct Model {
    green: f64,
    shift: Option<(f64, f64, f64, f64, bool)>,
    changes: u64,
}

impl Model {
    fn pass(&mut self, seconds: f64) {
        if let Some((from, to, length, done, false)) = &mut self.shift {
            *done = (*done + seconds).min(*length);
            self.green = *from + (*to - *from) * *done / *length;
        }
    }

    fn settle(&mut self) {
        if let Some((_, to, length, done, false)) = self.shift
            && done >= length
        {
            (self.green, self.shift) = (to, None);
            self.changes += 1;
        }
    }

    /// Whether the change is made.
    fn apply(&mut self, step: &Step) -> bool {
        self.settle();
        let made = match *step {
            Step::Set(to) | Step::Canary(to) => {
                (self.green, self.shift) = (to.into(), None);
                true
            }
            Step::Switch(green) => {
                (self.green, self.shift) = (if green { 10_000.0 } else { 0.0 }, None);
                true
            }
            Step::Shift(to, seconds) => {
                self.shift = Some((self.green, to.into(), seconds as f64, 0.0, false));
                true
            }
            Step::Pause => self.shift.as_mut().is_some_and(|shift| !std::mem::replace(&mut shift.4, true)),
            Step::Resume => self.shift.as_mut().is_some_and(|shift| std::mem::replace(&mut shift.4, false)),
            Step::Abort => self.shift.take().map(|shift| self.green = shift.0).is_some(),
            Step::Tick => return false,
        };
        self.changes += u64::from(made);
        made
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sequence_of_changes_is_as_the_model_says(steps in prop::collection::vec((step(), 0..60u64), 1..40), sticky: bool) {
        let split = blue_green(0.0, sticky);
        let mut model = Model::default();
        let mut s = 0;
        for (step, wait) in steps {
            let two = |green| [10_000 - green, green].map(|share| Percent::from_hundredths(share).unwrap());
            let made = match step {
                Step::Set(to) => split.set(&two(to), "x", at(s)).is_ok(),
                Step::Canary(to) => split.canary(two(to)[1], "x", at(s)).is_ok(),
                Step::Switch(green) => split.switch_to(if green { "green" } else { "blue" }, "x", at(s)).is_ok(),
                Step::Shift(to, seconds) => split.shift(&two(to), Duration::from_secs(seconds), "x", at(s)).is_ok(),
                Step::Pause => split.pause("x", at(s)).is_ok(),
                Step::Resume => split.resume("x", at(s)).is_ok(),
                Step::Abort => split.abort("x", at(s)).is_ok(),
                Step::Tick => { split.tick(at(s)); false }
            };
            prop_assert_eq!(made, model.apply(&step), "{:?}", step);
            s += wait;
            model.pass(wait as f64);
            let green = split.percents(at(s))[1].hundredths();
            // Whole hundredths, rounded towards where a shift began; shifts begin from what was rounded.
            prop_assert!((f64::from(green) - model.green).abs() <= 2.0, "{green} {model:?}");
            model.green = green.into();
            if sticky { prop_assert_eq!(on_green(&split, s), (0..u32::from(green)).collect::<Vec<_>>()); }
        }
        model.settle();
        prop_assert_eq!(split.status(at(s)).changes, model.changes);
    }
}
