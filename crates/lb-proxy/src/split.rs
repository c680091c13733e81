//! A route to several pools at once, by percent: which of them a request goes to, and what came of it there.
//!
//! One [`Splitting`] is shared by all routes that name it and by all workers, so that percentages are exact for the process. `lb-split` decides; here
//! a client's point is found (`lb_session::cohort`), its cookie is drawn, and what its side did is counted, by each worker for itself.
//!
//! **Counted** is a request with its response's head. An error is a 5xx of the backend, or any answer of the proxy's own in a backend's place (no
//! backend usable, no connection, no answer in time, the breaker's fallback, a full queue); and a response that the backend breaks off after its head.
//! What is the client's fault (it left, its body broke off, is too slow or too large) or its rate limit's is not counted at all.
//! The latency is from the choice to the response's head: waiting and retries are in it.

use crate::headers;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use lb_balancer::session::{AffinityKind, SessionId, cohort};
use lb_core::{Histogram, HistogramSnapshot};
use lb_split::Split;
use lb_types::{Clock, Nanos, RequestInfo, SettingsError};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// By what a client stays on its side.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cohort {
    /// By nothing: each request is divided by itself, exactly.
    None,
    /// A cookie of the split's own. Who has none gets one at once; backends do not see it.
    Cookie {
        /// Its name.
        name: String,
        /// How long browsers keep it, from when it was set.
        max_age: Duration,
    },
    /// A header; a request without it is divided as if there were no cohorts.
    Header(HeaderName),
    /// The client's address.
    Ip,
}

impl Cohort {
    /// The usual name of a cookie.
    pub const COOKIE: &str = "lb_cohort";
    /// How long browsers keep it, if nothing else is said: 30 days.
    pub const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

    /// As a word: `none`, `cookie`, `header`, `ip-hash`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cookie { .. } => "cookie",
            Self::Header(_) => "header",
            Self::Ip => "ip-hash",
        }
    }
}

/// A split as the proxy uses it. Its targets are pools, by their balancers' names.
pub struct Splitting {
    split: Arc<Split>,
    cohort: Cohort,
    clock: Arc<dyn Clock>,
    /// Each worker's counts, by target.
    counts: Mutex<Vec<Sides>>,
}

/// One worker's counts, by target.
pub(crate) type Sides = Arc<[Arc<Side>]>;

impl std::fmt::Debug for Splitting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Splitting")
            .field("split", &self.split.name())
            .field("cohort", &self.cohort)
            .finish_non_exhaustive()
    }
}

impl Splitting {
    /// `clock` is by which shifts go on; whoever changes the split goes by the same.
    ///
    /// # Errors
    /// A cookie's name that is no token, or a `max_age` of less than a second.
    pub fn new(split: Arc<Split>, cohort: Cohort, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        if let Cohort::Cookie { name, max_age } = &cohort {
            // A header's name has the same characters.
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(SettingsError::new("cookie_name", name, "must be a cookie's name"));
            }
            if *max_age < Duration::from_secs(1) {
                return Err(SettingsError::new("max_age", max_age, "must be at least 1s"));
            }
        }
        Ok(Self { split, cohort, clock, counts: Mutex::default() })
    }

    /// The split itself: to look at and to change, by [`now`](Self::now).
    pub fn split(&self) -> &Arc<Split> {
        &self.split
    }

    /// By what clients stay on their side.
    pub fn cohort(&self) -> &Cohort {
        &self.cohort
    }

    /// The time that shifts go by.
    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// What came of each target's requests since the start. O(workers).
    pub fn totals(&self) -> Vec<SideTotals> {
        let mut totals = vec![SideTotals::default(); self.split.targets().len()];
        for sides in self.lock().iter() {
            for (total, side) in totals.iter_mut().zip(sides.iter()) {
                total.errors += side.errors.load(Relaxed);
                total.latency.merge(&side.latency.snapshot());
            }
        }
        totals
    }

    /// A worker's own counts.
    pub(crate) fn register(&self) -> Sides {
        let sides: Sides = self.split.targets().iter().map(|_| Arc::default()).collect();
        self.lock().push(sides.clone());
        sides
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Sides>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The target of a request, by its index, and a cookie for a client that is to be known from now on.
    pub(crate) fn choose(
        &self,
        info: &RequestInfo<'_>,
        is_secure: impl FnOnce() -> bool,
        now: Nanos,
    ) -> (usize, Option<HeaderValue>) {
        let client = match &self.cohort {
            Cohort::None => None,
            Cohort::Cookie { name, .. } => cohort::client(AffinityKind::Cookie, name, info),
            Cohort::Header(name) => cohort::client(AffinityKind::Header, name.as_str(), info),
            Cohort::Ip => cohort::client(AffinityKind::IpHash, "", info),
        };
        let (client, cookie) = match (&self.cohort, client) {
            (Cohort::Cookie { name, max_age }, None) => {
                let drawn = SessionId::from_random(fastrand::u128(..));
                (Some(drawn), set_cookie(name, drawn, *max_age, is_secure()))
            }
            (_, client) => (client, None),
        };
        let point = client.map(|client| cohort::point(client, self.split.name()));
        (self.split.choose(point, now), cookie)
    }

    /// Takes the split's own cookie out of what a backend is told.
    pub(crate) fn hide(&self, to_backend: &mut HeaderMap) {
        if let Cohort::Cookie { name, .. } = &self.cohort {
            headers::strip_cookie(to_backend, name);
        }
    }
}

