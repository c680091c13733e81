//! The baton: a place became free, and one after the other may try to take it.
//!
//! Who looks for a place looks at all of them, not at a certain one. So a turn need not visit anybody who has looked since it was
//! made, and numbers in order of making say who that is. A turn goes through a level from one end to the other and then through the
//! other levels, so that all its steps together cost no more than the line is long; and it visits nobody twice. (A change's turn, of
//! which many may be served, asks for the next level by weight after each of them.)
//!
//! It passes those by who hold another turn at that moment. If it ends without being of use, they may have looked before its place
//! became free: they look once more. So do newcomers, who may find a place that nobody else could use. If somebody finds one before
//! whom a place may have been left behind, it may have been that one; so its turn goes on as if it had found none. And of two turns
//! under way each may be served with the other's place: the earlier one, when it goes on, goes to all that the later one would.
//!
//! All that is only for those who are bound to some of the places. Where nobody is, [`none_free`](super::Ticket::none_free) ends a
//! turn at once, and there is no doubt about what was left behind: nothing.

/// Where one who waits stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It is not its turn.
    Waits,
    /// It has the turn and was told.
    Called(Turn),
    /// It is trying: with a turn, or on its own (a newcomer, and who was passed by).
    Looks(Option<Turn>),
}

impl Stand {
    pub(super) fn turn(self) -> Option<Turn> {
        match self {
            Self::Waits => None,
            Self::Called(turn) => Some(turn),
            Self::Looks(turn) => turn,
        }
    }
}

/// See the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// In order of making, from 2.
    pub(super) number: u64,
    /// A bit for each level that it has been through.
    pub(super) done: u8,
    /// How it goes through the present level: to the end as it began, also if overload begins or ends meanwhile.
    pub(super) newest_first: bool,
    /// It goes on when its holder has found a place: a change's.
    pub(super) sweeps: bool,
    /// Made again while it was under way: its next step is its first.
    pub(super) anew: bool,
}

impl Turn {
    pub(super) fn new(number: u64, sweeps: bool) -> Self {
        Self { number, done: 0, newest_first: false, sweeps, anew: false }
    }
}

const _: () = assert!(crate::priority::LEVELS_MAX <= u8::BITS as usize);
