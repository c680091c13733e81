//! The line itself: who waits, whose turn it is, and who has to go. No locks, no wakers, no clock.
//!
//! **Bound.** When `max_size` wait, a newcomer displaces a waiter of the lowest level below it: who would be served last there. Otherwise
//! it is refused itself. But each level has a share of the line by its weight, one place at least where there are as many as levels, in which
//! nobody displaces it, and into which it comes by displacing a level that has more than its own: so a line that is full of the high
//! keeps no low one out for ever. (Holders of turns are not displaced: they are about to leave.)
//!
//! **Weighted service** among the levels is stride scheduling (Waldspurger and Weihl, 1995): each service moves its level's virtual time
//! on by 1 / weight, and the level goes first whose next service would be over first, turns that are under way counted as served. (To go by
//! its beginning, as start-time fair queueing does, would serve a request of a low level that was empty before all others that wait.) So
//! of `n` places that become free while a level waits, it gets at least `(n − levels) · weight / weights − 1`; of the default levels
//! low, beside 20 of 21 for the others, waits for at most 22 services of theirs. A level that was empty, or whose waiters all had a
//! place offered and could not use it, starts at the virtual time of whoever was served: it gains no credit. One that is empty only because its
//! waiters were refused keeps its place in that order, up to one service: else refusing them quickly would starve it.
//!
//! **Time.** Each call first refuses whose deadline has passed and whom overload control (see `row.rs`) refuses. Who holds a turn is
//! spared by overload control, and who is trying to take a place also by its deadline: it may have it already.
//!
//! Every call costs O(log n) for each waiter that it adds, removes or calls. A turn steps over others that have looked already; all its
//! steps together O(n).

use super::row::{Row, Waiter};
use super::settings::QueueSettings;
use super::turn::{Stand, Turn};
use crate::priority::Priority;
use lb_types::Nanos;
use std::collections::BTreeSet;

/// One who waits, by arrival and level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) number: u64,
    pub(super) level: u8,
}

/// Why somebody must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Displaced,
    Timeout,
    Overloaded,
}

/// Who has to be told what.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told<T> {
    /// Look for a place.
    Look(Key),
    /// Go: it is in the line no more. How long it waited, too.
    Refused(Key, T, Why, Nanos),
}

/// What one who comes to ask is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Try to take a place.
    Look,
    /// Ask again when called, or at this instant.
    Wait(Nanos),
    /// It is not in the line: it was refused.
    Gone,
}

/// The line is full of those who may not be displaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

#[derive(Debug)]
pub(super) struct Line<T> {
    rows: Vec<Row<T>>,
    /// How many of each level nobody displaces.
    shares: Vec<usize>,
    /// Of those who are not trying.
    deadlines: BTreeSet<(Nanos, Key)>,
    /// Who may have looked too early, in order of arrival.
    doubtful: BTreeSet<Key>,
    /// The one of them that was called.
    beckoned: Option<Key>,
    len: usize,
    len_max: usize,
    arrivals: u64,
    /// The number of the latest turn.
    turns: u64,
    /// The latest turn that may have left a free place behind; 0: none did. Who has looked before it has to look again, as has a
    /// newcomer, who has looked at 0.
    ended: u64,
    /// The latest turn that was of use.
    used: u64,
    /// Who holds the turn of a change.
    sweeper: Option<Key>,
    /// The virtual time of the latest service.
    virtual_time: u128,
    now: Nanos,
    /// Overload control does not hold for now.
    suspended: bool,
    /// Who has to be told what since the shell last took it.
    pub(super) told: Vec<Told<T>>,
}

