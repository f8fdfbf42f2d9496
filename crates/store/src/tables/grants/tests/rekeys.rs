//! Another key for a record whose grant is in use.

use super::{
    super::rekey::{self, KeyChange, Resealed},
    *,
};

fn other_key() -> Resealed {
    Resealed {
        record: record(),
        replaced: 1,
        digests: [[0; 32], [9; 32]],
        sealed: SealedTokens {
            generation: 2,
            kek_id: "kek-a".to_owned(),
            wrapped_dek: vec![7],
            sealed: vec![8],
        },
    }
}

impl Bench {
    fn rekey_by(&mut self, boot: &str, is_shared: bool, now: i64, new: &Resealed) -> KeyChange {
        let holder = LeaseHolder { boot: boot.to_owned(), is_shared, may_take_over: true };
        rekey::change(&mut self.conn, now, &holder, new).expect("changed or not")
    }
}

/// A key changes once, and only for the tokens that were opened.
#[test]
fn a_key_changes_for_what_was_opened() {
    let mut bench = Bench::new();
    let other = Resealed { replaced: 2, ..other_key() };
    assert_eq!(bench.rekey_by("one", true, NOW, &other), KeyChange::Moved);
    let other = Resealed { digests: [[1; 32], [9; 32]], ..other_key() };
    assert_eq!(bench.rekey_by("one", true, NOW, &other), KeyChange::Moved);
    let mut retired = other_key();
    retired.sealed.kek_id = "kek-b".to_owned();
    let holder = LeaseHolder { boot: "one".to_owned(), is_shared: true, may_take_over: true };
    let refused = rekey::change(&mut bench.conn, NOW, &holder, &retired);
    assert!(matches!(refused, Err(StoreError::KeyRetired(_))), "{refused:?}");
    assert_eq!(bench.tokens(), (1, vec![1]));
    assert_eq!(bench.rekey_by("one", true, NOW, &other_key()), KeyChange::Done);
    assert_eq!(bench.tokens(), (2, vec![8]));
    let columns = (external_tokens::key_digest, external_tokens::updated);
    let row: (Vec<u8>, i64) =
        external_tokens::table.find(1).select(columns).first(&mut bench.conn).expect("read");
    assert_eq!(row, (vec![9; 32], 1), "the tokens stay what they were");
    assert_eq!(bench.rekey_by("one", true, NOW, &other_key()), KeyChange::Moved);
    bench.conn.batch_execute("UPDATE external_tokens SET ended = 1").expect("ended");
    let third = Resealed { replaced: 2, digests: [[9; 32], [4; 32]], ..other_key() };
    assert_eq!(bench.rekey_by("one", true, NOW, &third), KeyChange::Moved);
}

/// No key changes while another server may return with tokens for the old one. Such a server has a lease, or had one
/// within the last hour without reporting an outcome.
#[test]
fn a_key_stays_while_another_server_may_bring_tokens() {
    let mut bench = Bench::new();
    let attempt = bench.attempt("one", NOW);
    let ended = NOW + LEASE_US;
    assert_eq!(bench.rekey_by("other", true, NOW, &other_key()), KeyChange::Leased);
    assert_eq!(bench.rekey_by("other", true, ended + SECOND, &other_key()), KeyChange::Leased);
    let last = ended + 3600 * SECOND;
    assert_eq!(bench.rekey_by("other", true, last - 1, &other_key()), KeyChange::Leased);
    assert_eq!(bench.tokens(), (1, vec![1]));
    assert_eq!(bench.commit(&attempt, 5), Committed::Done { has_recovered: false });
    let next = Resealed { replaced: 2, ..other_key() };
    assert_eq!(bench.rekey_by("other", true, NOW, &next), KeyChange::Done);

    // The only server of a file knows that another process with a lease has ended.
    let mut bench = Bench::new();
    bench.attempt("one", NOW);
    assert_eq!(bench.rekey_by("other", false, NOW, &other_key()), KeyChange::Done);

    // After an hour the other server is no longer waited for.
    let mut bench = Bench::new();
    bench.attempt("one", NOW);
    assert_eq!(bench.rekey_by("other", true, last, &other_key()), KeyChange::Done);

    // A lost answer that was recorded brings no tokens.
    let mut bench = Bench::new();
    let attempt = bench.attempt("one", NOW);
    bench.fail(&attempt, ambiguous());
    assert_eq!(bench.rekey_by("other", true, NOW, &other_key()), KeyChange::Done);
}
