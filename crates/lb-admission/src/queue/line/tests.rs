//! The line by example, and against a naive model of it.

use super::super::settings::{Level, Overload};
use super::*;
use crate::priority::Priority;
use proptest::prelude::*;
use std::time::Duration;

const MS: fn(u64) -> Nanos = Nanos::from_millis;
const FAR: Nanos = Nanos::from_secs(3_600);

fn line(max: usize, weights: &[u32]) -> Line<u32> {
    let levels = weights.iter().enumerate().map(|(at, &w)| Level::new(format!("{at}"), w));
    let overload = Overload { after: Duration::from_millis(100), target: Duration::from_millis(10) };
    Line::new(&QueueSettings::new().max_size(max).levels(levels).overload(Some(overload)))
}

fn join(line: &mut Line<u32>, at: u64, level: u8, value: u32) -> Key {
    let key = line.join(MS(at), Priority::level(level), FAR, value).unwrap();
    // A newcomer's own look, in vain.
    if line.ask(MS(at), key) == Answer::Look {
        line.pass_on(MS(at), key);
    }
    key
}

/// Who was called since the last look, by value; nobody was refused.
fn called(line: &mut Line<u32>) -> Vec<u32> {
    let told = std::mem::take(&mut line.told);
    let of = |told| match told {
        Told::Look(key) => *line.value_mut(key).unwrap(),
        Told::Refused(..) => panic!("{told:?}"),
    };
    told.into_iter().map(of).collect()
}

fn refused(line: &mut Line<u32>) -> Vec<(u32, Why)> {
    let told = std::mem::take(&mut line.told);
    let of = |told| if let Told::Refused(_, value, why, _) = told { Some((value, why)) } else { None };
    told.into_iter().filter_map(of).collect()
}

/// A place becomes free and is taken: by whom?
fn serve(line: &mut Line<u32>, at: u64) -> Option<u32> {
    line.freed(MS(at));
    let key = line.told.iter().find_map(|t| if let Told::Look(key) = t { Some(*key) } else { None })?;
    line.told.retain(|told| !matches!(told, Told::Look(_)));
    assert_eq!(line.ask(MS(at), key), Answer::Look);
    line.served(MS(at), key)
}

#[test]
fn suspended_overload_refuses_nobody_and_begins_anew_when_it_holds_again() {
    let mut line = line(3, &[1]);
    line.suspend_overload(MS(0), true);
    for n in 0..3 {
        join(&mut line, 0, 0, n);
    }
    line.expire(MS(1_000));
    assert_eq!((refused(&mut line), line.rows()[0].is_overloaded()), (vec![], false));
    assert_eq!(line.join(MS(1_000), Priority::level(0), FAR, 9), Err(Full), "the bound holds");
    assert_eq!(serve(&mut line, 1_000), Some(0), "the oldest first");
    line.suspend_overload(MS(2_000), false);
    line.suspend_overload(MS(2_050), false);
    line.expire(MS(2_099));
    assert_eq!(refused(&mut line), [], "waits count from then on");
    line.expire(MS(2_100));
    assert_eq!(refused(&mut line), [(1, Why::Overloaded), (2, Why::Overloaded)]);
    // It is over at once, too.
    let key = join(&mut line, 2_100, 0, 3);
    line.suspend_overload(MS(2_105), true);
    line.expire(MS(2_200));
    assert_eq!((refused(&mut line), line.leave(MS(2_200), key)), (vec![], Some(3)));
}

#[test]
fn several_places_call_several_waiters_in_order() {
    let mut line = line(10, &[1]);
    let keys: Vec<_> = (0..3).map(|n| join(&mut line, 0, 0, n)).collect();
    (0..2).for_each(|_| line.freed(MS(1)));
    assert_eq!(called(&mut line), [0, 1]);
    assert_eq!(line.ask(MS(1), keys[2]), Answer::Wait(MS(10)), "it is not its turn");
    assert_eq!(line.ask(MS(1), keys[1]), Answer::Look);
    assert_eq!(line.served(MS(1), keys[1]), Some(1));
    assert_eq!(line.leave(MS(1), keys[0]), Some(0));
    assert_eq!(called(&mut line), [2], "who left hands its turn on");
}

