//! The sessions of one pool: who a request belongs to, and where it goes.
//!
//! Everything here is local and immediate: no I/O, no clock, no randomness but what is handed in. With the feature `store` a
//! `SharedSessions` lets several managers agree.
//!
//! A request is [resolved](SessionManager::resolve) to a session and perhaps its backend. Without one the engine picks and
//! [assigns](SessionManager::assign); when the backend may not be [followed](crate::follow()), it picks again and
//! [reassigns](SessionManager::reassign). Both say which backend counts: of two requests of one new session the first wins.

use crate::cookie::header::values;
use crate::cookie::seal::{Sealer, Secret, Ticket};
use crate::ignored::Ignored;
use crate::key::{AffinityKind, derived_id};
use crate::names::Names;
use crate::record::{Merge, Record, merge};
use crate::settings::SessionAffinity;
use crate::stats::{Counters, SessionStats};
use crate::table::{TICK, Table};
use crate::{Moment, SessionId};
use lb_types::SettingsError;
use lb_types::{BackendId, Nanos, RequestInfo};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The epoch of a tombstone for a session that is not known here, but may be elsewhere: more than any session moves.
const UNKNOWN_CLEARED_EPOCH: u16 = 1 << 14;

/// Where a session's requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// To this backend, if it may be [followed](crate::follow()).
    Backend(BackendId),
    /// Nowhere yet: pick, and assign.
    None,
    /// The session was cleared: pick, and assign under [`Resolved::session`].
    Cleared,
}

/// How it is known where a session's requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is not known.
    Nowhere,
    /// The table has it.
    Table,
    /// The table had not, and the cookie says so: another node, a restart, or eviction.
    Cookie,
    /// A shared store.
    Store,
}

/// What is known of a request's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The session, for assigning; `None` when the request has nothing to recognise it by, and cannot have.
    pub session: Option<SessionId>,
    /// Where it goes.
    pub affinity: Affinity,
    /// How that is known.
    pub source: Source,
    /// The session's id was drawn for this request: nobody else can know it.
    pub fresh: bool,
    /// Send a new cookie even if the session does not move: the old one ages, or says what does not hold any more.
    pub cookie_due: bool,
    /// What the client presented and was ignored.
    pub ignored: Option<Ignored>,
    /// It is time to compare the session with the store.
    pub(crate) sync_due: bool,
}

/// A session, for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// Its backend.
    pub backend: BackendId,
    /// When it began, Unix s.
    pub created: u32,
}

/// The sessions of one pool.
pub struct SessionManager {
    settings: SessionAffinity,
    pool: Box<str>,
    header_name: Box<str>,
    sealer: Sealer,
    table: Table,
    names: Names,
    counters: Counters,
    ttl_s: u32,
    lifetime_s: Option<u32>,
    /// A cookie of this age is replaced, so that those who keep coming keep theirs.
    renew_s: u32,
}

impl SessionManager {
    /// For the pool of this name. `random` is the secret when none is configured, and seeds the table's hash: 256 bits that nobody can
    /// predict.
    ///
    /// # Errors
    /// The first setting that is out of its bounds, by field and value.
    pub fn new(settings: SessionAffinity, pool: &str, random: [u8; 32]) -> Result<Self, SettingsError> {
        settings.validate()?;
        let sealer = if settings.secret.is_empty() {
            Sealer::new(pool, &[Secret::new(random)?])?
        } else {
            Sealer::new(pool, &settings.secret)?
        };
        let [.., a, b, c, d, e, f, g, h] = random;
        let seconds = |d: Duration| u32::try_from(d.as_secs()).unwrap_or(u32::MAX);
        let ttl_s = seconds(settings.ttl);
        let max_age_s = settings.cookie_options.max_age.map_or(ttl_s, seconds);
        Ok(Self {
            pool: pool.into(),
            header_name: settings.header_name.to_ascii_lowercase().into(),
            sealer,
            table: Table::new(
                settings.max_sessions,
                settings.ttl.into(),
                u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            ),
            names: Names::default(),
            counters: Counters::default(),
            ttl_s,
            lifetime_s: settings.max_lifetime.map(seconds),
            renew_s: ttl_s.min(max_age_s) / 2,
            settings,
        })
    }

    /// The settings.
    pub fn settings(&self) -> &SessionAffinity {
        &self.settings
    }

    /// The pool's name.
    pub fn pool(&self) -> &str {
        &self.pool
    }

