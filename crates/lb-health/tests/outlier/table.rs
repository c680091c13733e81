//! What the detector does, as a table of event sequences under a virtual clock.
//!
//! One row: a name, how many backends (`a`, `b`, …), settings, and a line of steps.
//!
//! | step | meaning |
//! |---|---|
//! | `@9.5s` | the clock moves on to 9.5 s, and the timer fires whenever it is due |
//! | `a5` `a3` `ac` `at` `aS` `aX` | a request to `a`: a 500, a 503, no connection, a time-out, success, cancelled |
//! | `a5*4` | four of them |
//! | `a=95/5` | `a` had 95 successes and 5 failures more, not in a row |
//! | `random:50%` | what is drawn for the jitter |
//! | `down:a` `up:a` | its active health |
//! | `check:a` | one active check of it passed |
//! | `add:x` `remove:a` | a backend comes or goes |
//! | `times:a=2` | its multiplier is 2 now |
//! | `>a:31s` | told next: it is ejected until 31 s, for (see `because`) any reason; `>a:31s:success-rate` for that one |
//! | `<a:expired` | told next: it is back, and why; at the end of a row nothing is left untold |

use crate::world::World;
use lb_health::outlier::{Change, Comparison, FailurePercentage, OutlierDetection, SuccessRate};
use lb_types::Nanos;
use std::time::Duration;

type Row = (&'static str, u8, fn(OutlierDetection) -> OutlierDetection, &'static str);

/// The defaults but for the jitter and the statistics: 5 in a row, 30 s × times up to 300 s, 10 %.
const D: fn(OutlierDetection) -> OutlierDetection = |s| s;
/// Half of the pool may be ejected, or all.
const HALF: fn(OutlierDetection) -> OutlierDetection = |s| s.max_ejection_percent(50);
const ALL: fn(OutlierDetection) -> OutlierDetection = |s| s.max_ejection_percent(100);
/// Ejected by the first failure, for at most 70 s.
const ONE: fn(OutlierDetection) -> OutlierDetection =
    |s| s.consecutive(1, 0, 0).ejection_time(Duration::from_secs(30), Duration::from_secs(70));
const JITTER: fn(OutlierDetection) -> OutlierDetection = |s| ONE(s).jitter_percent(10);
const GATEWAY: fn(OutlierDetection) -> OutlierDetection = |s| s.consecutive(0, 3, 0);
const CONNECT: fn(OutlierDetection) -> OutlierDetection = |s| s.consecutive(5, 0, 2);
const NO_CHECKS: fn(OutlierDetection) -> OutlierDetection = |s| s.end_on_passing_check(false);
const RATE: fn(OutlierDetection) -> OutlierDetection =
    |s| HALF(s).statistics(Some(SuccessRate::default()), None, None);
const SHARE: fn(OutlierDetection) -> OutlierDetection =
    |s| HALF(s).statistics(None, Some(FailurePercentage::default()), None);