#[test]
fn a_turn_visits_each_once_and_ends() {
    let mut line = line(10, &[2, 1]);
    let keys = [0, 1, 0, 1].map(|level| join(&mut line, 0, level, 0));
    line.freed(MS(1));
    let mut visited = Vec::new();
    while let Some(Told::Look(key)) = line.told.pop() {
        assert_eq!(line.ask(MS(1), key), Answer::Look);
        line.pass_on(MS(1), key);
        visited.push(key);
    }
    assert_eq!(visited, [keys[0], keys[2], keys[1], keys[3]], "through a level and then the next");
    assert_eq!((line.len(), line.promised()), (4, 0));
}

#[test]
fn a_change_visits_all_whether_or_not_they_find_a_place() {
    let mut line = line(10, &[1]);
    let keys = [0, 1, 2, 3].map(|n| join(&mut line, 0, 0, n));
    line.changed(MS(1));
    line.changed(MS(1));
    assert_eq!(called(&mut line), [0], "one turn for both");
    assert_eq!(line.ask(MS(1), keys[0]), Answer::Look);
    line.served(MS(1), keys[0]);
    assert_eq!(called(&mut line), [1]);
    assert_eq!(line.ask(MS(1), keys[1]), Answer::Look);
    line.changed(MS(1)); // while it looks: it looks again
    line.pass_on(MS(1), keys[1]);
    assert_eq!(called(&mut line), [1]);
    for key in &keys[1..] {
        assert_eq!(line.ask(MS(1), *key), Answer::Look);
        line.pass_on(MS(1), *key);
    }
    assert_eq!(called(&mut line), [2, 3]);
    assert_eq!((line.len(), line.promised()), (3, 0));
}

/// 0 looks with a turn when a second place becomes free that only it can use: 1 is called, and passes on.
#[test]
fn who_was_passed_by_while_it_looked_looks_again() {
    let mut line = line(10, &[1]);
    let keys = [0, 1].map(|n| join(&mut line, 0, 0, n));
    line.freed(MS(1));
    assert_eq!(line.ask(MS(1), keys[0]), Answer::Look);
    line.freed(MS(1));
    assert_eq!(called(&mut line), [0, 1]);
    assert_eq!(line.ask(MS(1), keys[1]), Answer::Look);
    line.pass_on(MS(1), keys[1]);
    assert_eq!(called(&mut line), []);
    line.pass_on(MS(1), keys[0]);
    // Its own turn went to 1, who has looked since it was made: it is over, and so is the doubt's wait.
    assert_eq!(called(&mut line), [0]);
    assert_eq!(line.ask(MS(1), keys[0]), Answer::Look);
    line.pass_on(MS(1), keys[0]);
    assert_eq!(called(&mut line), []);
}

#[test]
fn a_newcomer_looks_once_nothing_is_promised() {
    let mut line = line(10, &[1]);
    let first = join(&mut line, 0, 0, 0);
    line.freed(MS(1));
    let late = line.join(MS(1), Priority::HIGH, FAR, 1).unwrap();
    assert!(matches!(line.ask(MS(1), late), Answer::Wait(_)), "the place is promised");
    assert_eq!(line.ask(MS(1), first), Answer::Look);
    assert_eq!(called(&mut line), [0]);
    line.served(MS(1), first);
    assert_eq!(called(&mut line), [1], "now it may look");
    assert_eq!(line.ask(MS(1), late), Answer::Look);
    line.pass_on(MS(1), late);
    assert!(matches!(line.ask(MS(1), late), Answer::Wait(_)), "once");
}

#[test]
fn a_higher_level_displaces_the_lowest_that_has_more_than_its_share() {
    // One each and one more by weight: nobody's, rounded down.
    let mut line = line(4, &[4, 2, 1]);
    let keys = [(2, 20), (2, 21), (2, 22), (1, 10)].map(|(level, value)| join(&mut line, 0, level, value));
    line.freed(MS(0));
    assert_eq!(called(&mut line), [10], "by weight");
    assert_eq!(line.join(MS(1), Priority::LOW, FAR, 23), Err(Full));
    join(&mut line, 1, 0, 0);
    assert_eq!(refused(&mut line), [(22, Why::Displaced)], "the newest");
    join(&mut line, 1, 1, 11);
    assert_eq!(refused(&mut line), [(21, Why::Displaced)]);
    join(&mut line, 1, 0, 1);
    assert_eq!(refused(&mut line), [(11, Why::Displaced)], "10 holds a turn");
    assert_eq!(
        line.join(MS(1), Priority::HIGH, FAR, 2),
        Err(Full),
        "the others have no more than their shares"
    );
    assert_eq!(line.ask(MS(1), keys[1]), Answer::Gone);
    assert_eq!(line.len(), 4);
}

