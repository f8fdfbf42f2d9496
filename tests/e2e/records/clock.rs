//! A clock that jumps, for example when a machine wakes up, or when the time is corrected by hand.
//!
//! Invariant: kept records, and permanent rejections, do not depend on the time.

use std::{collections::HashSet, fs, path::PathBuf};

use crate::support::{
    app::{Setup, TestApp},
    load::Record,
    parts::leave_out,
};

const SAVES: usize = 100;
/// A minute, in microseconds: the longest time that the test takes apart from the jumps.
const MINUTE: i64 = 60_000_000;

/// The library of the package `faketime`, which changes the time of a program.
fn library() -> Option<PathBuf> {
    let machines = fs::read_dir("/usr/lib").ok()?.flatten();
    let mut libraries = machines.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    libraries.find(|library| library.exists())
}

/// A setup whose server reads its clock from a file; `None`, with a notice, without the library.
pub(crate) fn with_a_clock(test: &str) -> Option<Setup> {
    let Some(library) = library() else {
        leave_out(test, "faketime");
        return None;
    };
    let setup = Setup::new();
    let file = clock(&setup);
    set(&setup, "+0");
    Some(
        setup
            .variable("LD_PRELOAD", library.to_str().expect("UTF-8"))
            .variable("FAKETIME_TIMESTAMP_FILE", file.to_str().expect("UTF-8"))
            .variable("FAKETIME_NO_CACHE", "1")
            .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .variable("FAKETIME_DISABLE_SHM", "1"),
    )
}

fn clock(setup: &Setup) -> PathBuf {
    setup.folder().join("clock")
}

/// Sets the clock of a running server, for example `-1h`. The server never reads an incomplete file.
pub(crate) fn set(setup: &Setup, offset: &str) {
    let new = setup.folder().join("new-clock");
    fs::write(&new, offset).expect("clock");
    fs::rename(new, clock(setup)).expect("clock");
}

/// The time between the first and the last save by the server's clock, in hours.
fn hours(app: &TestApp) -> i64 {
    let span = app.number("SELECT max(created) - min(created) FROM external_tokens");
    (span + MINUTE) / (60 * MINUTE)
}

fn save_some(app: &TestApp, record: &Record) {
    let client = app.client();
    (0..SAVES).for_each(|_| assert!(record.save(&client)));
}

/// Keys stay different, and grow as long as the process runs. All records are kept.
#[test]
fn a_clock_that_jumps_loses_nothing() {
    let Some(setup) = with_a_clock("a clock that jumps") else { return };
    let (app, record) = (setup.start(), Record::default());
    for offset in ["+0", "-1h", "+2h", "-3h"] {
        set(&setup, offset);
        save_some(&app, &record);
    }
    let saved = record.saved();
    let grow = saved.is_sorted_by(|a, b| a.key < b.key);
    assert!(grow, "ids grow within a process");
    assert_eq!(hours(&app), 5, "the clock did jump");
    record.assert_kept(&app);

    let app = app.stop().start();
    save_some(&app, &record);
    set(&setup, "+0");
    save_some(&app, &record);
    let saved = record.saved();
    let keys: HashSet<_> = saved.iter().map(|saved| &saved.key).collect();
    assert_eq!(keys.len(), saved.len());
    assert_eq!(app.saved_rows(), saved.len());
    assert_eq!(record.refused() + record.cut_off(), 0);
    record.assert_kept(&app);
}

/// A machine without a clock of its own begins in 1970. Ids of records cannot hold that time, and are random.
#[test]
fn a_clock_before_2026_is_reported_and_fails_no_save() {
    let Some(setup) = with_a_clock("a clock before 2026") else { return };
    set(&setup, "-20y");
    let record = Record::default();
    let app = setup.start();
    assert!(app.log().contains("the clock is wrong; set it (NTP)"), "{}", app.log());
    save_some(&app, &record);
    let app = app.stop().start();
    save_some(&app, &record);
    set(&setup, "+0");
    save_some(&app, &record);
    assert_eq!((app.saved_rows(), record.refused() + record.cut_off()), (3 * SAVES, 0));
    record.assert_kept(&app);
}

/// CONTRACT 27: a ticket in use stays valid when the clock is set back, or forward by less than its lifetime. A revoked
/// ticket stays revoked at any time, and a ticket that was found expired stays expired.
#[test]
fn a_clock_that_jumps_ends_no_ticket_in_use_and_revives_none() {
    let Some(setup) = with_a_clock("tickets under a clock that jumps") else { return };
    let app = setup.start();
    let revoked = app.ticket("tje0");
    let list = app.admin(&["ticket", "list", "--output", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    app.admin(&["ticket", "revoke", list[0]["id"].as_str().expect("id")]);
    let (in_use, unused) = (app.ticket("tje0"), app.ticket("tje0"));
    let status = |ticket: &str| {
        let client = app.client().with_authorization(Some(&format!("SoTicket {ticket}")));
        client.who(&[]).status
    };
    for offset in ["+0", "-1h", "+4h", "+9h", "+14h"] {
        set(&setup, offset);
        assert_eq!(status(&in_use), 200, "{offset}");
        assert_eq!(status(&revoked), 401, "{offset}");
    }
    assert_eq!(status(&unused), 401, "6 hours are over");
    for offset in ["+0", "-1h"] {
        set(&setup, offset);
        assert_eq!(status(&in_use), 200, "{offset}");
        assert_eq!((status(&revoked), status(&unused)), (401, 401), "{offset}");
    }
}
