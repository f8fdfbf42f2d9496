//! The tests' own PostgreSQL server: it fails as the tests need, and it leaves nothing when it ends.

use std::{fs, path::Path, thread, time::Instant};

use crate::{
    Database,
    postgres::{
        cluster::{Cluster, children},
        database::programs,
    },
    support::app::TIMEOUT,
};

#[test]
fn a_cluster_is_killed_stopped_and_resumed() {
    let Some(programs) = programs("a cluster that is killed") else { return };
    let cluster = Cluster::start(&programs, &[]);
    assert!(cluster.create_database("kept").ends_with("/kept"));
    let count = "SELECT count(*) FROM pg_database WHERE datname = 'kept'";
    for mode in ["kill", "fast", "immediate"] {
        if mode == "kill" {
            cluster.kill()
        } else {
            cluster.stop(mode)
        }
        assert!(!cluster.try_sql("kept", count).status.success(), "{mode}");
        cluster.resume();
        assert_eq!(cluster.sql("kept", count), "1", "{mode}");
    }
    let (folder, postmaster) = (cluster.data(), cluster.postmaster());
    assert!(!children(postmaster).is_empty());
    drop(cluster);
    assert!(!folder.exists());
    assert!(children(postmaster).is_empty());
}

/// The search for secrets finds data in the database's files.
#[test]
fn what_is_in_a_database_is_found_in_its_files() {
    let database = Database::new(Path::new(""));
    database.query("CREATE TABLE found (what TEXT)");
    assert_eq!(database.sql("INSERT INTO found VALUES ('needle')"), 1);
    let holds = |needle: &[u8]| {
        let files = database.files().into_iter().map(|path| fs::read(path).expect("file"));
        files.filter(|bytes| bytes.windows(needle.len()).any(|window| window == needle)).count()
    };
    assert_eq!(holds(b"needle"), 1);
    assert_eq!(holds(b"lk_"), 0, "PostgreSQL's own tables are left out");
}

/// A committed row is on the standby. A row that the standby did not confirm is not there, even if PostgreSQL reported
/// success.
#[test]
fn a_standby_takes_over_with_what_was_committed() {
    let Some(programs) = programs("a standby that takes over") else { return };
    let primary = Cluster::start(&programs, &[]);
    let standby = primary.synchronous_standby();
    primary.sql("postgres", "CREATE TABLE kept (id INTEGER)");
    standby.signal_receiver("STOP");
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let done = thread::scope(|scope| {
        let lost = scope.spawn(|| primary.try_sql("postgres", "CREATE TABLE lost (id INTEGER)"));
        let deadline = Instant::now() + TIMEOUT;
        while primary.sql("postgres", cancel) != "t" && Instant::now() < deadline {}
        lost.join().expect("psql")
    });
    assert_eq!(String::from_utf8_lossy(&done.stdout), "CREATE TABLE\n");
    assert!(String::from_utf8_lossy(&done.stderr).contains("canceling wait for"), "{done:?}");
    primary.kill();
    standby.kill();
    standby.resume();
    standby.promote();
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(standby.sql("postgres", tables), "kept");
}