#[test]
fn a_level_comes_into_its_share_of_a_full_line() {
    let mut line = line(4, &[4, 2, 1]);
    (0..4).for_each(|value| {
        join(&mut line, 0, 0, value);
    });
    join(&mut line, 1, 2, 20);
    join(&mut line, 1, 1, 10);
    assert_eq!(refused(&mut line), [(3, Why::Displaced), (2, Why::Displaced)]);
    assert_eq!(line.join(MS(1), Priority::LOW, FAR, 21), Err(Full));
    assert_eq!(line.join(MS(1), Priority::NORMAL, FAR, 11), Err(Full), "the high have two: one by weight");
    assert_eq!(line.len(), 4);
}

/// A low level has one waiter every 20 ms, which leaves after 10 ms; others always wait. It gets its share all the same.
#[test]
fn a_level_that_is_refused_quickly_is_not_starved() {
    let mut line = line(100, &[16, 1]);
    let (mut n, mut low) = (0, 0);
    for ms in 0..20_000 {
        let mut join = |line: &mut Line<u32>, level, until| {
            n += 1;
            // Those of the high level come in excess: some find it full.
            if let Ok(key) = line.join(MS(ms), Priority::level(level), until, n * 2 + u32::from(level))
                && line.ask(MS(ms), key) == Answer::Look
            {
                line.pass_on(MS(ms), key);
            }
        };
        if ms % 2 == 0 {
            join(&mut line, 0, FAR);
        }
        if ms % 20 == 0 {
            join(&mut line, 1, MS(ms + 10));
        }
        if ms % 4 == 1
            && let Some(served) = serve(&mut line, ms)
        {
            low += served % 2;
        }
        line.told.clear();
    }
    assert!((220..=300).contains(&low), "{low} of 5 000: a share of 1 in 17 is 294");
}

#[test]
fn each_level_gets_its_share_and_no_credit_for_idle_time() {
    let weights = [16, 4, 1];
    let mut line = line(10_000, &weights);
    for n in 0..300 {
        join(&mut line, 0, 0, n * 3);
    }
    (0..200).for_each(|_| assert_eq!(serve(&mut line, 0).unwrap() % 3, 0));
    for n in 0..600 {
        (0..3).for_each(|level| {
            join(&mut line, 0, level, n * 3 + u32::from(level));
        });
    }
    let mut got = [0u32; 3];
    for n in 1..=500 {
        got[serve(&mut line, 0).unwrap() as usize % 3] += 1;
        for (got, weight) in got.into_iter().zip(weights) {
            let least = f64::from(n - 3) * f64::from(weight) / 21.0 - 1.0;
            assert!(f64::from(got) >= least, "{got} of {n} at weight {weight}");
        }
    }
    assert_eq!(got[0] + got[1] + got[2], 500);
}

#[test]
fn deadlines_also_of_who_was_called_but_not_of_who_looks() {
    let mut line = line(10, &[1]);
    let keys = [5, 6, 50].map(|ms| line.join(MS(0), Priority::HIGH, MS(ms), ms as u32).unwrap());
    for key in keys {
        assert_eq!(line.ask(MS(0), key), Answer::Look);
        line.pass_on(MS(0), key);
    }
    line.freed(MS(1));
    line.freed(MS(1));
    assert_eq!(called(&mut line), [5, 6]);
    assert_eq!(line.ask(MS(1), keys[1]), Answer::Look);
    line.expire(MS(7));
    let told = std::mem::take(&mut line.told);
    assert_eq!(told, [Told::Look(keys[2]), Told::Refused(keys[0], 5, Why::Timeout, MS(7))]);
    line.pass_on(MS(7), keys[1]);
    line.expire(MS(7));
    assert_eq!(refused(&mut line), [(6, Why::Timeout)], "when it has looked");
}

