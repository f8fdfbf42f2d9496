//! `SO-TimeZone` headers.
//!
//! Invariant: the name of a zone finds the zone again, and every moment can be shown in it.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use negotiate::{TimeZone, WantedTimeZone, neutral_date_time};

fuzz_target!(|header: &str| {
    let Ok(WantedTimeZone { zone: Some(zone), with_offset }) = WantedTimeZone::parse(header) else {
        return;
    };
    assert_eq!(TimeZone::find(zone.name()).as_ref(), Ok(&zone));
    for moment in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        assert!(!neutral_date_time(&zone.at(moment), with_offset).is_empty());
    }
});