    /// Whose request this is, and where it goes. `fresh` becomes the id of a new session where ids are drawn (cookies).
    ///
    /// Looks at one `Cookie` header; with HTTP/2 there may be several: see [`resolve_cookies`](Self::resolve_cookies).
    pub fn resolve(&self, request: &RequestInfo<'_>, fresh: SessionId, at: Moment) -> Resolved {
        self.resolve_and_note(request, fresh, at, None)
    }

    /// As [`resolve`](Self::resolve) for affinity by cookie, over all `Cookie` headers of the request.
    pub fn resolve_cookies<'a>(
        &self,
        headers: impl IntoIterator<Item = &'a [u8]>,
        fresh: SessionId,
        at: Moment,
    ) -> Resolved {
        self.cookies(headers, fresh, at, None)
    }

    pub(crate) fn resolve_and_note(
        &self,
        request: &RequestInfo<'_>,
        fresh: SessionId,
        at: Moment,
        sync_after: Option<Nanos>,
    ) -> Resolved {
        if self.settings.kind == AffinityKind::Cookie {
            return self.cookies(request.headers.header("cookie"), fresh, at, sync_after);
        }
        match derived_id(self.settings.kind, &self.header_name, &self.pool, request) {
            Ok(None) => Resolved::unknown(None, false, None),
            Ok(Some(id)) => self.known_by_itself(id, at, sync_after),
            Err(why) => {
                self.counters.ignored(why);
                Resolved::unknown(None, false, Some(why))
            }
        }
    }

    fn known_by_itself(&self, id: SessionId, at: Moment, sync_after: Option<Nanos>) -> Resolved {
        let Some(found) = self.table.look_up(id, at.now, sync_after) else {
            return Resolved::unknown(Some(id), false, None);
        };
        let mut resolved = Resolved::unknown(Some(id), false, None);
        (resolved.source, resolved.sync_due) = (Source::Table, found.sync_due);
        match found.record {
            record if self.is_too_old(&record, at) => resolved.source = Source::Nowhere,
            Record { backend: Some(backend), .. } => resolved.affinity = Affinity::Backend(backend),
            Record { backend: None, .. } => resolved.affinity = Affinity::Cleared,
        }
        resolved
    }

    pub(crate) fn cookies<'a>(
        &self,
        headers: impl IntoIterator<Item = &'a [u8]>,
        fresh: SessionId,
        at: Moment,
        sync_after: Option<Nanos>,
    ) -> Resolved {
        let mut ignored = None;
        let name = &*self.settings.cookie_name;
        // Bounded: headers by the parser's limits, and each by `values`.
        for value in headers.into_iter().flat_map(|header| values(header, name)) {
            let opened = self.sealer.open(value).and_then(|opened| {
                opened.ticket.check_age(at.unix_s, self.ttl_s, self.lifetime_s).map(|()| opened)
            });
            match opened {
                Ok(opened) => match self.believe(&opened.ticket, opened.old_secret, at, sync_after) {
                    Ok(resolved) => return resolved,
                    Err(why) => ignored = Some(why),
                },
                // A cookie of another path beside the right one is no news: only when none counts, the first reason does.
                Err(why) => {
                    ignored.get_or_insert(why);
                }
            }
        }
        if let Some(why) = ignored {
            self.counters.ignored(why);
        }
        let mut resolved = Resolved::unknown(Some(fresh), true, ignored);
        if ignored == Some(Ignored::Cleared) {
            resolved.affinity = Affinity::Cleared;
        }
        resolved
    }

    /// An authentic and timely cookie: what does the table say of its session?
    fn believe(
        &self,
        ticket: &Ticket,
        old_secret: bool,
        at: Moment,
        sync_after: Option<Nanos>,
    ) -> Result<Resolved, Ignored> {
        let id = ticket.session;
        let found = self.table.look_up(id, at.now, sync_after);
        let mut resolved = Resolved::unknown(Some(id), false, None);
        let aged = at.unix_s.saturating_sub(ticket.issued) >= self.renew_s;
        let (backend, differs) = match found {
            Some(found) => {
                resolved.source = Source::Table;
                resolved.sync_due = found.sync_due;
                let Some(backend) = found.record.backend else { return Err(Ignored::Cleared) };
                if ticket.epoch > found.record.epoch {
                    // It moved on another node since.
                    (self.take(id, self.record_of(ticket), at), false)
                } else {
                    let differs = ticket.epoch != found.record.epoch || ticket.backend != backend;
                    (Some(backend), differs)
                }
            }
            None => {
                resolved.source = Source::Cookie;
                resolved.sync_due = sync_after.is_some();
                (self.take(id, self.record_of(ticket), at), false)
            }
        };
        let Some(backend) = backend else { return Err(Ignored::Cleared) };
        resolved.cookie_due = old_secret || aged || differs;
        resolved.affinity = Affinity::Backend(backend);
        Ok(resolved)
    }

    fn record_of(&self, ticket: &Ticket) -> Record {
        Record {
            backend: Some(self.names.share(&ticket.backend)),
            created: ticket.created,
            epoch: ticket.epoch,
        }
    }

    /// The backend of this session, and nothing is renewed by asking.
    pub fn backend_for_session(&self, id: SessionId, at: Moment) -> Option<BackendId> {
        let record = self.table.peek(id, at.now)?;
        if self.is_too_old(&record, at) { None } else { record.backend }
    }

    /// The session is used: it lives for `ttl` from now. Whether it is there.
    pub fn touch(&self, id: SessionId, at: Moment) -> bool {
        self.table.look_up(id, at.now, None).is_some_and(|found| found.record.backend.is_some())
    }

    /// Binds a session that has no backend. Returns the one that counts: another, if another request of the session was faster.
    pub fn assign(&self, id: SessionId, backend: &BackendId, at: Moment) -> BackendId {
        let (record, _) = self.table.update(id, at.now, |present| match present {
            None => Some(self.bound(backend, at, 0)),
            Some(record) if self.may_begin_anew(record, at) => {
                Some(self.bound(backend, at, record.epoch.saturating_add(1)))
            }
            Some(_) => None,
        });
        // A cookie's session that was cleared meanwhile stays so: this request goes where it was sent, and is bound to nothing.
        record.and_then(|record| record.backend).unwrap_or_else(|| backend.clone())
    }

    /// Moves a session from a backend that may not be followed. Returns the one that counts: another, if another request moved it
    /// before, to which the same question applies.
    pub fn reassign(&self, id: SessionId, from: &BackendId, to: &BackendId, at: Moment) -> BackendId {
        let (record, changed) = self.table.update(id, at.now, |present| match present {
            None => Some(self.bound(to, at, 1)),
            Some(record) if record.backend.as_ref() == Some(from) => Some(Record {
                backend: Some(to.clone()),
                created: record.created,
                epoch: record.epoch.saturating_add(1),
            }),
            Some(record) if self.may_begin_anew(record, at) => {
                Some(self.bound(to, at, record.epoch.saturating_add(1)))
            }
            Some(_) => None,
        });
        if changed {
            self.counters.moved.fetch_add(1, Relaxed);
        }
        record.and_then(|record| record.backend).unwrap_or_else(|| to.clone())
    }

    /// Forgets where the session goes; whether it was known here. A tombstone stays until `ttl`, so that a cookie that names it does not
    /// route any more. A session by address or header begins anew with its next request.
    pub fn clear_session(&self, id: SessionId, at: Moment) -> bool {
        let mut known = false;
        self.table.update(id, at.now, |present| {
            known = present.is_some_and(|record| record.backend.is_some());
            let epoch = match (self.settings.kind, present) {
                // Drawn once and never used again: no record of it counts any more.
                (AffinityKind::Cookie, _) => u16::MAX,
                (_, Some(record)) => record.epoch.saturating_add(1),
                (_, None) => UNKNOWN_CLEARED_EPOCH,
            };
            Some(Record { backend: None, created: present.map_or(at.unix_s, |r| r.created), epoch })
        });
        self.counters.cleared.fetch_add(u64::from(known), Relaxed);
        known
    }

    /// The `Set-Cookie` header for the session as it is now; `None` when it has no backend, or one whose id no cookie can carry (then
    /// it is known by this node's table and the store alone). `tls`: the client came by TLS.
    pub fn set_cookie(&self, id: SessionId, at: Moment, tls: bool) -> Option<String> {
        let record = self.table.peek(id, at.now)?;
        let ticket = Ticket {
            session: id,
            backend: record.backend?,
            created: record.created,
            issued: at.unix_s,
            epoch: record.epoch,
        };
        let value = self.sealer.seal(&ticket).ok()?;
        Some(self.settings.cookie_options.render(&self.settings.cookie_name, &value, tls))
    }

    /// What was counted so far.
    pub fn session_stats(&self) -> SessionStats {
        let counts = self.table.counts();
        let sum = Nanos(counts.ticks.saturating_mul(TICK.0)).as_secs_f64();
        SessionStats {
            active: counts.active,
            total: counts.total,
            avg_duration: if counts.total == 0 { 0.0 } else { sum / counts.total as f64 },
            tombstones: counts.tombstones,
            cleared: self.counters.cleared.load(Relaxed),
            expired: counts.expired,
            evicted: counts.evicted,
            moved: self.counters.moved.load(Relaxed),
            ignored: self.counters.ignored_counts(),
        }
    }

    /// Up to `limit` sessions, in no order that means anything. Holds up requests of one shard at a time.
    pub fn sessions(&self, limit: usize, at: Moment) -> Vec<SessionView> {
        let mut list = Vec::new();
        if limit > 0 {
            self.table.each(at.now, |id, backend, created| {
                list.push(SessionView { id, backend: backend.clone(), created });
                list.len() < limit
            });
        }
        list
    }

    /// How many sessions this backend has: what a drain waits for. Looks at every session.
    pub fn sessions_on(&self, backend: &BackendId, at: Moment) -> usize {
        let mut count = 0;
        self.table.each(at.now, |_, of, _| {
            count += usize::from(of == backend);
            true
        });
        count
    }

    /// Clears away what has expired; it is not needed for the bound or for correctness, and makes `active` exact. For a timer.
    pub fn sweep(&self, at: Moment) {
        self.table.sweep(at.now);
    }

    /// What another node knows of a session: it is taken if it counts. Returns the backend afterwards.
    pub(crate) fn take(&self, id: SessionId, record: Record, at: Moment) -> Option<BackendId> {
        let (record, _) = self.table.update(id, at.now, |present| match present {
            Some(present) if merge(present, Some(&record)) != Merge::TakeStored => None,
            _ => Some(Record { backend: record.backend.map(|b| self.names.share(&b)), ..record }),
        });
        record.and_then(|record| record.backend)
    }

    #[cfg(feature = "store")]
    pub(crate) fn note_ignored(&self, why: Ignored) {
        self.counters.ignored(why);
    }

    #[cfg(feature = "store")]
    pub(crate) fn record(&self, id: SessionId, at: Moment) -> Option<Record> {
        self.table.peek(id, at.now)
    }

    /// Ours counts more than one that is over for its age, whatever its epoch.
    #[cfg(feature = "store")]
    pub(crate) fn outlive(&self, id: SessionId, epoch: u16, at: Moment) {
        self.table.update(id, at.now, |present| {
            let present = present.filter(|present| present.epoch <= epoch)?;
            Some(Record { epoch: epoch.saturating_add(1), ..present.clone() })
        });
    }

    #[cfg(feature = "store")]
    pub(crate) fn synced(&self, id: SessionId, at: Moment) {
        self.table.synced(id, at.now);
    }

    /// By a record's age, the session is over.
    pub(crate) fn is_too_old(&self, record: &Record, at: Moment) -> bool {
        self.lifetime_s.is_some_and(|most| at.unix_s.saturating_sub(record.created) > most)
    }

    /// May this be followed by a new session of the same id? A cookie's id is used once; others come back.
    pub(crate) fn may_begin_anew(&self, record: &Record, at: Moment) -> bool {
        self.settings.kind != AffinityKind::Cookie
            && (record.backend.is_none() || self.is_too_old(record, at))
    }

    fn bound(&self, backend: &BackendId, at: Moment, epoch: u16) -> Record {
        Record { backend: Some(backend.clone()), created: at.unix_s, epoch }
    }
}

impl Resolved {
    fn unknown(session: Option<SessionId>, fresh: bool, ignored: Option<Ignored>) -> Self {
        Self {
            session,
            affinity: Affinity::None,
            source: Source::Nowhere,
            fresh,
            cookie_due: false,
            ignored,
            sync_due: false,
        }
    }

    /// The backend, if it is known.
    pub fn backend(&self) -> Option<&BackendId> {
        match &self.affinity {
            Affinity::Backend(backend) => Some(backend),
            Affinity::None | Affinity::Cleared => None,
        }
    }
}

impl std::fmt::Debug for SessionManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionManager")
            .field("pool", &self.pool)
            .field("settings", &self.settings)
            .field("stats", &self.session_stats())
            .finish_non_exhaustive()
    }
}
