//! What the breaker does, as a table of event sequences under a virtual clock.
//!
//! One row: a name, settings, and a line of steps.
//!
//! | step | meaning |
//! |---|---|
//! | `@9.5s` | the clock moves on to 9.5 s (`s` or `ms`) |
//! | `S` `F` `X` | a call begins and ends at once: succeeds, fails, is cancelled |
//! | `F*4` | four of them |
//! | `S/2s` `F/2s` | a call that was under way for so long and ends now |
//! | `a(` … `S)a` | call `a` begins … and ends: `S`, `F` or `X`, with `/2s` if wanted |
//! | `no` `no:9s` | a call is refused (with this `retry_after`; `no:?`: none known) |
//! | `open!` `close!` `reset!` `early!` | by hand; `early?` is one that does nothing |
//! | `closed` `open` `half` | what the state is now |
//! | `>open:probe-failed` | what the observer was told next (`>to:reason`); at the end of a row nothing is left untold |

#![cfg(not(loom))]

use lb_breaker::{
    Breaker, BreakerSettings, Nanos, OwnedPermit, RateWindow, State, Ticket, Transition, Verdict,
};
use lb_types::{Clock, ManualClock, Stance};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Row = (&'static str, fn(BreakerSettings) -> BreakerSettings, &'static str);

/// The defaults: 5 failures within 10 s open it for 60 s; 3 probes close it.
const D: fn(BreakerSettings) -> BreakerSettings = |s| s;
/// Opens at the first failure, closes at the first success.
const ONE: fn(BreakerSettings) -> BreakerSettings = |s| s.failure_threshold(1).success_threshold(1);
/// Opens by rate alone: half of at least four calls.
const RATE: fn(BreakerSettings) -> BreakerSettings =
    |s| s.failure_threshold(0).failure_rate(50).minimum_calls(4).success_threshold(1);
/// Half of at least four calls take 2 s.
const SLOW: fn(BreakerSettings) -> BreakerSettings =
    |s| s.slow_calls(Duration::from_secs(2), 50).minimum_calls(4).success_threshold(1);