fn set_cookie(name: &str, id: SessionId, max_age: Duration, is_secure: bool) -> Option<HeaderValue> {
    let secure = if is_secure { "; Secure" } else { "" };
    let age = max_age.as_secs();
    HeaderValue::try_from(format!("{name}={id}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}")).ok()
}

/// What came of one target's requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SideTotals {
    /// Requests that failed by the target's fault. One whose response broke off counts when it does.
    pub errors: u64,
    /// From the choice to the response's head: of every request that was counted.
    pub latency: HistogramSnapshot,
}

impl SideTotals {
    /// Requests that were answered.
    pub fn requests(&self) -> u64 {
        self.latency.count()
    }

    /// What came since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            errors: self.errors.saturating_sub(earlier.errors),
            latency: self.latency.since(&earlier.latency),
        }
    }
}

/// One worker's counts of one target.
#[derive(Debug, Default)]
pub(crate) struct Side {
    errors: AtomicU64,
    latency: Histogram,
}

impl Side {
    pub(crate) fn failed(&self) {
        self.errors.fetch_add(1, Relaxed);
    }

    fn answered(&self, after: Nanos) {
        self.latency.record(after);
    }
}

/// A request of a split on its way.
pub(crate) struct Sided<'w> {
    pub(crate) splitting: &'w Splitting,
    pub(crate) side: &'w Arc<Side>,
    pub(crate) cookie: Option<HeaderValue>,
    pub(crate) began: Nanos,
}

/// What answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// A backend, or the proxy in its place.
    Fine,
    /// The same, and the target is at fault.
    Failed,
    /// It says nothing of the target.
    Not,
}

impl Sided<'_> {
    /// Counts the request, and gives the client its cookie.
    #[cold]
    pub(crate) fn end(&self, answered: Answered, to_client: &mut HeaderMap) {
        if let Some(cookie) = &self.cookie {
            to_client.append(header::SET_COOKIE, cookie.clone());
        }
        if answered != Answered::Not {
            self.side.answered(self.splitting.now() - self.began);
        }
        if answered == Answered::Failed {
            self.side.failed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_split::Percent;
    use lb_types::ManualClock;

    fn splitting(cohort: Cohort, green: f64) -> Splitting {
        let percent = |p: f64| Percent::try_from(p).unwrap();
        let targets = [("blue", percent(100.0 - green)), ("green", percent(green))];
        let split = Split::new("s", &targets, cohort != Cohort::None).unwrap();
        Splitting::new(split.into(), cohort, Arc::new(ManualClock::default())).unwrap()
    }

    fn cookie() -> Cohort {
        Cohort::Cookie { name: "c".into(), max_age: Cohort::MAX_AGE }
    }

    fn choose<const N: usize>(s: &Splitting, headers: &[(&str, &str); N]) -> (usize, Option<String>) {
        let info = RequestInfo { headers, ..RequestInfo::default() };
        let (target, cookie) = s.choose(&info, || true, Nanos::ZERO);
        (target, cookie.map(|c| c.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_new_client_gets_a_cookie_and_is_at_once_where_it_stays() {
        let s = splitting(cookie(), 50.0);
        let mut seen = [0; 2];
        for _ in 0..200 {
            let (target, told) = choose(&s, &[("cookie", "c=not hexadecimal")]);
            let told = told.expect("its cookie is none");
            let (pair, attributes) = told.split_once(';').unwrap();
            assert_eq!(attributes, " Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax; Secure");
            assert_eq!(choose(&s, &[("cookie", pair)]), (target, None), "{pair}");
            seen[target] += 1;
        }
        assert!(seen.iter().all(|&n| n > 40), "{seen:?}");
        let mut headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static("a=1; c=2"))]);
        s.hide(&mut headers);
        assert_eq!(headers[header::COOKIE], "a=1");
    }

    #[test]
    fn who_is_not_known_is_divided_exactly() {
        for cohort in [Cohort::None, Cohort::Header("x-user".parse().unwrap()), Cohort::Ip] {
            let s = splitting(cohort, 10.0);
            assert_eq!((0..1_000).map(|_| choose(&s, &[]).0).sum::<usize>(), 100);
        }
        let s = splitting(Cohort::Header("x-user".parse().unwrap()), 50.0);
        let of = |user: &str| choose(&s, &[("x-user", user)]).0;
        assert!((0..50).all(|n| of(&n.to_string()) == of(&n.to_string())));
    }

    #[test]
    fn workers_count_apart_and_are_added_up() {
        let s = splitting(cookie(), 10.0);
        let workers = [s.register(), s.register()];
        for (worker, answered) in [(0, Answered::Fine), (1, Answered::Failed), (1, Answered::Not)] {
            let sided = Sided { splitting: &s, side: &workers[worker][1], cookie: None, began: Nanos::ZERO };
            sided.end(answered, &mut HeaderMap::new());
        }
        let totals = s.totals();
        assert_eq!(totals.iter().map(|t| (t.requests(), t.errors)).collect::<Vec<_>>(), [(0, 0), (2, 1)]);
        assert_eq!((totals[1].since(&totals[1]).requests(), totals[1].since(&totals[1]).errors), (0, 0));
    }

    #[test]
    fn bad_cookies_are_refused() {
        let new = |name: &str, max_age| {
            let split = Split::new("s", &[("a", Percent::ALL)], true).unwrap();
            let cohort = Cohort::Cookie { name: name.into(), max_age };
            Splitting::new(split.into(), cohort, Arc::new(ManualClock::default())).map_err(|e| e.field)
        };
        assert_eq!(new("a b", Cohort::MAX_AGE).unwrap_err(), "cookie_name");
        assert_eq!(new("c", Duration::ZERO).unwrap_err(), "max_age");
    }
}
