//! Claims and outcomes in every order that a crash or a slow server may cause.

mod rekeys;

use super::{
    claim::{Attempt, Claim, Claimed, claim},
    lease::{LEASE_US, LeaseHolder, Leases, renew, renew_all},
    outcome::{Committed, Failure, RefreshTimes, Replacement, Verdict, commit, fail, release},
    *,
};
use crate::{
    Database,
    backend::{migrate, sqlite::instance_lock},
    tables::external_tokens::SealedTokens,
};
use diesel::connection::SimpleConnection as _;
use model::CauseKind;
use std::sync::Arc;

/// In 2027.
const NOW: i64 = 1_800_000_000_000_000;
const SECOND: i64 = 1_000_000;
const CLIENT: [u8; 32] = [7; 32];

struct Bench {
    conn: Conn,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// One record of generation 1, sealed under `kek-a`.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let database = Database::Sqlite(folder.path().join("test.db"));
        let (database, _lock) = instance_lock::take(&database).expect("lock");
        let mut conn = Conn::writing(&database).expect("connect");
        migrate::run(&mut conn).expect("migrate");
        conn.batch_execute(
            "INSERT INTO keks (id, sentinel, created) VALUES ('kek-a', x'', 1); \
             INSERT INTO external_tokens VALUES (1, 't', 'o', 'p', 1, zeroblob(32), 'kek-a', x'', x'01', 1, 1, \
             NULL, NULL, NULL, NULL);",
        )
        .expect("insert");
        Self { conn, _folder: folder }
    }

    fn claim_by(&mut self, boot: &str, is_shared: bool, now: i64) -> Claimed {
        let holder = LeaseHolder { boot: boot.to_owned(), is_shared, may_take_over: true };
        claim(&mut self.conn, now, &holder, &wish()).expect("claimed or not")
    }

    /// A claim that succeeds, on a database of several servers.
    fn attempt(&mut self, boot: &str, now: i64) -> Attempt {
        match self.claim_by(boot, true, now) {
            Claimed::Ours(attempt) => attempt,
            other => panic!("{other:?}"),
        }
    }

    fn commit(&mut self, attempt: &Attempt, blob: u8) -> Committed {
        commit(&mut self.conn, NOW, &replacement(attempt, blob)).expect("committed or not")
    }

    /// Returns whether the state changed, or `None` if the failure does not count.
    fn fail(&mut self, attempt: &Attempt, failure: Failure) -> Option<bool> {
        let verdict = fail(&mut self.conn, NOW, attempt, failure).expect("noted or not")?;
        assert_eq!(Some(verdict.cause), self.grant().cause);
        Some(verdict.is_other_state)
    }

    fn grant(&mut self) -> Grant {
        find(&mut self.conn, record()).expect("read").expect("a row").into()
    }

    /// The generation and the blob of the record.
    fn tokens(&mut self) -> (i32, Vec<u8>) {
        let columns = (external_tokens::generation, external_tokens::sealed);
        external_tokens::table.find(1).select(columns).first(&mut self.conn).expect("read")
    }
}

fn record() -> RecordId {
    RecordId::from_i64(1).expect("id")
}

fn wish() -> Claim {
    Claim {
        record: record(),
        generation: 1,
        client_digest: CLIENT,
        pause_us: Some(0),
        unsent: None,
    }
}

fn replacement(attempt: &Attempt, blob: u8) -> Replacement {
    Replacement {
        record: record(),
        attempt: attempt.number,
        replaced: attempt.generation,
        key_digest: [0; 32],
        times: RefreshTimes { access_expires: Some(NOW + 60 * SECOND), refresh_by: None },
        sealed: SealedTokens {
            generation: attempt.generation + 1,
            kek_id: "kek-a".to_owned(),
            wrapped_dek: vec![],
            sealed: vec![blob],
        },
    }
}

fn dead() -> Failure {
    Failure {
        state: Some(GrantState::Dead),
        cause: CauseKind::InvalidGrant.into(),
        pause_us: 3600 * SECOND,
        counts: true,
        is_ambiguous: false,
    }
}

fn ambiguous() -> Failure {
    Failure {
        state: Some(GrantState::Failing),
        cause: CauseKind::Timeout.into(),
        pause_us: 0,
        is_ambiguous: true,
        ..dead()
    }
}