/// 60 % of the last ten.
const LAST: fn(BreakerSettings) -> BreakerSettings =
    |s| s.failure_threshold(0).failure_rate(60).minimum_calls(10).rate_window(RateWindow::Calls(10));

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // closed
    ("is closed at first", D, "closed S closed"),
    ("stays closed while all succeeds", D, "S*1000 @1s S*1000 closed"),
    ("four failures are not enough", D, "F*4 closed"),
    ("the fifth failure opens it", D, "F*4 closed F open >open:failure-threshold"),
    ("successes between do not forgive", D, "F*2 S*50 F*2 S*50 closed F open >open:failure-threshold"),
    ("failures just within the period count", D, "F @9.999s F*4 open >open:failure-threshold"),
    ("a failure as old as the period does not", D, "F @10s F*4 closed"),
    ("the period slides: it does not start anew", D, "@6s F*2 @12s F*2 @15.999s F open >open:failure-threshold"),
    ("the period slides: the first two have left", D, "@6s F*2 @12s F*2 @16s F closed F*2 open >open:failure-threshold"),
    ("a failure every 2 s stays at five within 10 s", D, "F @2s F @4s F @6s F @8s F open >open:failure-threshold"),
    ("a failure every 2.5 s never reaches five", D, "F @2.5s F @5s F @7.5s F @10s F @12.5s F @15s F closed"),
    ("cancelled calls count nothing", D, "X*20 F*4 X*20 closed"),
    ("a threshold of one", ONE, "F open >open:failure-threshold"),
    ("calls that began together fail together", ONE, "a( b( F)a open F)b open >open:failure-threshold @60s half"),

    // open
    ("an open one refuses and says until when", D, "F*5 no:60s @59.999s no:1ms open >open:failure-threshold"),
    ("after its time the next call is a probe", D, "F*5 @60s half a( half >open:failure-threshold >half:recovery-timeout"),
    ("looking alone changes nothing", D, "F*5 @60s half @600s half >open:failure-threshold"),
    ("refused calls do not prolong it", ONE, "F @30s no:30s @59s no:1s @60s a( >open:failure-threshold >half:recovery-timeout"),
    ("late failures do not prolong it", ONE, "a( b( F)a @30s F)b no:30s @60s half >open:failure-threshold"),
    ("late successes do not close it", ONE, "a( F @1s S)a open no:59s >open:failure-threshold"),
    ("it opens when the failure ends, not when it began", ONE, "a( @20s F)a no:60s @79s no:1s @80s half >open:failure-threshold"),

    // half-open
    ("three successes close it", D, "F*5 @60s S half S half S closed >open:failure-threshold >half:recovery-timeout >closed:probes-succeeded"),
    ("one failure opens it for the whole time again", D, "F*5 @60s S*2 F open no:60s @119s no:1s @120s half >open:failure-threshold >half:recovery-timeout >open:probe-failed"),
    ("successes start anew after a relapse", D, "F*5 @60s S*2 F @120s S*2 half S closed >open:failure-threshold >half:recovery-timeout >open:probe-failed >half:recovery-timeout >closed:probes-succeeded"),
    ("three probes at once and no more", D, "F*5 @60s a( b( c( no:? >open:failure-threshold >half:recovery-timeout"),
    ("a probe that ends makes room", D, "F*5 @60s a( b( c( no S)a d( no >open:failure-threshold >half:recovery-timeout"),
    ("a cancelled probe makes room and counts nothing", D, "F*5 @60s a( b( c( X)a half d( no S)b S)c half S)d closed >open:failure-threshold >half:recovery-timeout >closed:probes-succeeded"),
    ("cancelled probes never close it", ONE, "F @60s X*100 half S closed >open:failure-threshold >half:recovery-timeout >closed:probes-succeeded"),
    ("fewer probes than successes needed", |s| D(s).half_open_probes(1), "F*5 @60s a( no:? S)a b( no:? S)b S closed >open:failure-threshold >half:recovery-timeout >closed:probes-succeeded"),
    ("more probes than successes needed", |s| ONE(s).half_open_probes(3), "F @60s a( b( c( no S)a closed F)b F)c closed >open:failure-threshold >half:recovery-timeout >closed:probes-succeeded"),
    ("one probe fails, the others are late", D, "F*5 @60s a( b( F)a open S)b open no:60s >open:failure-threshold >half:recovery-timeout >open:probe-failed"),
    ("a cancelled probe of an earlier time makes no room in this one", |s| ONE(s).half_open_probes(1), "F @60s a( early? F)a @120s b( no X)b c( no >open:failure-threshold >half:recovery-timeout >open:probe-failed >half:recovery-timeout"),
    ("a probe of an earlier half-open time does not close this one", |s| ONE(s).half_open_probes(2), "F @60s a( b( F)a @120s c( S)b half S)c closed >open:failure-threshold >half:recovery-timeout >open:probe-failed >half:recovery-timeout >closed:probes-succeeded"),
    ("a probe of an earlier half-open time does not open this one", |s| ONE(s).half_open_probes(2), "F @60s a( b( F)a @120s c( F)b half S)c closed >open:failure-threshold >half:recovery-timeout >open:probe-failed >half:recovery-timeout >closed:probes-succeeded"),
    ("a call from before it opened is no probe", ONE, "a( F @60s b( S)a half F)b open >open:failure-threshold >half:recovery-timeout >open:probe-failed"),

    // closed again
    ("old failures are forgotten when it closes", |s| D(s).recovery_timeout(Duration::from_secs(1)), "F*5 @1s S*3 closed F*4 closed F open >open:failure-threshold >half:recovery-timeout >closed:probes-succeeded >open:failure-threshold"),
    ("failures of calls from before it opened do not count", |s| D(s).recovery_timeout(Duration::from_secs(1)), "a( F*5 @1s S*3 F*4 F)a closed >open:failure-threshold >half:recovery-timeout >closed:probes-succeeded"),

    // early
    ("a health check half-opens it early", D, "F*5 @5s early! half S*3 closed >open:failure-threshold >half:early >closed:probes-succeeded"),
    ("early probes may fail too", D, "F*5 @5s early! F open no:60s >open:failure-threshold >half:early >open:probe-failed"),
    ("there is nothing early about a closed one", D, "early? closed"),
    ("nor about a half-open one", D, "F*5 @60s a( early? half >open:failure-threshold >half:recovery-timeout"),

    // by hand
    ("held open until reset", ONE, "open! open no:? @600s no:? open early? reset! closed S >open:forced >closed:reset"),
    ("held closed whatever fails", ONE, "close! F*100 closed >closed:forced"),
    ("let go of, failures of that time are forgotten", D, "close! F*100 reset! F*4 closed F open >closed:forced >closed:reset >open:failure-threshold"),
    ("a call from before the force counts nothing", ONE, "a( close! reset! F)a closed >closed:forced >closed:reset"),
    ("an open one is closed by hand", ONE, "F close! closed S F closed >open:failure-threshold >closed:forced"),
    ("a half-open one is reset", ONE, "F @60s a( reset! closed F)a closed >open:failure-threshold >half:recovery-timeout >closed:reset"),
    ("from one force to the other", ONE, "open! close! S open! no:? >open:forced >closed:forced >open:forced"),
    ("reset forgets failures", D, "F*4 reset! F*4 closed >closed:reset"),

    // rates
    ("no rate below the minimum of calls", RATE, "F*3 closed"),
    ("half of them failed", RATE, "S*2 F closed F open >open:failure-rate"),
    ("a success can complete the minimum", RATE, "F*3 closed S open >open:failure-rate"),
    ("less than half failed", RATE, "S*3 F*2 closed S*100 F*50 closed"),
    ("calls leave the period", RATE, "S*100 @10s F*4 open >open:failure-rate"),
    ("threshold and rate: what comes first", |s| RATE(s).failure_threshold(2), "S*100 F*2 open >open:failure-threshold"),
    ("rates start anew when it closes", RATE, "F*4 @60s S closed F*3 closed >open:failure-rate >half:recovery-timeout >closed:probes-succeeded"),
    ("rates start anew at once after a reset", RATE, "F*3 reset! F*3 closed F open >closed:reset >open:failure-rate"),
    ("60 % of the last ten", LAST, "S*2 F*2 closed F*3 S*2 closed F open >open:failure-rate"),
    ("the last ten, however long ago", LAST, "F*5 @1000s S*4 closed F open >open:failure-rate"),
    ("what came before the last ten is forgotten", LAST, "S*5 F*5 S*5 F*5 closed F open >open:failure-rate"),

    // slow calls
    ("half of them slow", SLOW, "S*2 S/2s closed S/3s open >open:slow-call-rate"),
    ("almost slow is not slow", SLOW, "S/1.999s*20 closed"),
    ("slow failures are both", |s| SLOW(s).failure_threshold(100), "S*2 F/2s F/2s open >open:slow-call-rate"),
    ("a slow probe fails", SLOW, "S/2s*4 open @60s S/2s open no:60s @120s S closed >open:slow-call-rate >half:recovery-timeout >open:probe-slow >half:recovery-timeout >closed:probes-succeeded"),
];

