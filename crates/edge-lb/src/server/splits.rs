//! The splits of a server: made from the configuration, ticked once a second, their rollouts guided, every change told in the log.

use super::AssembleError;
use super::rollouts::{Guided, Sides};
use lb_admin::{MetricsWriter, RolloutReport, SideCount, SplitControl, SplitEntry};
use lb_config::Sticky;
use lb_proxy::{Cohort, Splitting};
use lb_split::{Event, Nanos, RolloutDecision, RolloutError, RolloutSettings, Split};
use lb_types::{Clock, SettingsError, SystemClock};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often shifts that are over are noted, and rollouts looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Who it is that changes a split by a rollout's decision.
const ROLLOUT: &str = "rollout";

/// A split and its rollout.
#[derive(Debug)]
struct Guarded {
    splitting: Arc<Splitting>,
    /// What a rollout takes that is told nothing else.
    defaults: RolloutSettings,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rollout: Option<Guided>,
    /// The number of the last event that was told.
    told: u64,
    /// Whether the last look could not be carried out, so that this is said once.
    stuck: bool,
}

/// All splits, by name. Clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Splits(Arc<BTreeMap<String, Guarded>>);

impl Splits {
    pub(super) fn new(configured: BTreeMap<String, lb_config::Split>) -> Result<Self, AssembleError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::process());
        let made = configured.into_iter().map(|(name, c)| {
            let wrong = |error| AssembleError::Split { split: name.clone(), error };
            let targets: Vec<_> = c.targets.iter().map(|(name, percent)| (&**name, *percent)).collect();
            let split = Split::new(&name, &targets, c.sticky.is_some()).map_err(wrong)?;
            let cohort = cohort(c.sticky).map_err(wrong)?;
            c.rollout.validate().map_err(wrong)?;
            let splitting = Splitting::new(split.into(), cohort, clock.clone()).map_err(wrong)?;
            let guarded =
                Guarded { splitting: splitting.into(), defaults: c.rollout, state: Mutex::default() };
            Ok((name, guarded))
        });
        Ok(Self(Arc::new(made.collect::<Result<_, AssembleError>>()?)))
    }

    /// The split as the proxy uses it.
    pub(super) fn splitting(&self, name: &str) -> Option<&Arc<Splitting>> {
        self.0.get(name).map(|guarded| &guarded.splitting)
    }

    /// Looks at all of them once a second, for ever; at once where there are none.
    pub(super) async fn follow(self) {
        while !self.0.is_empty() {
            tokio::time::sleep(LOOK).await;
            for (name, guarded) in &*self.0 {
                guarded.look(name);
            }
        }
    }

    pub(super) fn metrics(&self, out: &mut MetricsWriter) {
        for (name, guarded) in &*self.0 {
            guarded.metrics(name, out);
        }
    }
}

fn cohort(sticky: Option<Sticky>) -> Result<Cohort, SettingsError> {
    Ok(match sticky {
        None => Cohort::None,
        Some(Sticky::Cookie { name, max_age }) => Cohort::Cookie { name, max_age },
        Some(Sticky::Header(name)) => {
            let header = name.parse();
            Cohort::Header(
                header.map_err(|_| SettingsError::new("header_name", name, "must be a header's name"))?,
            )
        }
        Some(Sticky::IpHash) => Cohort::Ip,
        Some(_) => return Err(SettingsError::new("sticky", "?", "is of a kind that is not built yet")),
    })
}

impl Guarded {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn split(&self) -> &Split {
        self.splitting.split()
    }

    /// Of the first and the last target: a rollout needs two.
    fn sides(&self) -> Sides {
        let mut totals = self.splitting.totals();
        let new = totals.pop().unwrap_or_default();
        [totals.into_iter().next().unwrap_or_default(), new]
    }

    /// Notes what has ended, looks at the rollout, and tells what is new.
    fn look(&self, name: &str) {
        let now = self.splitting.now();
        self.split().tick(now);
        let mut state = self.lock();
        let State { rollout, stuck, .. } = &mut *state;
        if let Some(guided) = rollout.as_mut().filter(|g| !g.is_over()) {
            match guided.look(self.split(), &self.sides(), ROLLOUT, now) {
                Ok(look) => {
                    *stuck = false;
                    if look.is_news {
                        let [old, new] = &look.windows;
                        tell_decision(name, look.decision, (old, new));
                    }
                }
                Err(error) if !*stuck => {
                    *stuck = true;
                    tracing::warn!(split = %name, %error, "the rollout cannot go on");
                }
                Err(_) => {}
            }
        }
        self.tell(&mut state);
    }

    /// Puts what was changed into the log, whoever did it.
    fn tell(&self, state: &mut State) {
        let events = self.split().events();
        let told = state.told;
        for event in events.iter().filter(|event| event.number > told) {
            if event.number > state.told + 1 {
                let lost = event.number - state.told - 1;
                tracing::warn!(split = %event.split, lost, "more changes than are kept");
            }
            state.told = event.number;
            tell(event, self.split());
        }
    }