#[test]
fn overload_begins_after_a_while_and_ends_after_a_while() {
    let mut line = line(1_000, &[1]);
    let mut n = 0;
    // Two come and one is served each ms: first come, first served, until waits were 10 ms for 100 ms.
    let mut newest_first_from = None;
    let mut longest = Nanos::ZERO;
    for ms in 0..400 {
        for _ in 0..2 {
            join(&mut line, ms, 0, n);
            n += 1;
        }
        let served = serve(&mut line, ms).unwrap();
        if line.rows[0].is_overloaded() {
            newest_first_from.get_or_insert(ms);
            assert_eq!(served, n - 1, "the newest");
            longest = longest.max(line.rows[0].oldest_wait(MS(ms)).unwrap());
        } else {
            assert_eq!(u64::from(served), ms, "the oldest");
        }
        line.told.clear();
    }
    // The oldest has waited for half the time: 10 ms at 20 ms.
    assert_eq!(newest_first_from, Some(120));
    assert!(longest < MS(10), "{longest:?}");
    // Now one comes and one is served: the last refusal is at 409 ms.
    let mut ended = None;
    for ms in 400..700 {
        join(&mut line, ms, 0, n);
        n += 1;
        serve(&mut line, ms);
        if !line.rows[0].is_overloaded() {
            ended.get_or_insert(ms);
        }
        line.told.clear();
    }
    assert_eq!(ended, Some(509));
    assert_eq!(line.len(), 0);
}

#[test]
fn somebody_served_early_is_a_break() {
    let mut line = line(100, &[1]);
    let first = join(&mut line, 0, 0, 0);
    // It finds no place; but another one does every 50 ms, having just come.
    for ms in (50..1_000).step_by(50) {
        let key = line.join(MS(ms), Priority::HIGH, FAR, 1).unwrap();
        assert_eq!(line.ask(MS(ms), key), Answer::Look);
        line.served(MS(ms), key);
    }
    assert_eq!(line.ask(MS(1_000), first), Answer::Wait(MS(950 + 100)));
    assert_eq!(line.ask(MS(1_050), first), Answer::Gone, "and then none does");
    assert_eq!(refused(&mut line), [(0, Why::Overloaded)]);
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Join(u8, u64),
    Serve,
    Leave(prop::sample::Index),
    /// A place that only this one can use.
    Bound(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop_oneof![0..4u64, 0..60u64].prop_map(Step::Wait),
        6 => (0..4u8, 1..400u64).prop_map(|(level, timeout)| Step::Join(level, timeout)),
        4 => Just(Step::Serve),
        1 => any::<prop::sample::Index>().prop_map(Step::Leave),
        1 => any::<prop::sample::Index>().prop_map(Step::Bound),
    ]
}

/// One level of the model: everything is found out by looking at all.
#[derive(Default)]
struct Naive {
    /// Value, when it came, deadline.
    waiting: Vec<(u32, u64, u64)>,
    /// Each ms until now: were the waits long?
    long: Vec<bool>,
    /// When somebody was last served early.
    broken: u64,
    overloaded: bool,
    refused: u64,
}

impl Naive {
    /// Whom the level refuses at this ms.
    fn at(&mut self, now: u64) -> Vec<u32> {
        self.begin(now);
        let late: Vec<u32> = self.waiting.iter().filter(|w| w.2 <= now).map(|w| w.0).collect();
        self.waiting.retain(|w| w.2 > now);
        self.begin(now);
        let mut over = Vec::new();
        if self.overloaded {
            over.extend(self.waiting.iter().filter(|w| now - w.1 >= 10).map(|w| w.0));
            self.waiting.retain(|w| now - w.1 < 10);
            if !over.is_empty() {
                self.refused = now;
            } else if now - self.refused >= 100 {
                self.overloaded = false;
            }
        }
        self.note(now);
        late.into_iter().chain(over).collect()
    }

    /// Does overload begin?
    fn begin(&mut self, now: u64) {
        self.note(now);
        let since = self.long.iter().rposition(|long| !long).map_or(0, |at| at as u64 + 1).max(self.broken);
        if !self.overloaded && self.long[now as usize] && now >= since + 100 {
            (self.overloaded, self.refused) = (true, now);
        }
    }

