//! The queue of passwords that wait to be hashed, shared fairly among networks.
//!
//! Invariants:
//! - At most one password per permit is hashed at a time, and a bounded number waits. Lanes take turns.
//! - When the queue is full, the longest lane loses its newest password, so that one network cannot block the others.
//! - The memory for hashing belongs to the permit. It is returned to the system when no caller waits, also if the
//!   caller whose password was hashed has left.

use std::{
    collections::VecDeque,
    mem,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use auth::HashMemory;
use tokio::sync::oneshot;

use crate::callers::throttle::Attempt;

/// The lane in which a caller waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LaneKey {
    /// A user that signed in from its network within the last day.
    Known(Attempt),
    /// All other users of a network.
    Network(Option<IpAddr>),
}

/// The queue for permits to hash. Cheap to clone; all clones share one queue.
#[derive(Clone)]
pub(crate) struct Hashing(Arc<Queue>);

/// The right to hash one password in this memory. Dropping it returns it.
pub(crate) struct Permit {
    queue: Arc<Queue>,
    pub(crate) memory: HashMemory,
}

struct Queue {
    most_waiting: usize,
    state: Mutex<State>,
}

struct State {
    /// The number of unused permits.
    free: usize,
    /// The lanes in their order, the next one first. No lane is empty.
    lanes: VecDeque<Lane>,
}

struct Lane {
    key: LaneKey,
    waiting: VecDeque<oneshot::Sender<Permit>>,
}

impl Hashing {
    /// Creates a queue with this number of permits, in which at most `most_waiting` callers wait.
    pub(crate) fn new(permits: usize, most_waiting: usize) -> Self {
        let state = State { free: permits, lanes: VecDeque::new() };
        Self(Arc::new(Queue { most_waiting, state: Mutex::new(state) }))
    }

    /// Waits for a permit until it is the lane's turn. Returns `None` if the queue is full and this lane is one of
    /// the longest, or if another lane displaced this caller.
    pub(crate) async fn permit(&self, key: LaneKey) -> Option<Permit> {
        let given = self.0.enter(key)?;
        given.await.ok()
    }
}

impl Queue {
    fn enter(self: &Arc<Self>, key: LaneKey) -> Option<oneshot::Receiver<Permit>> {
        let (sender, given) = oneshot::channel();
        let mut state = self.state();
        if state.free > 0 {
            state.free -= 1;
            drop(state);
            let permit = Permit { queue: Arc::clone(self), memory: HashMemory::default() };
            let _ = sender.send(permit);
            return Some(given);
        }
        if state.waiting() >= self.most_waiting {
            state.remove_those_that_left();
        }
        if state.waiting() >= self.most_waiting {
            let own = state.lanes.iter().find(|lane| lane.key == key);
            let own = own.map_or(0, |lane| lane.waiting.len());
            let longest = state.lanes.iter_mut().max_by_key(|lane| lane.waiting.len())?;
            if own + 1 >= longest.waiting.len() {
                return None;
            }
            longest.waiting.pop_back();
        }
        match state.lanes.iter_mut().find(|lane| lane.key == key) {
            Some(lane) => lane.waiting.push_back(sender),
            None => state.lanes.push_back(Lane { key, waiting: VecDeque::from([sender]) }),
        }
        Some(given)
    }

    /// Returns the caller that gets a returned permit. Returns `None` if no caller waits; then the permit is free.
    fn next(&self) -> Option<oneshot::Sender<Permit>> {
        let mut state = self.state();
        while let Some(mut lane) = state.lanes.pop_front() {
            let first = lane.waiting.pop_front();
            if !lane.waiting.is_empty() {
                state.lanes.push_back(lane);
            }
            if let Some(first) = first.filter(|first| !first.is_closed()) {
                return Some(first);
            }
        }
        state.free += 1;
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len()).sum()
    }

    fn remove_those_that_left(&mut self) {
        for lane in &mut self.lanes {
            lane.waiting.retain(|waiting| !waiting.is_closed());
        }
        self.lanes.retain(|lane| !lane.waiting.is_empty());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(waiting) = self.queue.next() {
            let memory = mem::take(&mut self.memory);
            // If the caller has just left, the permit is dropped here and passes to the next caller.
            let _ = waiting.send(Self { queue: Arc::clone(&self.queue), memory });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(number: u8) -> LaneKey {
        LaneKey::Network(Some([192, 0, 2, number].into()))
    }

    /// Enters the queue, which must have room.
    fn enter(hashing: &Hashing, number: u8) -> oneshot::Receiver<Permit> {
        hashing.0.enter(network(number)).expect("a place")
    }

    #[tokio::test]
    async fn networks_take_turns() {
        let hashing = Hashing::new(1, 10);
        let permit = hashing.permit(network(1)).await.expect("free");
        let mut many: Vec<_> = (0..3).map(|_| enter(&hashing, 1)).collect();
        let mut one = enter(&hashing, 2);
        drop(permit);
        let first = many[0].try_recv().expect("first");
        assert!(one.try_recv().is_err());
        drop(first);
        let second = one.try_recv().expect("the other network is next");
        assert!(many[1].try_recv().is_err());
        drop(second);
        assert!(many[1].try_recv().is_ok() && many[2].try_recv().is_ok());
        let state = hashing.0.state();
        assert_eq!((state.free, state.waiting()), (1, 0));
    }

    /// CONTRACT 33: a full queue has room for another network until all lanes have the same length.
    #[tokio::test]
    async fn the_longest_lane_gives_up_its_newest() {
        let hashing = Hashing::new(1, 4);
        let _permit = hashing.permit(network(1)).await.expect("free");
        let mut many: Vec<_> = (0..4).map(|_| enter(&hashing, 1)).collect();
        assert!(hashing.0.enter(network(1)).is_none(), "its own lane is the longest");
        let others = [enter(&hashing, 2), enter(&hashing, 3)];
        assert!(hashing.0.enter(network(1)).is_none());
        assert!(hashing.permit(network(2)).await.is_none(), "as many as the longest but one");
        let state = |given: &mut oneshot::Receiver<Permit>| given.try_recv().err();
        use oneshot::error::TryRecvError::{Closed, Empty};
        let states: Vec<_> = many.iter_mut().map(state).collect();
        assert_eq!(states, [Some(Empty), Some(Empty), Some(Closed), Some(Closed)]);
        drop(others);
        assert!(hashing.0.enter(network(4)).is_some(), "a caller that left takes no place");
    }

    #[tokio::test]
    async fn a_permit_passes_callers_that_left() {
        let hashing = Hashing::new(1, 4);
        let permit = hashing.permit(network(1)).await.expect("free");
        drop((0..3).map(|_| enter(&hashing, 1)).collect::<Vec<_>>());
        let stays = enter(&hashing, 1);
        drop(permit);
        drop(stays);
        assert!(hashing.permit(network(1)).await.is_some(), "also one that left with its permit");
    }
}