impl<T> Line<T> {
    /// `settings` are valid.
    pub(super) fn new(settings: &QueueSettings) -> Self {
        Self {
            rows: settings.levels.iter().map(|l| Row::new(l.weight, settings.overload)).collect(),
            shares: shares(settings),
            deadlines: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            beckoned: None,
            len: 0,
            len_max: settings.max_size,
            arrivals: 0,
            turns: 1,
            ended: 0,
            used: 0,
            sweeper: None,
            virtual_time: 0,
            now: Nanos::ZERO,
            suspended: false,
            told: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn rows(&self) -> &[Row<T>] {
        &self.rows
    }

    pub(super) fn value_mut(&mut self, key: Key) -> Option<&mut T> {
        Some(&mut self.waiter_mut(key)?.value)
    }

    /// Joins the line; whoever is displaced by it is told.
    pub(super) fn join(
        &mut self,
        now: Nanos,
        priority: Priority,
        deadline: Nanos,
        value: T,
    ) -> Result<Key, Full> {
        self.expire(now);
        let level = priority.index(self.rows.len());
        if self.len >= self.len_max {
            self.displace_for(level)?;
        }
        if self.len == 0 {
            // While nobody waited, places became free without a turn, perhaps since its last try.
            self.ended = self.turns;
        }
        let row = &mut self.rows[level];
        if row.waiting.is_empty() {
            row.pass = row.pass.max(self.virtual_time.saturating_sub(row.credit));
        }
        let key = Key { number: self.arrivals, level: level as u8 };
        self.arrivals += 1;
        let waiter =
            Waiter { joined: self.now, deadline, stand: Stand::Waits, looked: 0, looked_before: 0, value };
        row.waiting.insert(key.number, waiter);
        self.deadlines.insert((deadline, key));
        self.len += 1;
        self.settle();
        Ok(key)
    }

    /// One who waits asks whether it is its turn.
    pub(super) fn ask(&mut self, now: Nanos, key: Key) -> Answer {
        self.expire(now);
        let answer = self.answer(key);
        self.settle();
        answer
    }

    fn answer(&mut self, key: Key) -> Answer {
        let promised = self.promised();
        let (now, turns, ended) = (self.now, self.turns, self.ended);
        let Some(row) = self.rows.get_mut(usize::from(key.level)) else { return Answer::Gone };
        let Some(waiter) = row.waiting.get_mut(&key.number) else { return Answer::Gone };
        let turn = match waiter.stand {
            Stand::Looks(_) => return Answer::Look,
            Stand::Called(turn) => Some(turn),
            Stand::Waits if waiter.looked < ended && promised == 0 => None,
            Stand::Waits => {
                if self.beckoned == Some(key) {
                    self.beckoned = None; // it is called again once nothing is promised
                }
                // A turn that is under way may be past its position, and may leave its place behind.
                if promised > 0 && waiter.looked < turns {
                    self.doubtful.insert(key);
                }
                let waiter = &row.waiting[&key.number];
                return Answer::Wait(row.again_at(waiter, now));
            }
        };
        waiter.stand = Stand::Looks(turn);
        (waiter.looked_before, waiter.looked) = (waiter.looked, turns);
        self.deadlines.remove(&(waiter.deadline, key));
        self.forget_doubt(key);
        Answer::Look
    }

    /// It found no place that it can use: it waits on where it is, and its turn goes on to the next.
    pub(super) fn pass_on(&mut self, now: Nanos, key: Key) {
        self.expire(now);
        if let Some(turn) = self.stand_back(key) {
            self.hand_on(turn, Some(key));
        }
        self.settle();
    }

    /// It found that there is no place for anybody: it waits on where it is, and its turn is over, as are the doubts of all others.
    pub(super) fn none_free(&mut self, now: Nanos, key: Key) {
        self.expire(now);
        let looked = self.waiter_mut(key).map_or(0, |w| w.looked);
        if self.ended <= looked {
            self.ended = 0;
        }
        // Made again since it looked, the turn goes on.
        if let Some(turn) = self.stand_back(key).filter(|turn| turn.anew) {
            self.hand_on(turn, None);
        }
        self.settle();
    }

    /// It looks no more and waits; returns its turn.
    fn stand_back(&mut self, key: Key) -> Option<Turn> {
        let turns = self.turns;
        let waiter = self.waiter_mut(key)?;
        let (turn, deadline) = (waiter.stand.turn(), waiter.deadline);
        waiter.stand = Stand::Waits;
        // Turns that were made since it looked may have passed it by.
        if waiter.looked < turns {
            self.doubtful.insert(key);
        }
        self.deadlines.insert((deadline, key));
        if turn.is_some() {
            self.let_go(key);
        }
        turn
    }

    /// It has a place; the turn is used up, unless it is a change's.
    pub(super) fn served(&mut self, now: Nanos, key: Key) -> Option<T> {
        self.expire(now);
        let waiter = self.remove(key);
        if let Some(waiter) = &waiter {
            let turn = waiter.stand.turn();
            // On its own it may, by luck, have taken a place that became free in this very instant: that says nothing of the line.
            let lucky = turn.is_none() && waiter.looked < self.turns;
            let row = &mut self.rows[usize::from(key.level)];
            row.credit = 0;
            let pass = row.pass;
            if turn.is_some() || lucky {
                row.pass += row.stride;
            }
            if !lucky {
                row.served(self.now - waiter.joined, self.now);
            }
            if let Some(turn) = turn {
                self.virtual_time = self.virtual_time.max(pass);
                for (_, row) in self.rows.iter_mut().enumerate().filter(|(at, _)| turn.done & (1 << at) != 0)
                {
                    row.pass = row.pass.max(pass);
                }
                self.used = self.used.max(turn.number);
                // What it found may have been left behind before, and then the turn's own place is still free.
                if turn.sweeps || waiter.looked_before < self.ended {
                    self.hand_on(turn, None);
                }
            }
        }
        self.settle();
        waiter.map(|w| w.value)
    }

    /// It waits no more; a turn that it holds goes on.
    pub(super) fn leave(&mut self, now: Nanos, key: Key) -> Option<T> {
        self.expire(now);
        let waiter = self.remove(key);
        if let Some(turn) = waiter.as_ref().and_then(|w| w.stand.turn()) {
            self.hand_on(turn, Some(key));
        }
        self.settle();
        waiter.map(|w| w.value)
    }

    /// A place became free: one turn.
    pub(super) fn freed(&mut self, now: Nanos) {
        self.expire(now);
        if self.len > 0 {
            self.turns += 1;
            self.hand_on(Turn::new(self.turns, false), None);
        }
        self.settle();
    }

    /// Something changed: a turn that visits all, whether or not they find a place. One at a time: a second change makes it start again.
    pub(super) fn changed(&mut self, now: Nanos) {
        self.expire(now);
        if self.len > 0 {
            self.turns += 1;
            let turn = Turn::new(self.turns, true);
            match self.sweeper.and_then(|key| self.waiter_mut(key)).map(|w| &mut w.stand) {
                Some(Stand::Called(present) | Stand::Looks(Some(present))) => {
                    *present = Turn { anew: true, ..turn };
                }
                _ => self.hand_on(turn, None),
            }
        }
        self.settle();
    }

    /// Overload control holds, or not for now. Nothing if that is so already.
    pub(super) fn suspend_overload(&mut self, now: Nanos, suspended: bool) {
        if self.suspended != suspended {
            self.suspended = suspended;
            self.expire(now);
            let now = self.now;
            self.rows.iter_mut().for_each(|row| row.suspend(suspended, now));
            self.settle();
        }
    }

    /// Refuses who has to go now.
    pub(super) fn expire(&mut self, now: Nanos) {
        self.now = self.now.max(now);
        self.observe();
        while let Some(&(deadline, key)) = self.deadlines.first()
            && deadline <= self.now
        {
            self.refuse(key, Why::Timeout);
        }
        self.observe();
        for level in 0..self.rows.len() {
            for number in self.rows[level].overdue(self.now) {
                self.refuse(Key { number, level: level as u8 }, Why::Overloaded);
            }
        }
        self.observe();
    }

    /// Before and after each change: see [`Row::observe`].
    fn observe(&mut self) {
        self.rows.iter_mut().for_each(|row| row.observe(self.now));
    }

    /// What is to be done after each change.
    fn settle(&mut self) {
        self.observe();
        if self.promised() > 0 || self.beckoned.is_some() {
            return;
        }
        // Nothing is promised to anybody: who may have looked too early does so again, one at a time.
        while let Some(&key) = self.doubtful.first() {
            let ended = self.ended;
            if self.waiter_mut(key).is_some_and(|w| w.stand == Stand::Waits && w.looked < ended) {
                self.beckoned = Some(key);
                self.told.push(Told::Look(key));
                return;
            }
            self.doubtful.remove(&key);
        }
    }

    /// How many turns are under way, each with a place that is somebody's.
    fn promised(&self) -> usize {
        self.rows.iter().map(|row| row.turns).sum()
    }

    /// Gives the turn to the next one after `from`, or to the first; without one it ends.
    fn hand_on(&mut self, mut turn: Turn, from: Option<Key>) {
        let mut from = from.filter(|_| !turn.anew).map(|key| (usize::from(key.level), Some(key.number)));
        turn.anew = false;
        if turn.number < self.used {
            // Who had the later turn may have taken this one's place; then this one's is the later's, which others have not seen.
            (turn.number, turn.done, from) = (self.used, 0, None);
        }
        loop {
            let (level, after) = match from.take() {
                Some(place) => place,
                None => {
                    let open = |at: &usize| turn.done & (1 << at) == 0 && !self.rows[*at].waiting.is_empty();
                    let least = |&at: &usize| (self.rows[at].next_pass(), at);
                    let Some(level) = (0..self.rows.len()).filter(open).min_by_key(least) else { break };
                    turn.newest_first = self.rows[level].is_overloaded();
                    (level, None)
                }
            };
            if let Some(number) = self.rows[level].next(after, turn.newest_first, turn.number) {
                let key = Key { number, level: level as u8 };
                self.rows[level].turns += 1;
                if turn.sweeps {
                    self.sweeper = Some(key);
                }
                if let Some(waiter) = self.waiter_mut(key) {
                    waiter.stand = Stand::Called(turn);
                }
                self.told.push(Told::Look(key));
                return;
            }
            turn.done |= 1 << level;
        }
        self.ended = self.ended.max(turn.number);
    }

    /// It holds no turn any more.
    fn let_go(&mut self, key: Key) {
        self.rows[usize::from(key.level)].turns -= 1;
        if self.sweeper == Some(key) {
            self.sweeper = None;
        }
    }

    fn forget_doubt(&mut self, key: Key) {
        self.doubtful.remove(&key);
        if self.beckoned == Some(key) {
            self.beckoned = None;
        }
    }

    /// Makes room for a newcomer of this level.
    fn displace_for(&mut self, level: usize) -> Result<(), Full> {
        let size = |level: usize| self.rows[level].waiting.len();
        let first = if size(level) < self.shares[level] { 0 } else { level + 1 };
        let (level, number) = (first..self.rows.len())
            .rev()
            .filter(|&other| size(other) > self.shares[other])
            .find_map(|other| self.rows[other].last().map(|number| (other, number)))
            .ok_or(Full)?;
        self.refuse(Key { number, level: level as u8 }, Why::Displaced);
        Ok(())
    }

    fn refuse(&mut self, key: Key, why: Why) {
        if let Some(waiter) = self.remove(key) {
            let row = &mut self.rows[usize::from(key.level)];
            if row.waiting.is_empty() {
                row.credit = row.stride;
            }
            if let Some(turn) = waiter.stand.turn() {
                self.hand_on(turn, Some(key));
            }
            self.told.push(Told::Refused(key, waiter.value, why, self.now - waiter.joined));
        }
    }

    fn remove(&mut self, key: Key) -> Option<Waiter<T>> {
        let waiter = self.rows.get_mut(usize::from(key.level))?.waiting.remove(&key.number)?;
        self.deadlines.remove(&(waiter.deadline, key));
        self.forget_doubt(key);
        if waiter.stand.turn().is_some() {
            self.let_go(key);
        }
        self.len -= 1;
        Some(waiter)
    }

    fn waiter_mut(&mut self, key: Key) -> Option<&mut Waiter<T>> {
        self.rows.get_mut(usize::from(key.level))?.waiting.get_mut(&key.number)
    }
}

/// One place for each level, if there are as many, and the others by weight.
fn shares(settings: &QueueSettings) -> Vec<usize> {
    let levels = settings.levels.len();
    let one = usize::from(settings.max_size >= levels);
    let rest = (settings.max_size - one * levels) as u64;
    let weights: u64 = settings.levels.iter().map(|l| u64::from(l.weight)).sum();
    let share = |weight: u32| one + (rest * u64::from(weight) / weights.max(1)) as usize;
    settings.levels.iter().map(|l| share(l.weight)).collect()
}

#[cfg(test)]
mod tests;
