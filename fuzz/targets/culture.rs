//! Cultures.
//!
//! Invariant: a culture that is known in one case is known in upper case, and formats every number and date.

#![no_main]

use jiff::{Timestamp, tz::TimeZone};
use libfuzzer_sys::fuzz_target;
use negotiate::Culture;

fuzz_target!(|tag: &str| {
    let Ok(culture) = Culture::parse(tag) else { return };
    assert_eq!(Culture::parse(&tag.to_ascii_uppercase()), Ok(culture.clone()));
    assert!(!culture.number(u64::MAX).is_empty());
    for moment in [Timestamp::MIN, Timestamp::MAX] {
        let time = moment.to_zoned_datetime(TimeZone::UTC);
        assert!(!culture.date_time(&time, true).is_empty());
    }
});
