//! The log during an outage, on either backend.

use crate::support::{
    app::{TestApp, until},
    load::Record,
    outage::{save_during, wait_for_refusals, wait_for_saves},
};

/// One line when the outage begins, and one when it ends with the number of rejected calls. Single calls are not
/// logged.
#[test]
fn an_outage_is_two_lines() {
    let app = TestApp::new();
    let record = Record::default();
    save_during(&[&app.url], &record, || {
        wait_for_saves(&record, 10);
        app.sql("ALTER TABLE external_tokens RENAME TO away");
        wait_for_refusals(&record, 300);
        app.sql("ALTER TABLE away RENAME TO external_tokens");
        wait_for_saves(&record, 10);
        until("the log says that it is over", || app.log().contains("the database is back"));
    });
    record.assert_kept(&app);
    let log = app.log();
    let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(count("ERROR"), 1, "{log}");
    assert_eq!(count("the database is unavailable: calls are refused"), 1, "{log}");
    assert_eq!(count("the database is back"), 1, "{log}");
    // Upkeep reports its own failures, once for each of its steps.
    assert!(count("WARN") <= 8, "{log}");
    assert!(log.lines().any(|line| line.contains("is back") && line.contains("refused")), "{log}");
}