#[test]
fn one_server_at_a_time_and_the_next_after_five_seconds() {
    let mut bench = Bench::new();
    let first = bench.attempt("one", NOW);
    assert_eq!((first.number, first.is_replay, first.claimed), (1, false, NOW));
    let early = bench.claim_by("other", true, NOW + LEASE_US - 1);
    assert!(matches!(early, Claimed::Leased), "{early:?}");
    renew_all(&mut bench.conn, NOW + SECOND, &[(1, 1)]).expect("renewed");
    let renewed = bench.claim_by("other", true, NOW + LEASE_US);
    assert!(matches!(renewed, Claimed::Leased), "{renewed:?}");
    let second = bench.attempt("other", NOW + SECOND + LEASE_US);
    assert_eq!((second.number, second.is_replay, second.is_taken_over), (2, true, true));
    assert_eq!(second.first_sent, NOW, "the grace counts from the first request");
    renew_all(&mut bench.conn, NOW + 90 * SECOND, &[(1, 1)]).expect("nothing to renew");
    assert_eq!(bench.grant().leased_until, Some(NOW + SECOND + 2 * LEASE_US));
}

#[test]
fn a_file_has_one_server_so_that_other_leases_are_void() {
    let mut bench = Bench::new();
    assert!(matches!(bench.claim_by("one", false, NOW), Claimed::Ours(_)));
    let Claimed::Ours(second) = bench.claim_by("after a restart", false, NOW) else {
        panic!("the first process has ended");
    };
    assert!(second.is_replay && second.is_taken_over);
}

#[test]
fn no_lease_is_taken_over_soon_after_an_outage() {
    let mut bench = Bench::new();
    let first = bench.attempt("one", NOW);
    let holder = LeaseHolder { boot: "other".to_owned(), is_shared: true, may_take_over: false };
    let late = claim(&mut bench.conn, NOW + 60 * SECOND, &holder, &wish()).expect("claim");
    assert!(matches!(late, Claimed::Leased), "{late:?}");
    bench.fail(&first, ambiguous()).expect("noted");
    let released = claim(&mut bench.conn, NOW + 60 * SECOND, &holder, &wish()).expect("claim");
    assert!(matches!(released, Claimed::Ours(_)), "{released:?}");
}

#[test]
fn a_success_makes_the_next_generation_and_an_old_claim_is_of_no_use() {
    let mut bench = Bench::new();
    let attempt = bench.attempt("one", NOW);
    assert_eq!(bench.commit(&attempt, 2), Committed::Done { has_recovered: false });
    assert_eq!(bench.tokens(), (2, vec![2]));
    let grant = bench.grant();
    assert_eq!((grant.state, grant.refreshed), (GrantState::Live, Some(NOW)));
    assert_eq!((grant.first_sent, grant.leased_until), (None, None));
    let old = bench.claim_by("one", true, NOW);
    assert!(matches!(old, Claimed::Moved), "{old:?}");
    assert_eq!(bench.commit(&attempt, 3), Committed::Superseded, "twice");
    assert_eq!(bench.tokens(), (2, vec![2]));
}

/// The provider answered the later request last: its tokens live, whichever arrives first.
#[test]
fn of_two_successes_that_of_the_later_attempt_stays() {
    for later_is_first in [false, true] {
        let mut bench = Bench::new();
        let lower = bench.attempt("one", NOW);
        let higher = bench.attempt("other", NOW + LEASE_US);
        if later_is_first {
            assert_eq!(bench.commit(&higher, 9), Committed::Done { has_recovered: false });
            assert_eq!(bench.commit(&lower, 8), Committed::Superseded);
        } else {
            assert_eq!(bench.commit(&lower, 8), Committed::Done { has_recovered: false });
            assert!(bench.grant().leased_until.is_some(), "the later one is still under way");
            assert_eq!(bench.commit(&higher, 9), Committed::Done { has_recovered: false });
        }
        assert_eq!(bench.tokens(), (2, vec![9]));
        assert_eq!(bench.grant().state, GrantState::Live);
    }
}

/// A standby that took over without the last commits takes tokens that the provider issued after those commits.
#[test]
fn new_tokens_go_into_a_database_that_lost_commits() {
    let mut bench = Bench::new();
    let first = bench.attempt("one", NOW);
    assert_eq!(bench.commit(&first, 2), Committed::Done { has_recovered: false });
    let second = Attempt { generation: 2, number: 2, ..first.clone() };
    bench.conn.batch_execute("UPDATE external_tokens SET generation = 1").expect("lost");
    assert_eq!(bench.commit(&second, 3), Committed::Done { has_recovered: false });
    assert_eq!(bench.tokens(), (3, vec![3]));
    bench.conn.batch_execute("DELETE FROM grants").expect("lost");
    let third = Attempt { generation: 3, number: 3, ..second };
    assert_eq!(bench.commit(&third, 4), Committed::Done { has_recovered: false });
    assert_eq!(bench.tokens(), (4, vec![4]));
}

