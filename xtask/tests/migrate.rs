//! `cargo xtask migrate`, as a developer calls it.

use std::process::Command;

/// Runs the command on a database, and returns its output.
fn migrate(database: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.args(["migrate", "--database", database]).args(arguments).output();
    let output = output.expect("xtask runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn migrations_go_up_down_and_up_again() {
    let folder = tempfile::tempdir().expect("folder");
    let database = format!("sqlite:{}", folder.path().join("test.db").display());
    let all = [
        "2026-11-23-140000_create_tables",
        "2026-11-23-200000_add_credentials",
        "2026-11-24-030000_add_lifecycle",
        "2026-11-27-210000_limit_credentials",
        "2026-11-28-003000_add_servers",
        "2026-11-28-120000_name_tenants",
        "2026-11-28-180000_add_grants",
        "2026-11-28-210000_add_deliveries",
        "2026-11-29-030000_add_audit",
    ];
    let [.., last] = all;
    let told = |done: &str| all.map(|name| format!("{done} {name}\n")).concat();
    assert_eq!(migrate(&database, &["run"]), told("ran"));
    assert_eq!(migrate(&database, &["run"]), "nothing to do\n");
    assert_eq!(migrate(&database, &["status"]), told("applied "));
    assert_eq!(migrate(&database, &["redo"]), format!("reverted {last}\nran {last}\n"));
    assert_eq!(migrate(&database, &["status"]), told("applied "));
    for name in all.into_iter().rev() {
        assert_eq!(migrate(&database, &["revert"]), format!("reverted {name}\n"));
    }
    assert_eq!(migrate(&database, &["revert"]), "nothing to do\n");
    assert_eq!(migrate(&database, &["status"]), told("pending "));
}

#[test]
fn a_database_that_is_not_there_or_of_another_kind_is_refused() {
    for (url, said) in [
        ("mysql://x", "URL is neither `sqlite:`"),
        ("sqlite:/nowhere/test.db", "there is no database at sqlite:/nowhere/test.db"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        let output = command.args(["migrate", "--database", url, "status"]).output();
        let output = output.expect("xtask runs");
        assert!(!output.status.success());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(said), "{told}");
    }
}
