//! Those who wait in one level, in the order in which they came, and whether the level is overloaded.
//!
//! **Overload.** The signal is CoDel's (Nichols and Jacobson, "Controlling queue delay", 2012): the wait of whoever stands longest has
//! been `target` or more without a break for `after`. A break is an empty level, a longest wait below `target`, or somebody served
//! who had waited less. What is done about it is "adaptive LIFO" with a short timeout (Maurer, "Fail at scale", 2015): the newest
//! goes first, and who has waited for `target` is refused. A client is then either served fast or told fast; in the order of
//! arrival each would be served just before it gives up.
//!
//! CoDel drops one packet at a time, at growing speed, since senders react to each drop; clients of HTTP do not, so here the refusals
//! do not ramp up. "Fail at scale" switches back as soon as the queue has been empty; here overload lasts until nobody had to be
//! refused for a whole `after`. So it neither begins nor ends more often than once in `after`, and under a demand that stays above
//! what can be served it does not end, as somebody is refused all the time.
//!
//! **Suspended**, it does not begin: for a time in which more places are on their way, so that waits say nothing of what can be served.
//! After that the waits count from its end.

use super::settings::Overload;
use super::turn::Stand;
use lb_types::Nanos;
use std::collections::BTreeMap;

/// One who waits.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    pub(super) joined: Nanos,
    pub(super) deadline: Nanos,
    pub(super) stand: Stand,
    /// The number of the latest turn when it last looked for a place; 0: it has not looked.
    pub(super) looked: u64,
    /// The same of the time before that.
    pub(super) looked_before: u64,
    pub(super) value: T,
}

#[derive(Debug)]
pub(super) struct Row<T> {
    /// By number of arrival.
    pub(super) waiting: BTreeMap<u64, Waiter<T>>,
    /// What one service costs it in virtual time.
    pub(super) stride: u128,
    /// Its virtual time: when its last service was over. Whose next one is over first goes first.
    pub(super) pass: u128,
    /// How far behind it may be when somebody joins again: nothing, but where it is empty because its waiters were refused.
    pub(super) credit: u128,
    /// How many of it hold a turn.
    pub(super) turns: usize,
    rule: Option<(Nanos, Nanos)>,
    /// The rule does not hold for now.
    suspended: bool,
    /// Since when the longest wait is `target` or more.
    above: Option<Nanos>,
    /// When it last was not.
    calm: Nanos,
    /// While it is overloaded: when somebody last had to be refused, or when it began.
    refused: Option<Nanos>,
}

/// The virtual time of one service at weight 1.
const STRIDE: u128 = 1 << 32;

impl<T> Row<T> {
    pub(super) fn new(weight: u32, overload: Option<Overload>) -> Self {
        Self {
            waiting: BTreeMap::new(),
            stride: STRIDE / u128::from(weight.max(1)),
            pass: 0,
            credit: 0,
            turns: 0,
            rule: overload.map(|o| (o.after.into(), o.target.into())),
            suspended: false,
            above: None,
            calm: Nanos::ZERO,
            refused: None,
        }
    }

    pub(super) fn is_overloaded(&self) -> bool {
        self.refused.is_some()
    }

    pub(super) fn oldest_wait(&self, now: Nanos) -> Option<Nanos> {
        self.waiting.first_key_value().map(|(_, w)| now - w.joined)
    }

    /// When its next service would be over in virtual time, if those who hold turns are served.
    pub(super) fn next_pass(&self) -> u128 {
        self.pass + self.stride * (self.turns as u128 + 1)
    }

    /// Notes what the waits are now. To be called before and after each change: in between, time alone makes waits grow, and when the
    /// longest reached `target` is known to the nanosecond.
    pub(super) fn observe(&mut self, now: Nanos) {
        let Some((after, target)) = self.rule else { return };
        if self.suspended {
            return self.calm(now);
        }
        let oldest = self.waiting.first_key_value().map(|(_, w)| w.joined);
        match oldest.filter(|&joined| now - joined >= target) {
            None => self.calm(now),
            Some(joined) => {
                let above = *self.above.get_or_insert(self.calm.max(joined + target));
                if self.refused.is_none() && now - above >= after {
                    self.refused = Some(now);
                }
            }
        }
    }

    /// Somebody was served who had waited less than `target`, or nobody waits that long.
    fn calm(&mut self, now: Nanos) {
        (self.above, self.calm) = (None, now);
    }

    /// Overload does not begin, and ends if it has begun; or it may begin, as if the waits began now.
    pub(super) fn suspend(&mut self, suspended: bool, now: Nanos) {
        self.suspended = suspended;
        self.refused = None;
        self.calm(now);
    }

    /// Somebody was served after this wait.
    pub(super) fn served(&mut self, waited: Nanos, now: Nanos) {
        if self.rule.is_some_and(|(_, target)| waited < target) {
            self.calm(now);
        }
    }

    /// Whom overload control refuses now, longest wait first; then whether overload ends. Nobody who holds a turn or looks: it may be
    /// served in this instant.
    pub(super) fn overdue(&mut self, now: Nanos) -> Vec<u64> {
        let (Some((after, target)), Some(last)) = (self.rule, self.refused) else { return Vec::new() };
        // Whose time is over only after overload ended was not overdue in it, however late this is noticed.
        let until = now.min(last + after);
        let late = self.waiting.iter().take_while(|(_, w)| w.joined + target <= until);
        let overdue: Vec<u64> = late.filter(|(_, w)| w.stand == Stand::Waits).map(|(&n, _)| n).collect();
        if !overdue.is_empty() {
            self.refused = Some(now);
        } else if now - last >= after {
            self.refused = None;
            self.calm(last + after);
        }
        overdue
    }

    /// When one who waits has to look again though nothing happened: at its deadline, when `target` is over, and when overload begins.
    pub(super) fn again_at(&self, waiter: &Waiter<T>, now: Nanos) -> Nanos {
        let Some((after, target)) = self.rule else { return waiter.deadline };
        let at = match self.above {
            _ if now < waiter.joined + target => waiter.joined + target,
            Some(above) => above + after,
            None => now + after,
        };
        at.min(waiter.deadline)
    }

    /// Of those who wait and have not looked since this turn was made: the first, or the next one after `from`.
    pub(super) fn next(&self, from: Option<u64>, newest_first: bool, turn: u64) -> Option<u64> {
        let may = |(&n, w): (&u64, &Waiter<T>)| (w.stand == Stand::Waits && w.looked < turn).then_some(n);
        match (newest_first, from) {
            (false, None) => self.waiting.iter().find_map(may),
            (false, Some(n)) => self.waiting.range(n + 1..).find_map(may),
            (true, None) => self.waiting.iter().rev().find_map(may),
            (true, Some(n)) => self.waiting.range(..n).rev().find_map(may),
        }
    }

    /// Who gives way to somebody of a higher level: who would be served last of those who hold no turn.
    pub(super) fn last(&self) -> Option<u64> {
        let waits = |(&n, w): (&u64, &Waiter<T>)| (w.stand == Stand::Waits).then_some(n);
        if self.is_overloaded() {
            self.waiting.iter().find_map(waits)
        } else {
            self.waiting.iter().rev().find_map(waits)
        }
    }
}
