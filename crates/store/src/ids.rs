//! New record ids and retrieval keys.
//!
//! Invariant: within a process ids only grow, even when the clock is set back, so that rows are
//! appended; between processes the random bits and the primary key keep them apart.

use std::sync::atomic::{AtomicI64, Ordering};

use aws_lc_rs::rand;
use jiff::Timestamp;
use model::{RecordId, RetrievalKey, wiping_stack};
use zeroize::Zeroizing;

/// Microseconds since 1970-01-01 UTC, the form in which every time is stored.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

/// What a record is called: its id as the API has it, or the number of a row that this server did not make.
pub(crate) fn name_of(record: i64) -> String {
    RecordId::from_i64(record).map_or_else(|| record.to_string(), RecordId::text)
}

/// Fills a buffer with random bytes.
pub(crate) fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(bytes.as_mut_slice()).expect("the system's random number generator works");
    bytes
}

/// The source of new keys.
#[derive(Default)]
pub(crate) struct Ids {
    last: AtomicI64,
}

impl Ids {
    /// A key to a record that does not exist yet.
    pub(crate) fn new_key(&self) -> RetrievalKey {
        let id = self.next(now(), u16::from_ne_bytes(*random()));
        wiping_stack(|| RetrievalKey::new(id, &random()))
    }

    fn next(&self, unix_microseconds: i64, bits: u16) -> RecordId {
        let fresh = RecordId::at(unix_microseconds, bits).as_i64();
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
        let ids = Ids::default();
        let noon = 1_800_000_000_000_000;
        let times = [noon, noon, noon + 1, noon - 3_600_000_000, noon - 1, noon + 5];
        let made: Vec<_> = times.iter().map(|time| ids.next(*time, 0x0fff)).collect();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
        assert_eq!(made.last(), Some(&RecordId::at(noon + 5, 0x0fff)), "back to the clock's time");
    }

    #[test]
    fn keys_are_random() {
        let ids = Ids::default();
        let (one, two) = (ids.new_key(), ids.new_key());
        assert!(one.expose()[14..57] != two.expose()[14..57]);
    }
}
