//! Sessions that wait to be compared with the store: each once, the oldest dropped when there are too many.

use crate::SessionId;
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    max: usize,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    order: VecDeque<SessionId>,
    ids: HashSet<SessionId>,
}

impl Queue {
    pub(super) fn new(max: usize) -> Self {
        Self { waiting: Mutex::default(), arrived: Notify::new(), max, dropped: AtomicU64::new(0) }
    }

    /// Behind all others, unless it waits already: what is written is what the table says when its turn comes.
    pub(super) fn push(&self, id: SessionId) {
        let mut waiting = self.waiting();
        if !waiting.ids.insert(id) {
            return;
        }
        waiting.order.push_back(id);
        if waiting.order.len() > self.max
            && let Some(oldest) = waiting.order.pop_front()
        {
            waiting.ids.remove(&oldest);
            self.dropped.fetch_add(1, Relaxed);
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// The one that waits longest; waits for one to come.
    pub(super) async fn pop(&self) -> SessionId {
        loop {
            // Made before the look, so that what comes in between is noticed; a waiter that leaves passes its notice on.
            let arrived = self.arrived.notified();
            {
                let mut waiting = self.waiting();
                if let Some(id) = waiting.order.pop_front() {
                    waiting.ids.remove(&id);
                    if !waiting.order.is_empty() {
                        self.arrived.notify_one();
                    }
                    return id;
                }
            }
            arrived.await;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting().order.len()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Each critical section leaves it whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_once_in_order_and_the_oldest_is_dropped() {
        let id = |n: u8| SessionId::from_random(n.into());
        let queue = Queue::new(3);
        for n in [1, 2, 1, 3, 4, 2] {
            queue.push(id(n));
        }
        // 4 made 1 leave; 2 waited already.
        assert_eq!((queue.len(), queue.dropped()), (3, 1));
        for n in [2, 3, 4] {
            assert_eq!(queue.pop().await, id(n));
        }
        queue.push(id(1));
        assert_eq!((queue.pop().await, queue.len()), (id(1), 0));
    }

    #[tokio::test]
    async fn all_who_wait_are_served() {
        let queue = std::sync::Arc::new(Queue::new(1_000));
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.pop().await })
            })
            .collect();
        tokio::task::yield_now().await;
        (0..10u128).for_each(|n| queue.push(SessionId::from_random(n)));
        for waiter in waiting {
            tokio::time::timeout(std::time::Duration::from_secs(10), waiter).await.unwrap().unwrap();
        }
    }
}
