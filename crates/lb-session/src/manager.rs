//! The sessions of one pool: who a request belongs to, and where it goes.
//!
//! Everything here is local and immediate: no I/O, no clock, no randomness but what is handed in. With the feature `store` a
//! `SharedSessions` lets several managers agree.
//!
//! A request is [resolved](SessionManager::resolve) to a session and perhaps its backend. Without one the engine picks and
//! [assigns](SessionManager::assign); when the backend may not be [followed](crate::follow()), it picks again and
//! [reassigns](SessionManager::reassign). Both say which backend counts: of two requests of one new session the first wins.

mod lists;
mod resolve;

pub use lists::SessionView;
pub use resolve::{Affinity, Resolved, Source};

use crate::cookie::seal::{Sealer, Secret, Ticket};
use crate::key::AffinityKind;
use crate::names::Names;
use crate::record::{Merge, Record, merge};
use crate::settings::SessionAffinity;
use crate::stats::Counters;
use crate::table::Table;
use crate::{Moment, SessionId};
use lb_types::BackendId;
use lb_types::SettingsError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The epoch of a tombstone for a session that is not known here, but may be elsewhere: more than any session moves.
const UNKNOWN_CLEARED_EPOCH: u16 = 1 << 14;

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

    /// The backend of this session, and nothing is renewed by asking.
    pub fn backend_for_session(&self, id: SessionId, at: Moment) -> Option<BackendId> {
        let record = self.table.peek(id, at.now)?;
        if self.is_too_old(&record, at) { None } else { record.backend }
    }

    /// The session is used: it lives for `ttl` from now. Whether it is there.
    pub fn touch(&self, id: SessionId, at: Moment) -> bool {
        self.table
            .look_up(id, at.now, None)
            .is_some_and(|found| found.record.backend.is_some() && !self.is_too_old(&found.record, at))
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

    /// The `Set-Cookie` header for the session as it is now; `None` when sessions are not recognised by cookie, when it has no backend,
    /// or one whose id no cookie can carry (then it is known by this node's table and the store alone). `tls`: the client came by TLS.
    pub fn set_cookie(&self, id: SessionId, at: Moment, tls: bool) -> Option<String> {
        if self.settings.kind != AffinityKind::Cookie {
            return None;
        }
        let record = self.table.peek(id, at.now).filter(|record| !self.is_too_old(record, at))?;
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

    /// What another node knows of a session: it is taken if it counts, or if ours is over for its age. Returns the backend afterwards.
    pub(crate) fn take(&self, id: SessionId, record: Record, at: Moment) -> Option<BackendId> {
        let (record, _) = self.table.update(id, at.now, |present| match present {
            Some(present)
                if !self.is_too_old(present, at) && merge(present, Some(&record)) != Merge::TakeStored =>
            {
                None
            }
            _ => Some(Record { backend: record.backend.map(|b| self.names.share(&b)), ..record }),
        });
        record.and_then(|record| record.backend)
    }

    #[cfg(feature = "store")]
    pub(crate) fn note_ignored(&self, why: crate::Ignored) {
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
        self.is_older(record.created, at)
    }

    fn is_older(&self, created: u32, at: Moment) -> bool {
        self.lifetime_s.is_some_and(|most| at.unix_s.saturating_sub(created) > most)
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

impl std::fmt::Debug for SessionManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionManager")
            .field("pool", &self.pool)
            .field("settings", &self.settings)
            .field("stats", &self.session_stats())
            .finish_non_exhaustive()
    }
}