/// The replay is refused, and then the answer to the first request arrives after all.
#[test]
fn a_late_success_undoes_a_verdict() {
    let mut bench = Bench::new();
    let lower = bench.attempt("one", NOW);
    let higher = bench.attempt("other", NOW + LEASE_US);
    assert_eq!(bench.fail(&higher, dead()), Some(true));
    assert_eq!(bench.grant().cause, Some(CauseKind::LostAnswer.into()));
    assert_eq!(bench.grant().state, GrantState::Dead);
    assert_eq!(bench.commit(&lower, 8), Committed::Done { has_recovered: true });
    assert_eq!(bench.tokens(), (2, vec![8]));
    assert_eq!(bench.grant().state, GrantState::Live);
}

#[test]
fn a_late_verdict_does_not_count() {
    let mut bench = Bench::new();
    let lower = bench.attempt("one", NOW);
    let higher = bench.attempt("other", NOW + LEASE_US);
    assert_eq!(bench.fail(&lower, dead()), None, "another attempt is under way");
    assert_eq!(bench.commit(&higher, 9), Committed::Done { has_recovered: false });
    assert_eq!(bench.fail(&higher, dead()), None, "the tokens are others now");
    // A verdict about tokens that another attempt of the same generation has replaced.
    let mut bench = Bench::new();
    let lower = bench.attempt("one", NOW);
    let higher = bench.attempt("other", NOW + LEASE_US);
    assert_eq!(bench.commit(&lower, 8), Committed::Done { has_recovered: false });
    assert_eq!(bench.fail(&higher, dead()), None);
    assert_eq!(bench.grant().state, GrantState::Live);
}

/// A server that was suspended checks its attempt before it sends a token once more.
#[test]
fn an_attempt_is_held_until_another_is_made() {
    let mut bench = Bench::new();
    let first = bench.attempt("one", NOW);
    assert!(renew(&mut bench.conn, NOW + SECOND, &first).expect("asked"));
    assert_eq!(bench.grant().leased_until, Some(NOW + SECOND + LEASE_US));
    let second = bench.attempt("other", NOW + SECOND + LEASE_US);
    assert!(!renew(&mut bench.conn, NOW + 9 * SECOND, &first).expect("asked"));
    assert!(renew(&mut bench.conn, NOW + 9 * SECOND, &second).expect("asked"));
    assert_eq!(bench.commit(&second, 2), Committed::Done { has_recovered: false });
    assert!(!renew(&mut bench.conn, NOW + 9 * SECOND, &second).expect("asked"));
}

/// A fault of the client does not change the state of the grant.
#[test]
fn a_refused_client_leaves_the_grant_as_it_is() {
    let mut bench = Bench::new();
    let attempt = bench.attempt("one", NOW);
    let cause = CauseKind::InvalidClient.into();
    let refused = Failure { state: None, cause, counts: false, ..dead() };
    let verdict = fail(&mut bench.conn, NOW, &attempt, refused).expect("noted");
    assert_eq!(verdict, Some(Verdict { is_other_state: false, cause }));
    let grant = bench.grant();
    assert_eq!((grant.cause, grant.retry_at, grant.first_sent), (None, None, None));
    assert!(!bench.attempt("other", NOW).is_replay);
}

#[test]
fn only_the_first_of_two_requests_can_have_been_lost() {
    let mut bench = Bench::new();
    let first = bench.attempt("one", NOW);
    assert_eq!(bench.fail(&first, dead()), Some(true));
    let grant = bench.grant();
    assert_eq!((grant.cause, grant.first_sent), (Some(CauseKind::InvalidGrant.into()), None));
    assert_eq!(grant.retry_at, Some(NOW + 3600 * SECOND));
    let resting = bench.claim_by("one", true, NOW + SECOND);
    assert!(matches!(resting, Claimed::NotNow), "{resting:?}");
    let probe = bench.attempt("one", NOW + 3600 * SECOND);
    assert!(!probe.is_replay);
}

#[test]
fn an_ambiguous_attempt_stays_open_until_a_verdict() {
    let mut bench = Bench::new();
    let first = bench.attempt("one", NOW);
    assert_eq!(bench.fail(&first, ambiguous()), Some(true));
    let second = bench.attempt("one", NOW + SECOND);
    assert!(second.is_replay && !second.is_taken_over);
    let busy = Failure { is_ambiguous: false, cause: CauseKind::RateLimited.into(), ..ambiguous() };
    assert_eq!(bench.fail(&second, busy), Some(false));
    assert_eq!(bench.grant().first_sent, Some(NOW), "the first one is still open");
    assert_eq!(bench.grant().failures, 2);
    let third = bench.attempt("one", NOW + 2 * SECOND);
    assert_eq!(bench.fail(&third, dead()), Some(true));
    let grant = bench.grant();
    assert_eq!((grant.cause, grant.first_sent), (Some(CauseKind::LostAnswer.into()), None));
}