#[test]
fn every_row_holds() {
    assert!(TABLE.len() >= 40);
    for (name, settings, steps) in TABLE {
        let mut world = World::new(settings(BreakerSettings::new()));
        for (at, step) in steps.split_whitespace().enumerate() {
            if let Err(what) = world.step(step) {
                panic!("{name}: step {at} `{step}` of `{steps}`: {what}");
            }
        }
        let told = world.told.lock().unwrap();
        assert!(told.is_empty(), "{name}: `{steps}`: the observer was told more: {told:?}");
    }
}

/// The table's own language can fail: each of these lines is wrong.
#[test]
fn wrong_rows_are_found() {
    let wrong = [
        "open",
        "F*5 closed",
        "F*5 S",
        "no",
        "F*5 no:59s",
        "F*5 >half:forced",
        "early!",
        "S)a",
        "what",
        "F*x",
        "@1",
    ];
    for line in wrong {
        let mut world = World::new(BreakerSettings::new());
        assert!(line.split_whitespace().any(|step| world.step(step).is_err()), "`{line}` passes");
    }
}

struct World {
    clock: ManualClock,
    breaker: Arc<Breaker>,
    under_way: HashMap<String, OwnedPermit>,
    told: Arc<Mutex<VecDeque<String>>>,
}

impl World {
    fn new(settings: BreakerSettings) -> Self {
        let told = Arc::new(Mutex::new(VecDeque::new()));
        let breaker = Breaker::with_observer(settings, {
            let told = told.clone();
            move |t: Transition| told.lock().unwrap().push_back(format!("{}:{}", short(t.to), t.reason))
        });
        let breaker = Arc::new(breaker.expect("the table's settings are valid"));
        Self { clock: ManualClock::default(), breaker, under_way: HashMap::new(), told }
    }