const COMPARE: fn(OutlierDetection) -> OutlierDetection =
    |s| HALF(s).statistics(None, None, Some(Comparison::default()));

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // failures in a row
    ("four failures are not enough", 2, D, "a5*4"),
    ("the fifth failure in a row ejects", 2, D, "@1s a5*5 >a:31s:consecutive-failures"),
    ("a success between starts the count anew", 2, D, "a5*4 aS a5*4"),
    ("a cancelled request does not", 2, D, "a5*4 aX a5 >a:30s"),
    ("every kind of failure counts", 2, D, "a5 a3 ac at a5 >a:30s:consecutive-failures"),
    ("the failures of another one do not", 2, D, "a5*4 b5*4"),
    ("gateway failures: a 500 is none and starts their count anew", 2, GATEWAY, "a3*2 a5 a3*2 a5*9 a3*3 >a:30s:consecutive-gateway-failures"),
    ("gateway failures: no connection and no answer are some", 2, GATEWAY, "a3 ac at >a:30s:consecutive-gateway-failures"),
    ("failures to connect have a count of their own", 2, CONNECT, "ac*2 >a:30s:consecutive-connect-failures"),
    ("any answer shows that it could be connected to", 2, CONNECT, "ac a5 ac a5 aS"),
    ("and they count as failures, too", 2, CONNECT, "ac a5 ac a5 at >a:30s:consecutive-failures"),
    ("an ejected one is not ejected twice", 3, HALF, "a5*50 >a:30s"),
    ("one that could not be ejected is tried again after as many failures", 2, D,
        "a5*5 >a:30s b5*5 @30s <a:expired b5*4 b5 >b:60s"),

    // how long
    ("an ejection ends on time, not at the next sweep", 2, D, "@1.234s a5*5 >a:31.234s @31.233s @31.234s <a:expired"),
    ("each ejection of a row is longer by the base, up to the longest", 2, ONE,
        "a5 >a:30s @30s <a:expired a5 >a:90s @90s <a:expired a5 >a:160s @160s <a:expired a5 >a:230s times:a=3"),
    ("a whole interval without ejection takes one off", 2, ONE,
        "a5 >a:30s @30s <a:expired a5 >a:90s @90s <a:expired times:a=2 @99s times:a=2 @100s times:a=1 a5 >a:160s"),
    ("a broken interval does not", 2, ONE, "@5s a5 >a:35s @35s <a:expired @40s times:a=1 @50s times:a=0"),
    ("after good conduct it is the base again", 2, ONE,
        "a5 >a:30s @30s <a:expired a5 >a:90s @90s <a:expired @120s times:a=0 a5 >a:150s"),
    ("while ejected nothing is taken off", 2, ONE, "a5 >a:30s @30s <a:expired a5 >a:90s @89s times:a=2"),
    ("jitter adds to the length", 2, JITTER, "random:0% a5 >a:30s @30s <a:expired random:50% a5 >a:93s"),
    ("jitter stays below its bound", 2, JITTER, "random:100% a5 >a:32.999999999s"),
    ("jitter comes on top of the longest", 2, JITTER,
        "a5 >a:30s @30s <a:expired a5 >a:90s @90s <a:expired random:50% a5 >a:163.5s"),

    // how many
    ("10 % of two is one", 2, D, "a5*5 >a:30s b5*5"),
    ("10 % of nine is one", 9, D, "a5*5 >a:30s b5*5"),
    ("10 % of twenty is two", 20, D, "a5*5 >a:30s b5*5 >b:30s c5*5"),
    ("envoy#26877: 50 % of three is one", 3, HALF, "a5*5 >a:30s b5*5"),
    ("50 % of four is two", 4, HALF, "a5*5 >a:30s b5*5 >b:30s c5*5"),
    ("100 % of three: the last usable one stays", 3, ALL, "a5*5 >a:30s b5*5 >b:30s c5*50"),
    ("a single backend is never ejected", 1, ALL, "a5*50"),
    ("the last healthy one is never ejected", 3, ALL, "down:b down:c a5*50"),
    ("the next one's turn comes when one is back", 2, D, "a5*5 >a:30s b5*5 @30s <a:expired b5*5 >b:60s"),

    // the last usable one
    ("an ejected one is given back when nobody else is usable", 2, D, "a5*5 >a:30s @1s down:b <a:last-usable"),
    ("and stays, though it fails", 2, D, "a5*5 >a:30s @1s down:b <a:last-usable a5*50"),
    ("all of them are given back", 3, ALL, "a5*5 >a:30s b5*5 >b:30s down:c <a:last-usable <b:last-usable"),
    ("none is while one is usable", 3, HALF, "a5*5 >a:30s down:b @29s"),

    // active checks
    ("a passing check ends an ejection", 2, D, "a5*5 >a:30s @3s check:a <a:check-passed @40s"),
    ("not if the setting says so", 2, NO_CHECKS, "a5*5 >a:30s @3s check:a @30s <a:expired"),
    ("a passing check of one that is in says nothing", 2, D, "check:a"),
    ("after it the next ejection is longer", 2, D, "a5*5 >a:30s @3s check:a <a:check-passed a5*5 >a:63s"),
    ("after a return it takes five new failures", 2, D, "a5*8 >a:30s @3s check:a <a:check-passed a5*4"),

    // membership
    ("one that is gone is forgotten", 2, D, "a5*5 >a:30s remove:a @10s <a:removed add:a times:a=0"),
    ("and leaves room for another", 3, D, "a5*5 >a:30s remove:a @10s <a:removed b5*5 >b:40s"),

    // success rate
    ("success rate: one of five", 5, RATE, "a=60/40 b=99/1 c=98/2 d=100/0 e=99/1 @10s >a:40s:success-rate"),
    ("success rate: silent below five", 4, RATE, "a=0/100 b=100/0 c=100/0 d=100/0 @10s"),
    ("success rate: silent below 100 requests", 5, RATE, "a=59/40 b=99/1 c=98/2 d=100/0 e=99/1 @10s"),
    ("success rate: one that is down does not make up the number", 5, RATE, "down:e a=60/40 b=99/1 c=98/2 d=100/0 e=99/1 @10s"),
    ("success rate: only the last interval counts", 5, RATE, "a=60/40 @10s a=100/0 b=100/0 c=100/0 d=100/0 e=100/0 @20s"),
    ("success rate: all equal", 5, RATE, "a=50/50 b=50/50 c=50/50 d=50/50 e=50/50 @10s"),
    ("envoy#26758: who fails as before is ejected for longer each time", 5, RATE,
        "a=60/40 b=99/1 c=98/2 d=100/0 e=99/1 @10s >a:40s @40s <a:expired \
         a=60/40 b=99/1 c=98/2 d=100/0 e=99/1 @50s >a:110s:success-rate"),

    // failure percentage
    ("failure percentage: at the limit", 5, SHARE, "a=15/85 b=16/84 c=100/0 d=100/0 e=100/0 @10s >a:40s:failure-percentage"),
    ("failure percentage: the worst first, within the percentage", 5, SHARE,
        "a=15/85 b=10/90 c=5/95 d=0/100 e=100/0 @10s >d:40s >c:40s"),
    ("failure percentage: silent below 50 requests", 5, SHARE, "a=0/49 b=100/0 c=100/0 d=100/0 e=100/0 @10s"),
    ("failure percentage: silent below five", 4, SHARE, "a=0/100 b=100/0 c=100/0 d=100/0 @10s"),

    // comparison
    ("comparison: of two, the bad one", 2, COMPARE, "a=50/50 b=99/1 @10s >a:40s:comparison"),
    ("comparison: of two equally bad, none", 2, COMPARE, "a=50/50 b=50/50 @10s"),
    ("comparison: silent below 20 requests", 2, COMPARE, "a=0/19 b=100/0 @10s"),
    ("comparison: or with less than 20 of the others", 2, COMPARE, "a=0/100 b=19/0 @10s"),
    ("comparison: too little for one interval is enough for two", 2, COMPARE, "a=6/4 b=30/0 @10s a=6/4 b=30/0 @20s >a:50s:comparison"),
    ("comparison: nine points do not matter, however many requests", 2, COMPARE, "a=910000/90000 b=1000000/0 @10s"),
    ("comparison: less than twice as many do not", 2, COMPARE, "a=410/590 b=700/300 @10s"),
    ("comparison: what was before and during an ejection is not held against it", 2, COMPARE,
        "@3s a5*30 >a:33s @5s check:a <a:check-passed b=100/0 @10s b=100/0 @20s a=70/30 b=100/0 @30s >a:60s:comparison"),
    ("comparison: a newcomer in a bad time is not measured against better ones", 3, COMPARE,
        "a=100/0 b=100/0 c=100/0 @10s a=100/0 b=100/0 c=100/0 add:d @20s a=60/40 b=60/40 c=60/40 d=60/40 @30s"),
    ("comparison: an idle one is judged by nothing", 3, COMPARE, "a=100/0 b=100/0 @10s @20s"),
];

