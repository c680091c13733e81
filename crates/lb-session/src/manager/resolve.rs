//! Whose request is it, and where does it go?

use super::SessionManager;
use crate::cookie::header::{SAME_NAME_MAX, values};
use crate::cookie::seal::{Opened, Ticket};
use crate::ignored::Ignored;
use crate::key::{AffinityKind, derived_id};
use crate::record::Record;
use crate::{Moment, SessionId};
use lb_types::{BackendId, HeaderSource, Nanos, RequestInfo};

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
    /// It is time to compare this session with the store: the request's own, or a cleared one that its cookie names.
    pub(crate) sync_due: Option<SessionId>,
}

impl SessionManager {
    /// Whose request this is, and where it goes. `fresh` draws the id of a new session: it is asked only for a client without a cookie
    /// that counts, and its ids must come from a generator that nobody can predict.
    ///
    /// Cookies are looked for in all lines that the header source [shows](lb_types::HeaderSource::each).
    pub fn resolve(
        &self,
        request: &RequestInfo<'_>,
        fresh: impl FnOnce() -> SessionId,
        at: Moment,
    ) -> Resolved {
        self.resolve_and_note(request, fresh, at, None)
    }

    pub(crate) fn resolve_and_note(
        &self,
        request: &RequestInfo<'_>,
        fresh: impl FnOnce() -> SessionId,
        at: Moment,
        sync_after: Option<Nanos>,
    ) -> Resolved {
        if self.settings.kind == AffinityKind::Cookie {
            return self.by_cookie(request, fresh, at, sync_after);
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
        (resolved.source, resolved.sync_due) = (Source::Table, found.sync_due.then_some(id));
        match found.record {
            record if self.is_too_old(&record, at) => resolved.source = Source::Nowhere,
            Record { backend: Some(backend), .. } => resolved.affinity = Affinity::Backend(backend),
            Record { backend: None, .. } => resolved.affinity = Affinity::Cleared,
        }
        resolved
    }

    fn by_cookie(
        &self,
        request: &RequestInfo<'_>,
        fresh: impl FnOnce() -> SessionId,
        at: Moment,
        sync_after: Option<Nanos>,
    ) -> Resolved {
        let (mut ignored, mut sync_due) = (None, None);
        let (found, count) = self.cookies(request);
        for value in &found[..count] {
            match self.open(value, at) {
                Ok(opened) => {
                    match self.believe(&opened.ticket, opened.old_secret, at, sync_after, &mut sync_due) {
                        Ok(resolved) => return resolved,
                        Err(why) => ignored = Some(why),
                    }
                }
                // A cookie of another path beside the right one is no news: only when none counts, the first reason does.
                Err(why) => {
                    ignored.get_or_insert(why);
                }
            }
        }
        if let Some(why) = ignored {
            self.counters.ignored(why);
        }
        let mut resolved = Resolved::unknown(Some(fresh()), true, ignored);
        resolved.sync_due = sync_due;
        if ignored == Some(Ignored::Cleared) {
            resolved.affinity = Affinity::Cleared;
        }
        resolved
    }

    /// What may be cookies of ours: few in all, however many lines a client sends, for each that is forged costs some microseconds for
    /// each secret.
    fn cookies<'a>(&self, request: &RequestInfo<'a>) -> ([&'a [u8]; SAME_NAME_MAX], usize) {
        let (mut found, mut count) = ([&b""[..]; SAME_NAME_MAX], 0);
        let headers: &'a dyn HeaderSource = request.headers;
        let name = &*self.settings.cookie_name;
        headers.each("cookie", &mut |line| {
            for value in values(line, name).take(SAME_NAME_MAX - count) {
                found[count] = value;
                count += 1;
            }
        });
        (found, count)
    }

    /// An authentic cookie that is neither too old nor from the future.
    fn open(&self, value: &[u8], at: Moment) -> Result<Opened, Ignored> {
        let opened = self.sealer.open(value)?;
        opened.ticket.check_age(at.unix_s, self.ttl_s, self.lifetime_s)?;
        Ok(opened)
    }

    /// Where this session goes: for a caller that names it itself. It is used by this.
    pub fn resolve_id(&self, id: SessionId, at: Moment) -> Resolved {
        self.known_by_itself(id, at, None)
    }

    /// As [`resolve`](Self::resolve), without any effect: nothing is renewed, taken over or counted. For explanations.
    pub fn peek(&self, request: &RequestInfo<'_>, fresh: impl FnOnce() -> SessionId, at: Moment) -> Resolved {
        let known = |id: SessionId| self.table.peek(id, at.now).filter(|record| !self.is_too_old(record, at));
        let of_record = |id, record: Option<Record>| {
            let mut resolved = Resolved::unknown(Some(id), false, None);
            match record {
                None => return resolved,
                Some(Record { backend: Some(backend), .. }) => resolved.affinity = Affinity::Backend(backend),
                Some(Record { backend: None, .. }) => resolved.affinity = Affinity::Cleared,
            }
            resolved.source = Source::Table;
            resolved
        };
        if self.settings.kind != AffinityKind::Cookie {
            return match derived_id(self.settings.kind, &self.header_name, &self.pool, request) {
                Ok(None) => Resolved::unknown(None, false, None),
                Ok(Some(id)) => of_record(id, known(id)),
                Err(why) => Resolved::unknown(None, false, Some(why)),
            };
        }
        let mut ignored = None;
        let (found, count) = self.cookies(request);
        for value in &found[..count] {
            match self.open(value, at) {
                Err(why) => _ = ignored.get_or_insert(why),
                Ok(Opened { ticket, .. }) => {
                    let id = ticket.session;
                    match known(id) {
                        Some(Record { backend: None, .. }) => ignored = Some(Ignored::Cleared),
                        Some(record) if record.epoch >= ticket.epoch => return of_record(id, Some(record)),
                        _ => {
                            let record = self.record_of(&ticket);
                            return Resolved { source: Source::Cookie, ..of_record(id, Some(record)) };
                        }
                    }
                }
            }
        }
        Resolved::unknown(Some(fresh()), true, ignored)
    }

    /// An authentic and timely cookie: what does the table say of its session? `sync_due` says what is to be compared with the store,
    /// also when the cookie does not count: a clearing that was not written yet.
    fn believe(
        &self,
        ticket: &Ticket,
        old_secret: bool,
        at: Moment,
        sync_after: Option<Nanos>,
        sync_due: &mut Option<SessionId>,
    ) -> Result<Resolved, Ignored> {
        let id = ticket.session;
        let found = self.table.look_up(id, at.now, sync_after);
        let mut resolved = Resolved::unknown(Some(id), false, None);
        let aged = at.unix_s.saturating_sub(ticket.issued) >= self.renew_s;
        let (backend, differs) = match found {
            Some(found) => {
                resolved.source = Source::Table;
                *sync_due = found.sync_due.then_some(id);
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
                *sync_due = sync_after.map(|_| id);
                (self.take(id, self.record_of(ticket), at), false)
            }
        };
        let Some(backend) = backend else { return Err(Ignored::Cleared) };
        resolved.sync_due = *sync_due;
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
            sync_due: None,
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
