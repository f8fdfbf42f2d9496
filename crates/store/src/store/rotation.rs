//! Rotation of the master key. The next key is announced, becomes active once every running server has it, and the
//! records are re-wrapped under it.
//!
//! Invariant: of several rotations that begin at once, exactly one makes the key; all may re-wrap records. An
//! interrupted rotation is resumed before another key is made.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::prelude::*;
use tokio::{task, time};

use super::retry::with_retries;
use crate::{
    KeyError, Store, StoreError,
    backend::conn::Conn,
    keys::keyring::{self, ANNOUNCED, KekRow, Keyring},
    tables::schema::keks,
    write::lock_order::{LockOrder, Write},
};

/// The pause between two checks.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a rotation waits for running servers to have the key. It spans several of their reports, and exceeds the
/// lifetime of a killed server's row.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(15);

/// A rotation that began.
#[derive(Debug)]
pub struct Rotation {
    /// The key that records are moved to.
    pub id: String,
    /// Whether it had begun before.
    pub is_resumed: bool,
}

impl Store {
    /// Announces another key to every running server: the next one, or the file of this id. Resumes an interrupted
    /// rotation instead, if there is one. Servers put the key in use (`tend_keys`), and so does `confirm_rotation`;
    /// then `rewrap` moves the records.
    ///
    /// # Errors
    /// The database is unchanged. The file of a new key may remain.
    pub async fn announce_key(&self, id: Option<&str>) -> Result<Rotation, KeyError> {
        let (keyring, rows) = with_retries(|| self.load_keyring()).await?;
        if let Some(missing) = keyring.missing().next() {
            return Err(StoreError::KeyMissing(missing.id.clone()).into());
        }
        if let Some(announced) = rows.iter().find(|row| row.is_announced()) {
            return match id {
                Some(id) if id != announced.id => Err(KeyError::Unfinished(announced.id.clone())),
                _ => Ok(Rotation { id: announced.id.clone(), is_resumed: true }),
            };
        }
        let active = keyring.active().id();
        let is_unfinished = self.is_unfinished(&keyring).await?;
        match id {
            None if is_unfinished => {
                return Ok(Rotation { id: active.to_owned(), is_resumed: true });
            }
            Some(id) if id == active => {
                return Ok(Rotation { id: active.to_owned(), is_resumed: true });
            }
            Some(_) if is_unfinished => return Err(KeyError::Unfinished(active.to_owned())),
            _ => {}
        }
        // A hardware module may be slow.
        let (keys, wanted) = (self.0.keyring.keys.clone(), id.map(str::to_owned));
        let new = task::spawn_blocking(move || match wanted {
            None => keys.next(),
            Some(id) => keys.take_up(&id),
        });
        let new = new.await.map_err(|error| StoreError::Query(Arc::new(error)))??;
        let id = new.kek.id().to_owned();
        if rows.iter().any(|row| row.id == id) {
            return Err(KeyError::Known(id));
        }
        if self.is_retired(&id).await? {
            return Err(KeyError::Retired(id));
        }
        let (row, seen) = (keyring::row_of(&new, self.0.clock.now()), active.to_owned());
        let announce = move |conn: &mut Conn| announce(conn, &row, &seen);
        let order = LockOrder::Kek(active.to_owned());
        let added =
            with_retries(|| self.0.writer.run(Write::of(order.clone()), announce.clone())).await;
        let (keyring, rows) = with_retries(|| self.load_keyring()).await?;
        match added {
            // An unconfirmed earlier attempt may have announced it.
            Err(StoreError::Conflict(_)) if rows.iter().all(|row| row.id != id) => {
                self.0.keyring.keys.discard(&new)?;
                let other = rows.iter().find(|row| row.is_announced());
                let id = other.map_or(keyring.active().id(), |other| &other.id).to_owned();
                Ok(Rotation { id, is_resumed: true })
            }
            Ok(()) | Err(StoreError::Conflict(_)) => Ok(Rotation { id, is_resumed: false }),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until an announced key is in use. With `is_forced` the key is put in use at once. A running server that
    /// lacks it then answers 503 for the records that are moved.
    ///
    /// # Errors
    /// - `Unconfirmed`: after 15 seconds running servers still lack the key; it names them. The key stays announced.
    /// - `Unknown`: the key was retired meanwhile.
    pub async fn confirm_rotation(&self, id: &str, is_forced: bool) -> Result<(), KeyError> {
        let begun = Instant::now();
        loop {
            let (keyring, rows) = with_retries(|| self.load_keyring()).await?;
            match rows.iter().find(|row| row.id == id) {
                None => return Err(KeyError::Unknown(id.to_owned())),
                Some(row) if !row.is_announced() => return Ok(()),
                Some(_announced) => {}
            }
            let servers = if is_forced {
                Vec::new()
            } else {
                with_retries(|| self.servers_without(id, &keyring)).await?
            };
            if servers.is_empty() {
                with_retries(|| self.put_in_use(id, &keyring)).await?;
                continue;
            }
            if begun.elapsed() > CONFIRMED_WITHIN {
                return Err(KeyError::Unconfirmed { id: id.to_owned(), servers });
            }
            time::sleep(PAUSE).await;
        }
    }

    /// Makes an announced key the active one. Does nothing if another process did so already, or retired the key.
    pub(crate) async fn put_in_use(&self, id: &str, keyring: &Keyring) -> Result<(), StoreError> {
        let (id, seen) = (id.to_owned(), keyring.active().id().to_owned());
        let (order, clock) = (LockOrder::Kek(seen.clone()), self.0.clock);
        self.0
            .writer
            .run(Write::of(order), move |conn| put_in_use(conn, &id, &seen, clock.now()))
            .await?;
        self.load_keyring().await.map(|_loaded| ())
    }

    /// Returns whether a record under an older key could be re-wrapped.
    async fn is_unfinished(&self, keyring: &Keyring) -> Result<bool, StoreError> {
        for kek in keyring.older() {
            let mut cursor = i64::MIN;
            while let rows = self.records_under(kek.id(), cursor).await?
                && let Some(last) = rows.last()
            {
                if rows.iter().any(|row| row.unwrap(kek).is_some()) {
                    return Ok(true);
                }
                cursor = last.id;
            }
        }
        Ok(false)
    }
}

/// Adds a key that is not in use yet. `Conflict`: `seen` is no longer the active key, or another key was announced.
fn announce(conn: &mut Conn, row: &KekRow, seen: &str) -> Result<(), StoreError> {
    let rows = rows_in_turn(conn, seen)?;
    let is_next = rows.first().is_some_and(|row| row.id == seen);
    if !is_next || rows.iter().any(KekRow::is_announced) {
        return Err(StoreError::Conflict("rotation"));
    }
    let row = KekRow { created: ANNOUNCED, ..row.clone() };
    diesel::insert_into(keks::table).values(row).execute(conn)?;
    Ok(())
}

/// Makes an announced key the active one, in place of `seen`.
fn put_in_use(conn: &mut Conn, id: &str, seen: &str, now: i64) -> Result<(), StoreError> {
    let rows = rows_in_turn(conn, seen)?;
    let Some(last) = rows.first() else { return Ok(()) };
    // The clock may have been set back. Readiness briefly adds 1 to `created`, so the next key adds 2.
    let created = now.max(last.created + 2);
    let announced = keks::table.find(id).filter(keks::created.eq(ANNOUNCED));
    diesel::update(announced).set(keks::created.eq(created)).execute(conn)?;
    Ok(())
}

/// Returns the rows of all keys. If two processes change them at once, the second waits here and then sees the first
/// one's change.
fn rows_in_turn(conn: &mut Conn, active: &str) -> Result<Vec<KekRow>, StoreError> {
    diesel::update(keks::table.find(active)).set(keks::wraps.eq(keks::wraps)).execute(conn)?;
    keyring::rows(conn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Clock, NewTokens, OpenOptions, TokensToSave,
        keys::wrap_budget::BLOCK,
        tables::{
            external_tokens::TokenLookup,
            grants::{
                claim::{Claim, Claimed},
                outcome::RefreshTimes,
            },
            rewrap::{self, Rewrap},
            schema::external_tokens,
        },
    };
    use std::fs;

    use model::{
        GrantDetails, Login, Principal, Provider, RetrievalKey, TenantId, TokenManagementInfo,
    };

    /// Two processes' stores on one database.
    struct Bench {
        one: Store,
        other: Store,
        _folder: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("folder");
            let options = OpenOptions::of_test(folder.path());
            let one = Store::open(&options).expect("open");
            let other = Store::open_beside(&options).expect("open beside");
            Self { one, other, _folder: folder }
        }

        /// Lets the other store rotate away from this store's key without its notice.
        async fn replace_key(&self) {
            let old = active(&self.other);
            let rotation = self.other.announce_key(None).await.expect("announced");
            self.other.confirm_rotation(&rotation.id, true).await.expect("in use");
            self.other.rewrap().await.expect("moved");
            self.other.retire_key(&old).await.expect("retired");
        }
    }

    fn active(store: &Store) -> String {
        store.0.keyring.current().active().id().to_owned()
    }

    async fn save(store: &Store) -> RetrievalKey {
        let login = Login::parse("tje0").expect("login");
        let owner = Principal { tenant: TenantId::single(), login, is_administrator: false };
        let carrier = TokenManagementInfo {
            access_token: Some("fugit".into()),
            ..TokenManagementInfo::of(Provider::parse("et").expect("provider"))
        };
        let details = GrantDetails::default();
        let tokens = TokensToSave {
            carrier: &carrier,
            details: &details,
            access_expires: None,
            grant: None,
        };
        store.save_external_tokens(&owner, tokens).await.expect("saved")
    }

    async fn opens(store: &Store, key: &RetrievalKey) -> bool {
        store.external_tokens(&TenantId::single(), key).await.expect("read").is_some()
    }

    #[tokio::test]
    async fn who_knows_of_no_rotation_reads_and_saves() {
        let bench = Bench::new();
        let first = save(&bench.one).await;
        bench.replace_key().await;
        assert!(opens(&bench.one, &first).await, "under a key that it has not seen");
        // This lets it go on wrapping under that key, as far as it knows.
        let second = save(&bench.one).await;
        bench.replace_key().await;
        let third = save(&bench.one).await;
        for store in [&bench.one, &bench.other] {
            for key in [&first, &second, &third] {
                assert!(opens(store, key).await);
            }
        }
        let keys = bench.other.master_keys().await.expect("keys");
        assert_eq!((keys.len(), keys[0].records), (1, 3));
    }

    /// The row was read before the rotation, and is opened when its key is gone.
    #[tokio::test]
    async fn a_row_that_was_moved_since_it_was_read_is_read_again() {
        let bench = Bench::new();
        let (key, store) = (save(&bench.one).await, &bench.one.0);
        let wanted = TokenLookup::by(&key);
        let find = || store.readers.tokens(&wanted);
        let stale = find().await.expect("read");
        bench.replace_key().await;
        bench.one.load_keyring().await.expect("loaded");
        let (row, keyring) = bench.one.with_its_key(stale, find()).await.expect("read again");
        let row = row.expect("it is there");
        let kek = keyring.find(row.kek_id());
        let opened =
            row.open(&TenantId::single(), &key, &wanted, kek, Clock::SYSTEM.now()).expect("opens");
        assert!(opened.is_some());
    }

    /// New tokens wait in a file, and their master key is retired meanwhile. They are re-wrapped under the active key,
    /// if the file of the old key still exists.
    #[tokio::test]
    async fn unsaved_tokens_outlive_their_master_key() {
        for has_file in [true, false] {
            let bench = Bench::new();
            let (store, key) = (&bench.one, save(&bench.one).await);
            let (tenant, kek) = (TenantId::single(), active(store));
            let claim = Claim {
                record: key.record(),
                generation: 1,
                client_digest: [7; 32],
                pause_us: None,
                unsent: None,
            };
            let claimed = store.claim_attempt(claim).await.expect("claimed");
            let Claimed::Ours(attempt) = claimed else { panic!("{claimed:?}") };
            let carrier = TokenManagementInfo {
                access_token: Some("novus".into()),
                ..TokenManagementInfo::of(Provider::parse("et").expect("provider"))
            };
            let (details, times) = (GrantDetails::default(), RefreshTimes::default());
            let tokens = NewTokens { carrier: &carrier, details: &details, times };
            let keyring = store.0.keyring.current();
            let sealed = tokens.seal(&tenant, &key, &attempt, keyring.active());
            store.write_unsaved(sealed, None).await.expect("written");
            bench.replace_key().await;
            if !has_file {
                fs::remove_file(store.0.keyring.keys.file_of(&kek)).expect("removed");
            }
            store.save_unsaved().await.expect("as far as it can");
            assert_eq!(store.0.unsaved.has(key.record()), !has_file);
            let found = bench.other.external_tokens(&tenant, &key).await.expect("read");
            let found = found.expect("it lives");
            let token = found.carrier.access_token.expect("a token");
            let expected = if has_file { (2, "novus") } else { (1, "fugit") };
            assert_eq!((found.generation, token.expose()), expected);
        }
    }

    /// The count in the database is never below the number of wraps.
    #[tokio::test]
    async fn wraps_are_counted_before_they_are_used() {
        let bench = Bench::new();
        let (store, counted) =
            (&bench.one, async || bench.other.master_keys().await.expect("keys")[0].wraps);
        assert_eq!(counted().await, 0, "no upkeep runs");
        save(store).await;
        assert_eq!(counted().await, BLOCK);
        store.keyring_to_wrap(BLOCK - 2).await.expect("the rest but one");
        save(store).await;
        assert_eq!(counted().await, BLOCK, "all of it is used");
        save(store).await;
        assert_eq!(counted().await, 2 * BLOCK);
        store.keyring_to_wrap(3 * BLOCK).await.expect("more at once");
        assert_eq!(counted().await, 5 * BLOCK);
    }

    #[tokio::test]
    async fn a_new_key_is_the_active_one_though_the_clock_was_set_back() {
        let bench = Bench::new();
        let late = |conn: &mut Conn| {
            diesel::update(keks::table).set(keks::created.eq(i64::MAX - 5)).execute(conn)?;
            Ok(())
        };
        bench.one.0.writer.run(Write::of(LockOrder::Nothing), late).await.expect("late");
        let rotation = bench.one.announce_key(None).await.expect("announced");
        assert_ne!(active(&bench.one), rotation.id);
        bench.one.confirm_rotation(&rotation.id, false).await.expect("in use");
        assert_eq!(active(&bench.one), rotation.id);
    }

    /// A record that ended, or was sealed again under the old key, since it was read stays as it is.
    #[tokio::test]
    async fn a_record_that_changed_meanwhile_is_not_moved() {
        let bench = Bench::new();
        let records = [save(&bench.one).await, save(&bench.one).await].map(|key| key.record());
        let old = active(&bench.one);
        let rotation = bench.one.announce_key(None).await.expect("announced");
        bench.one.confirm_rotation(&rotation.id, false).await.expect("in use");
        let keyring = bench.one.0.keyring.current();
        let kek = keyring.find(&old).expect("the old key");
        let rows = bench.one.records_under(&old, i64::MIN).await.expect("rows");
        let moves = rows.iter().filter_map(|row| Rewrap::of(row, kek, keyring.active()));
        let (moves, new) = (moves.collect::<Vec<Rewrap>>(), active(&bench.one));
        assert_eq!(moves.len(), 2);
        let work = move |conn: &mut Conn| {
            let row = |index: usize| external_tokens::table.find(records[index].as_i64());
            let ended = (external_tokens::kek_id.eq(""), external_tokens::wrapped_dek.eq(vec![]));
            diesel::update(row(0)).set(ended).execute(conn)?;
            let changed = external_tokens::wrapped_dek.eq(vec![1_u8]);
            diesel::update(row(1)).set(changed).execute(conn)?;
            assert_eq!(rewrap::update_all(conn, &old, &new, &moves)?, 0);
            let gone = rewrap::update_all(conn, &old, "gone", &moves);
            assert!(matches!(gone, Err(StoreError::KeyRetired(_))), "{gone:?}");
            Ok(())
        };
        bench.one.0.writer.run(Write::of(LockOrder::Nothing), work).await.expect("as it was");
    }
}