    /// Once short within this ms, it counts as short.
    fn note(&mut self, now: u64) {
        let long = self.waiting.iter().any(|w| now - w.1 >= 10);
        self.long.resize(now as usize + 1, true);
        self.long[now as usize] &= long;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
    #[test]
    fn the_line_does_what_the_model_does(steps in prop::collection::vec(step(), 1..300)) {
        const MAX: usize = 12;
        // One each, and 9 by weight.
        const SHARES: [usize; 3] = [6, 3, 2];
        let mut line = line(MAX, &[4, 2, 1]);
        let mut model: [Naive; 3] = Default::default();
        let mut keys: Vec<(u32, Key)> = Vec::new();
        let (mut now, mut n) = (0, 0);
        for step in steps {
            let wait = if let Step::Wait(ms) = step { ms } else { 0 };
            let mut gone: Vec<u32> = Vec::new();
            // The model looks at each ms; the line only when it said that it has to, as its shell does.
            for at in now..=now + wait {
                model.iter_mut().for_each(|level| gone.extend(level.at(at)));
                let again = |row: &Row<u32>| row.waiting.values().map(|w| row.again_at(w, MS(at.max(1) - 1))).min();
                if line.rows.iter().filter_map(again).min().is_some_and(|again| again <= MS(at)) {
                    line.expire(MS(at));
                }
            }
            now += wait;
            line.expire(MS(now));
            match step {
                Step::Wait(_) => {}
                Step::Join(level, timeout) => {
                    let level = usize::from(level).min(2);
                    let total: usize = model.iter().map(|l| l.waiting.len()).sum();
                    let mut room = total < MAX;
                    let size = |l: usize| model[l].waiting.len();
                    let first = if size(level) < SHARES[level] { 0 } else { level + 1 };
                    if !room && let Some(lowest) = (first..3).rev().find(|&l| size(l) > SHARES[l]) {
                        let last = if model[lowest].overloaded { 0 } else { model[lowest].waiting.len() - 1 };
                        gone.push(model[lowest].waiting.remove(last).0);
                        room = true;
                    }
                    let joined = line.join(MS(now), Priority::level(level as u8), MS(now + timeout), n);
                    prop_assert_eq!(joined.is_ok(), room);
                    if let Ok(key) = joined {
                        prop_assert_eq!(line.ask(MS(now), key), Answer::Look);
                        line.pass_on(MS(now), key);
                        keys.push((n, key));
                        model[level].waiting.push((n, now, now + timeout));
                    }
                    n += 1;
                }
                Step::Serve => {
                    let served = serve(&mut line, now);
                    prop_assert_eq!(served.is_some(), model.iter().any(|l| !l.waiting.is_empty()));
                    if let Some(value) = served {
                        let level = keys.iter().find(|k| k.0 == value).unwrap().1.level;
                        let naive = &mut model[usize::from(level)];
                        let next = if naive.overloaded { naive.waiting.len() - 1 } else { 0 };
                        let (expected, joined, _) = naive.waiting.remove(next);
                        prop_assert_eq!(value, expected);
                        if now - joined < 10 {
                            naive.broken = now;
                        }
                    }
                }
                Step::Leave(which) => if !keys.is_empty() {
                    let (value, key) = keys[which.index(keys.len())];
                    let naive = &mut model[usize::from(key.level)].waiting;
                    let was = naive.len();
                    naive.retain(|w| w.0 != value);
                    prop_assert_eq!(line.leave(MS(now), key).is_some(), naive.len() < was);
                },
                Step::Bound(which) => if !keys.is_empty() {
                    let (bound, _) = keys[which.index(keys.len())];
                    line.freed(MS(now));
                    let mut visited = Vec::new();
                    while let Some(key) = line.told.iter().find_map(|t| if let Told::Look(k) = t { Some(*k) } else { None }) {
                        line.told.retain(|told| !matches!(told, Told::Look(_)));
                        prop_assert_eq!(line.ask(MS(now), key), Answer::Look);
                        prop_assert!(!visited.contains(&key), "twice");
                        visited.push(key);
                        if keys.contains(&(bound, key)) {
                            line.served(MS(now), key);
                            let naive = &mut model[usize::from(key.level)];
                            let at = naive.waiting.iter().position(|w| w.0 == bound).unwrap();
                            if now - naive.waiting.remove(at).1 < 10 {
                                naive.broken = now;
                            }
                        } else {
                            line.pass_on(MS(now), key);
                        }
                    }
                    prop_assert!(model.iter().all(|l| l.waiting.iter().all(|w| w.0 != bound)), "it was not reached");
                },
            }
            model.iter_mut().for_each(|level| level.note(now));
            let mut is: Vec<u32> = refused(&mut line).into_iter().map(|(value, _)| value).collect();
            is.sort_unstable();
            gone.sort_unstable();
            prop_assert_eq!(is, gone);
            for (row, naive) in line.rows.iter().zip(&model) {
                prop_assert_eq!(row.is_overloaded(), naive.overloaded);
                let values: Vec<u32> = row.waiting.values().map(|w| w.value).collect();
                prop_assert_eq!(values, naive.waiting.iter().map(|w| w.0).collect::<Vec<_>>());
            }
            prop_assert_eq!(line.len(), line.rows.iter().map(|r| r.waiting.len()).sum::<usize>());
            prop_assert_eq!((line.promised(), line.sweeper), (0, None));
            prop_assert_eq!(line.deadlines.len(), line.len());
        }
    }
}