#[test]
fn each_row_happens_as_it_says() {
    for (name, n, settings, steps) in TABLE {
        let d = OutlierDetection::new().jitter_percent(0).statistics(None, None, None);
        let mut world = World::new(settings(d), *n);
        for step in steps.split_whitespace() {
            take(&mut world, step, name);
        }
        assert!(world.told.is_empty(), "{name}: untold {:?}", world.told);
    }
}

fn take(world: &mut World, step: &str, name: &str) {
    let (head, rest) = step.split_at(1);
    let words: Vec<&str> = step.split(':').collect();
    match (head, words.as_slice()) {
        ("@", _) => world.until(time(rest)),
        (">", [_, until, because @ ..]) => {
            let Some(Change::Ejected(e)) = world.told.pop_front() else { panic!("{name}: {step}") };
            assert_eq!((e.id.as_str(), e.until), (&words[0][1..], time(until)), "{name}: {step}");
            assert!(because.iter().all(|b| *b == e.cause.as_str()), "{name}: {}", e.cause);
        }
        ("<", [_, reason]) => {
            let Some(Change::Returned { id, why }) = world.told.pop_front() else { panic!("{name}: {step}") };
            assert_eq!((id.as_str(), why.as_str()), (&words[0][1..], *reason), "{name}: {step}");
        }
        (_, ["random", percent]) => {
            let percent: u64 = percent.trim_end_matches('%').parse().unwrap();
            world.random = if percent == 100 { u64::MAX } else { (u64::MAX / 100 + 1) * percent };
        }
        (_, ["down", id]) => world.set_healthy(world.at(id), false),
        (_, ["up", id]) => world.set_healthy(world.at(id), true),
        (_, ["check", id]) => world.check_passed(world.at(id)),
        (_, ["add", id]) => world.add(id),
        (_, ["remove", id]) => world.remove(world.at(id)),
        (_, ["times", what]) => {
            let (id, times) = what.split_once('=').unwrap();
            assert_eq!(world.detector.status(&id.into()).times.to_string(), times, "{name}: {step}");
        }
        _ => {
            let at = world.at(head);
            if let Some((succeeded, failed)) = rest.strip_prefix('=').and_then(|r| r.split_once('/')) {
                world.count(at, succeeded.parse().unwrap(), failed.parse().unwrap());
            } else {
                let (how, n) = rest.split_once('*').unwrap_or((rest, "1"));
                let how = how.chars().next().unwrap();
                (0..n.parse().unwrap()).for_each(|_| world.request(at, how));
            }
        }
    }
}

/// `9.5s`, exactly.
fn time(text: &str) -> Nanos {
    let (whole, part) =
        text.trim_end_matches('s').split_once('.').unwrap_or((text.trim_end_matches('s'), ""));
    Nanos::from_secs(whole.parse().unwrap()) + Nanos(format!("{part:0<9}").parse().unwrap())
}