    fn step(&mut self, step: &str) -> Result<(), String> {
        let now = self.clock.now();
        match step {
            "closed" | "open" | "half" => return equal(short(self.breaker.state(now)), step),
            "open!" => self.breaker.force_open(),
            "close!" => self.breaker.force_close(),
            "reset!" => self.breaker.reset(),
            "early!" | "early?" => return equal(self.breaker.early_half_open(), step == "early!"),
            _ if step.starts_with('@') => {
                let to = time(&step[1..])?;
                if to < now {
                    return Err("time goes forward".into());
                }
                self.clock.advance(to - now);
            }
            _ if step.starts_with('>') => {
                let told = self.told.lock().unwrap().pop_front();
                return equal(told.as_deref(), Some(&step[1..]));
            }
            _ if step == "no" || step.starts_with("no:") => {
                let refused = self.breaker.try_acquire(now).err().ok_or("it was admitted")?;
                match step.strip_prefix("no:") {
                    None => {}
                    Some("?") => return equal(refused.retry_after, None),
                    Some(after) => return equal(refused.retry_after, Some(time(after)?)),
                }
            }
            _ => return self.calls(step),
        }
        Ok(())
    }

    fn calls(&mut self, step: &str) -> Result<(), String> {
        let now = self.clock.now();
        if let Some(name) = step.strip_suffix('(') {
            let permit = self.breaker.try_acquire_owned(now).map_err(|open| open.to_string())?;
            self.under_way.insert(name.to_owned(), permit);
            return Ok(());
        }
        if let Some((verdict, name)) = step.split_once(')') {
            let permit = self.under_way.remove(name).ok_or("no such call is under way")?;
            return end(permit, verdict, now);
        }
        let (verdict, times) = step.split_once('*').unwrap_or((step, "1"));
        for _ in 0..times.parse::<u32>().map_err(|e| e.to_string())? {
            end(self.breaker.try_acquire_owned(now).map_err(|open| open.to_string())?, verdict, now)?;
        }
        Ok(())
    }
}

fn end(permit: OwnedPermit, verdict: &str, now: Nanos) -> Result<(), String> {
    let (verdict, elapsed) = match verdict.split_once('/') {
        Some((verdict, elapsed)) => (verdict, time(elapsed)?),
        None => (verdict, Nanos::ZERO),
    };
    match verdict {
        "S" => permit.success(now, elapsed),
        "F" if elapsed == Nanos::ZERO => permit.failure(now),
        "F" => permit.settle(Verdict::Failure, now, elapsed),
        "X" => drop(permit),
        _ => return Err("no such step".into()),
    }
    Ok(())
}

fn short(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open => "open",
        _ => "half",
    }
}

fn time(text: &str) -> Result<Nanos, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1e6),
        None => (text.strip_suffix('s').ok_or("a time needs its unit")?, 1e9),
    };
    let number: f64 = number.parse().map_err(|e| format!("{number}: {e}"))?;
    Ok(Nanos((number * unit).round() as u64))
}

#[allow(clippy::needless_pass_by_value)] // literals stand at the calls
fn equal<T: PartialEq + std::fmt::Debug>(is: T, should: T) -> Result<(), String> {
    if is == should { Ok(()) } else { Err(format!("is {is:?}, should be {should:?}")) }
}

/// Whoever has the breaker stand guard learns from `stance` what `admit` would say, and from `settle` when to ask anew.
#[test]
fn stance_says_what_admit_would_and_settle_when_it_changes() {
    let settings = BreakerSettings::new().failure_threshold(2).success_threshold(2).half_open_probes(1);
    let b = Breaker::new(settings).unwrap();
    let (s, fail, ok) = (Nanos::from_secs, Verdict::Failure, Verdict::Success);
    let admit = |now| Ticket::from_number(b.admit(s(now)).unwrap().into_number());
    assert!(!b.settle(admit(0), ok, Nanos::ZERO, s(0)) && !b.settle(admit(0), fail, Nanos::ZERO, s(0)));
    assert_eq!(b.stance(s(0)), Stance::Clear);
    assert!(b.settle(admit(1), fail, Nanos::ZERO, s(1)));
    assert_eq!(b.stance(s(2)), Stance::Refusing { until: Some(s(61)) });
    assert_eq!(b.stance(s(61)), Stance::Probing { free: true });
    let probe = admit(61);
    assert_eq!(b.stance(s(61)), Stance::Probing { free: false });
    assert!(b.admit(s(61)).is_err());
    assert!(b.settle(probe, Verdict::Cancelled, Nanos::ZERO, s(62)), "a permit came back");
    assert!(b.settle(admit(62), ok, Nanos::ZERO, s(62)) && b.settle(admit(62), ok, Nanos::ZERO, s(62)));
    assert_eq!(b.stance(s(62)), Stance::Clear);
    b.force_open();
    assert_eq!(b.stance(s(999)), Stance::Refusing { until: None });
    b.force_close();
    assert_eq!(b.stance(s(999)), Stance::Clear);
}
