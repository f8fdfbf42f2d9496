//! New record ids and retrieval keys.
//!
//! Invariant: within a process every new id is larger than the last one, even when the clock is set back, so that rows
//! are appended. Between processes the random bits and the primary key keep ids apart. If the clock's time does not fit
//! an id, ids are random instead of growing, so that saves continue.

use std::sync::atomic::{AtomicI64, Ordering};

use model::{RecordId, RetrievalKey, wiping_stack};

use crate::seal::random;

/// Formats the name of a record: its id in the API, or the number of a row that this server did not make.
pub(crate) fn name_of(record: i64) -> String {
    RecordId::from_i64(record).map_or_else(|| record.to_string(), RecordId::text)
}

/// Random bits of an id under a wrong clock. Such an id looks like one of the first half of 2026, so that rows under a
/// right clock are still appended.
const RANDOM_BITS: u32 = 56;

/// The source of new keys.
#[derive(Default)]
pub(crate) struct RecordIds {
    last: AtomicI64,
}

impl RecordIds {
    /// Returns a key to a record that does not exist yet. `now` is in microseconds since 1970 UTC.
    pub(crate) fn new_key(&self, now: i64) -> RetrievalKey {
        let id = self.next(now, u64::from_ne_bytes(*random()));
        wiping_stack(|| RetrievalKey::new(id, &random()))
    }

    /// Returns another key to a record.
    pub(crate) fn other_key(&self, record: RecordId) -> RetrievalKey {
        wiping_stack(|| RetrievalKey::new(record, &random()))
    }

    fn next(&self, unix_microseconds: i64, bits: u64) -> RecordId {
        if !RecordId::TIMES.contains(&unix_microseconds) {
            let id = (bits >> (64 - RANDOM_BITS)).cast_signed();
            return RecordId::from_i64(id).expect("it is positive");
        }
        let fresh = RecordId::at(unix_microseconds, bits as u16).as_i64();
        let grown = |last: i64| fresh.max(last.saturating_add(1));
        let before = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(grown(last)))
            .unwrap_or_else(|last| last);
        RecordId::from_i64(grown(before)).expect("ids are positive")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_when_the_clock_is_set_back() {
        let ids = RecordIds::default();
        let noon = 1_800_000_000_000_000;
        let times = [noon, noon, noon + 1, noon - 3_600_000_000, noon - 1, noon + 5];
        let made: Vec<_> = times.iter().map(|time| ids.next(*time, 0x0fff)).collect();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
        assert_eq!(made.last(), Some(&RecordId::at(noon + 5, 0x0fff)), "back to the clock's time");
    }

    #[test]
    fn ids_are_random_under_a_clock_that_is_wrong() {
        let ids = RecordIds::default();
        let in_2027 = 1_800_000_000_000_000;
        let before = ids.next(in_2027, 0);
        for time in [0, -1, 1_700_000_000_000_000, i64::MAX] {
            assert_eq!(ids.next(time, 5 << 8).as_i64(), 5, "{time}");
            assert_eq!(ids.next(time, u64::MAX).as_i64(), (1 << RANDOM_BITS) - 1, "{time}");
        }
        assert!(ids.next(in_2027, 0).as_i64() == before.as_i64() + 1, "they grow as before");
        assert!(before.as_i64() > 1 << RANDOM_BITS);
    }

    #[test]
    fn keys_are_random() {
        let ids = RecordIds::default();
        let (one, two) = (ids.new_key(0), ids.new_key(0));
        assert!(one.expose()[14..57] != two.expose()[14..57]);
        let other = ids.other_key(one.record());
        assert_eq!(other.record(), one.record());
        assert!(one.expose()[14..57] != other.expose()[14..57]);
    }
}