    fn metrics(&self, name: &str, out: &mut MetricsWriter) {
        let split = self.split();
        let shown = split.status(self.splitting.now());
        for ((target, percent), totals) in shown.targets.iter().zip(self.splitting.totals()) {
            let labels = [("split", name), ("target", target.as_str())];
            let help = "What the target gets now.";
            out.gauge("edge_lb_split_percent", help, &labels, f64::from(*percent));
            let counters = [
                ("edge_lb_split_requests_total", "Requests that the target answered.", totals.requests()),
                ("edge_lb_split_errors_total", "Those that failed by the target's fault.", totals.errors),
            ];
            out.counters(&labels, counters);
        }
        let label = [("split", name)];
        out.counter("edge_lb_split_changes_total", "Changes of the split.", &label, shown.changes);
        let state = self.lock();
        let Some(guided) = &state.rollout else { return };
        let status = guided.status();
        let step = if guided.is_over() { 0 } else { status.step + 1 };
        let help = "The step of the split's rollout, from 1; 0: it is over.";
        out.gauge("edge_lb_rollout_step", help, &label, step as f64);
        let end = status.end;
        let states = [
            ("running", end.is_none() && !guided.is_inconclusive()),
            ("inconclusive", end.is_none() && guided.is_inconclusive()),
            ("promoted", end == Some(RolloutDecision::Promote)),
            ("rolled-back", matches!(end, Some(RolloutDecision::RollBack { .. }))),
            ("overtaken", end == Some(RolloutDecision::Overtaken)),
        ];
        for (state, is) in states {
            let help = "1 for the state that the split's rollout is in.";
            let labels = [label[0], ("state", state)];
            out.gauge("edge_lb_rollout_state", help, &labels, f64::from(u8::from(is)));
        }
    }

    fn report(&self) -> Option<RolloutReport> {
        let state = self.lock();
        let guided = state.rollout.as_ref()?;
        let [old, new] = guided.windows;
        Some(RolloutReport {
            by: guided.by.clone(),
            began: guided.began,
            settings: guided.settings().clone(),
            status: guided.status(),
            inconclusive: guided.is_inconclusive(),
            limits: guided.limits(),
            old,
            new,
        })
    }
}

/// `blue 90 %, green 10 %`.
fn shown(split: &Split, percents: &[lb_split::Percent]) -> String {
    let each = split.targets().iter().zip(percents).map(|(target, percent)| format!("{target} {percent}"));
    each.collect::<Vec<_>>().join(", ")
}

fn tell(event: &Event, split: &Split) {
    let (from, to) = (shown(split, &event.from), shown(split, &event.to));
    let reason = event.change.decision().map(tracing::field::display);
    let (split, number, by, change) = (&event.split, event.number, &event.by, event.change.as_str());
    tracing::info!(%split, number, %by, change, %from, %to, reason, "split changed");
}

fn tell_decision(split: &str, decision: RolloutDecision, (old, new): (&lb_split::Window, &lb_split::Window)) {
    let counts = |w: &lb_split::Window| format!("{} requests, {} errors", w.requests, w.errors);
    let (old, new) = (counts(old), counts(new));
    match decision {
        RolloutDecision::RollBack { .. } | RolloutDecision::Inconclusive | RolloutDecision::Overtaken => {
            tracing::warn!(%split, %decision, %old, %new, "rollout");
        }
        _ => tracing::info!(%split, %decision, %old, %new, "rollout"),
    }
}

impl SplitControl for Splits {
    fn splits(&self) -> Vec<SplitEntry> {
        self.0.values().map(entry).collect()
    }

    fn split(&self, name: &str) -> Option<SplitEntry> {
        self.0.get(name).map(entry)
    }

    fn now(&self) -> Nanos {
        SystemClock::process().now()
    }

    fn unix_ms(&self, at: Nanos) -> u64 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let now = self.now();
        // Deadlines lie ahead.
        since_epoch.saturating_sub((now - at).as_millis()) + (at - now).as_millis()
    }

    fn changed(&self, split: &str) {
        if let Some(guarded) = self.0.get(split) {
            // A rollout that was overtaken by it ends at once.
            guarded.look(split);
        }
    }

    fn rollout(&self, split: &str) -> Option<RolloutReport> {
        self.0.get(split)?.report()
    }

    fn start(&self, name: &str, settings: RolloutSettings, by: &str) -> Result<(), RolloutError> {
        let guarded = self.0.get(name).ok_or_else(|| RolloutError::None(name.to_owned()))?;
        let mut state = guarded.lock();
        if state.rollout.as_ref().is_some_and(|g| !g.is_over()) {
            return Err(RolloutError::UnderWay(name.to_owned()));
        }
        let (sides, now) = (guarded.sides(), guarded.splitting.now());
        state.rollout = Some(Guided::begin(settings, guarded.split(), sides, by, now)?);
        state.stuck = false;
        guarded.tell(&mut state);
        Ok(())
    }

    fn extend(&self, name: &str, by: &str) -> Result<(), RolloutError> {
        let none = || RolloutError::None(name.to_owned());
        let guarded = self.0.get(name).ok_or_else(none)?;
        let mut state = guarded.lock();
        state.rollout.as_mut().ok_or_else(none)?.extend(name, guarded.splitting.now())?;
        tracing::info!(split = %name, %by, "rollout extended");
        Ok(())
    }

    fn abort(&self, name: &str, by: &str) -> Result<(), RolloutError> {
        let none = || RolloutError::None(name.to_owned());
        let guarded = self.0.get(name).ok_or_else(none)?;
        let mut state = guarded.lock();
        let (sides, now) = (guarded.sides(), guarded.splitting.now());
        let done = state.rollout.as_mut().ok_or_else(none)?.abort(guarded.split(), &sides, by, now);
        guarded.tell(&mut state);
        done
    }
}

fn entry(guarded: &Guarded) -> SplitEntry {
    let count = |t: lb_proxy::SideTotals| SideCount { requests: t.requests(), errors: t.errors };
    SplitEntry {
        split: guarded.splitting.split().clone(),
        sticky: guarded.splitting.cohort().as_str(),
        counts: guarded.splitting.totals().into_iter().map(count).collect(),
        rollout: guarded.defaults.clone(),
    }
}