/// A claim that took too long is repeated, and the request that was never sent does not count as lost.
#[test]
fn an_attempt_that_was_never_sent_is_no_lost_answer() {
    let mut bench = Bench::new();
    let slow = bench.attempt("one", NOW);
    let again = Claim { unsent: Some(slow), ..wish() };
    let holder = LeaseHolder { boot: "one".to_owned(), is_shared: true, may_take_over: true };
    let claimed = claim(&mut bench.conn, NOW + SECOND, &holder, &again).expect("claim");
    let Claimed::Ours(attempt) = claimed else { panic!("{claimed:?}") };
    assert_eq!((attempt.number, attempt.is_replay), (2, false));
    assert_eq!(attempt.first_sent, NOW + SECOND);
}

#[test]
fn what_is_another_clients_or_another_records_is_left_alone() {
    let mut bench = Bench::new();
    let attempt = bench.attempt("one", NOW);
    let mut other_key = replacement(&attempt, 5);
    other_key.key_digest = [1; 32];
    let outcome = commit(&mut bench.conn, NOW, &other_key).expect("commit");
    assert_eq!(outcome, Committed::Absent);
    let mut retired = replacement(&attempt, 5);
    retired.sealed.kek_id = "kek-b".to_owned();
    let refused = commit(&mut bench.conn, NOW, &retired);
    assert!(matches!(refused, Err(StoreError::KeyRetired(_))), "{refused:?}");
    assert_eq!(bench.commit(&attempt, 2), Committed::Done { has_recovered: false });
    let holder = LeaseHolder { boot: "one".to_owned(), is_shared: true, may_take_over: true };
    let other = Claim { client_digest: [8; 32], generation: 2, ..wish() };
    let claimed = claim(&mut bench.conn, NOW, &holder, &other).expect("claim");
    assert!(matches!(claimed, Claimed::NotNow), "{claimed:?}");
    bench.conn.batch_execute("UPDATE external_tokens SET ended = 1").expect("ended");
    let gone = claim(&mut bench.conn, NOW, &holder, &Claim { generation: 2, ..wish() });
    assert!(matches!(gone, Ok(Claimed::Moved)), "{gone:?}");
    remove(&mut bench.conn, &[1]).expect("removed");
    assert!(find(&mut bench.conn, record()).expect("read").is_none());
}

#[test]
fn leases_are_renewed_as_long_as_an_attempt_is_held() {
    let mut bench = Bench::new();
    let leases = Arc::new(Leases::default());
    let attempt = bench.attempt("one", NOW);
    let held = leases.hold(&attempt);
    let next = Attempt { number: 2, ..attempt };
    let other = leases.hold(&next);
    drop(held);
    assert_eq!(leases.list(), [(1, 2)], "the lease of an earlier attempt takes nothing away");
    drop(other);
    assert!(leases.list().is_empty());
}

/// A revocation is claimed despite a pause of the grant, but not while another server refreshes it. After a release,
/// the grant is as it was.
#[test]
fn a_revocation_waits_for_servers_and_for_no_pause() {
    let mut bench = Bench::new();
    let first = bench.attempt("one", NOW);
    let holder = LeaseHolder { boot: "other".to_owned(), is_shared: true, may_take_over: true };
    let revocation = Claim { pause_us: None, ..wish() };
    let early = claim(&mut bench.conn, NOW, &holder, &revocation).expect("claim");
    assert!(matches!(early, Claimed::Leased), "{early:?}");
    assert_eq!(bench.fail(&first, dead()), Some(true));
    let refused = claim(&mut bench.conn, NOW + SECOND, &holder, &wish()).expect("claim");
    assert!(matches!(refused, Claimed::NotNow), "{refused:?}");
    let before = bench.grant();
    let claimed = claim(&mut bench.conn, NOW + SECOND, &holder, &revocation).expect("claim");
    let Claimed::Ours(attempt) = claimed else { panic!("{claimed:?}") };
    assert!(matches!(bench.claim_by("one", true, NOW + SECOND), Claimed::Leased));
    release(&mut bench.conn, NOW + SECOND, &attempt).expect("released");
    assert_eq!(bench.grant(), Grant { claimed: Some(NOW + SECOND), attempts: 2, ..before });
}

/// An outcome that was unknown before a revocation is unknown after it.
#[test]
fn a_revocation_that_is_given_back_settles_nothing() {
    let mut bench = Bench::new();
    let lost = bench.attempt("one", NOW);
    bench.fail(&lost, ambiguous());
    let attempt = bench.attempt("one", NOW + SECOND);
    assert!(attempt.is_replay);
    release(&mut bench.conn, NOW + SECOND, &attempt).expect("released");
    assert_eq!(bench.grant().first_sent, Some(NOW));
    assert_eq!(bench.grant().lease_by, None);
}
