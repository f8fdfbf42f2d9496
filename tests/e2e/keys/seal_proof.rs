//! Proof, with the tests' own decryptor, of the keys that open a record, and of all others that do not. Data that was
//! sealed once stays readable.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
};

use serde_json::{Value, json};

use crate::{
    Database,
    records::idempotency::save_once,
    support::{
        app::{Setup, TestApp},
        client::to_save,
        seal_format::{self, Sealed, hex, hkdf, key_digest, unhex},
    },
};

const HEADER: &str = "CANARY-8e03978e-40d5-43e8-bc93-6894a57f9324";
const INFO: &[u8] = b"latchkey carrier v1";

fn kek(setup: &Setup) -> Vec<u8> {
    fs::read(setup.key_file()).expect("the master key")
}

/// The database, the log and the master key give away every data key, but with all of them no record opens. It does not
/// open under the data key, alone or together with anything in the row. It does not open under any piece of any file,
/// used as the key or in place of the retrieval key. One retrieval key opens its own record and no other.
#[test]
fn with_everything_but_the_retrieval_keys_nothing_opens() {
    let app = TestApp::new();
    let mut keys: Vec<String> = (0..8)
        .map(|number| {
            app.client().save(&json!({"Provider": "et", "AccessToken": number.to_string()}))
        })
        .collect();
    let last = save_once(&app.client(), HEADER, &to_save("8")).expect(200).key();
    keys.push(last);
    let (kek, rows) = (kek(&app.setup), Sealed::all(&app.setup));
    assert_eq!(rows.len(), keys.len());

    for (row, key) in rows.iter().zip(&keys) {
        let dek = row.dek(&kek).expect("the master key unwraps");
        let id = row.id.to_be_bytes();
        let known: [&[u8]; 12] = [
            b"",
            &row.key_digest,
            &[0; 63],
            &[0; 32],
            &id,
            row.tenant.as_bytes(),
            row.provider.as_bytes(),
            row.kek_id.as_bytes(),
            &row.wrapped_dek,
            &row.sealed[2..14],
            &kek,
            &key.as_bytes()[..14],
        ];
        let mut tried = vec![dek.clone(), kek.clone(), row.key_digest.clone()];
        for part in known {
            for secret in [[&dek, part].concat(), [part, &dek].concat(), part.to_vec()] {
                tried.push(hkdf(b"", &secret, INFO));
                tried.push(hkdf(part, &dek, INFO));
            }
        }
        assert!(tried.iter().all(|key| row.open_under(key).is_none()));

        let opened: Vec<i64> =
            rows.iter().filter_map(|row| row.open(&kek, key.as_bytes()).map(|_| row.id)).collect();
        assert_eq!(opened, [row.id], "a key opens its own record alone");
        assert_eq!(row.key_digest, key_digest(key));
        let mut other_kek = kek.clone();
        other_kek[31] ^= 1;
        assert!(row.open(&other_kek, key.as_bytes()).is_none(), "and not without the master key");
    }
    for (number, (row, key)) in rows.iter().zip(&keys).enumerate() {
        let saved = row.open(&kek, key.as_bytes()).expect("it opens");
        assert_eq!(saved, [Some(number.to_string()), None, None]);
    }
    let (row, key) = (&rows[8], &keys[8]);
    let dek = row.dek(&kek).expect("the master key unwraps");
    let is_opened = |bytes: &[u8]| {
        bytes.windows(32).any(|window| row.open_under(window).is_some())
            || bytes
                .windows(63)
                .any(|window| row.open_under(&hkdf(b"", &[&dek, window].concat(), INFO)).is_some())
    };
    assert!(is_opened(format!("xx{key}xx").as_bytes()), "the search finds a key");
    for path in app.files() {
        let bytes = fs::read(&path).expect("file");
        // One empty page is enough.
        let pieces = bytes.chunk_by(|one, next| (*one, *next) != (0, 0));
        for piece in pieces.filter(|piece| piece.len() >= 16) {
            assert!(!is_opened(piece), "{}", path.display());
        }
    }
}

/// A row with any one bit flipped is a 500. Some bits are tested here, and all of them in the store's own tests.
#[test]
fn a_flipped_bit_is_reported_and_opens_nothing() {
    let app = TestApp::new();
    let key = app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let row = Sealed::all(&app.setup).remove(0);
    for (column, bytes) in [("wrapped_dek", &row.wrapped_dek), ("sealed", &row.sealed)] {
        let set = |bytes: &[u8]| {
            let blob = Database::blob(&hex(bytes));
            assert_eq!(app.sql(&format!("UPDATE external_tokens SET {column} = {blob}")), 1);
        };
        for bit in (0..bytes.len() * 8).step_by(13) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            set(&flipped);
            let answer = app.client().post("GetExternalTokens", &json!({ "Key": key }));
            answer.expect_error(500, "SoServerException", "its log has the cause");
        }
        set(bytes);
        assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
    }
}

/// Blobs that version 1 sealed, kept permanently.
mod version_1 {
    pub(super) const KEK: &str = "9381f80719255abdc36461202580a3add95e7c6debc8f4473d0a8c4a8687969a";
    pub(super) const KEK_ID: &str = "0123456789abcdef";
    pub(super) const SENTINEL: &str =
        "010106150aff832a2de2665e79651cd811dfcd2360d88d9460ad7207ce124a0758293af835e8";
    pub(super) const KEY: &str = "lk_08YF7P1QH1zZ0rI5D55hB4YmKPs4m9nJQeA40p8024hrsLYXrD69RK3s1ReU";
    pub(super) const ID: i64 = 115_773_500_705_096_223;
    pub(super) const KEY_DIGEST: &str =
        "8fcb41efff3b247a5d4f448b6bdaafaa06a43cb430aed6787a3080aafdbd730d";
    pub(super) const WRAPPED_DEK: &str = "0101ecacbfaf966865317e60704add762ff0282af985efae58d6326ab817cbdd219864571fa3dcd1f257a2482148e84d7b38bb51af221bb43f848495f37a";
    pub(super) const SEALED: &str = "0101d05e400df96c922c4630d432ec20878f06eee98ff6181f8dcfbc4b5229f7dac5f1a043a10b85ce562fcc1f149f1583162e1a488715097ad6";
    pub(super) const IDEMPOTENCY_DIGEST: &str =
        "786a5b0860f84312db4f4b893811b62a390e0cb7d2c49656c390b88edd24d163";
    pub(super) const FINGERPRINT: &str =
        "4f4e40af421659eefcc9f2d88d23a8b13e1e31af7bc6a794de8a883b273f5c7e";
    pub(super) const SEALED_KEY: &str = "0101c8979755821614be694237ecfca7601d9be2b0c4a1f9f7518c50c839f7531603781748d36f9a954b1260965872b88aa39481bba847f11942f79c1de6704b98302c0b8b2d30d14c5abd09815ee5ced4cb3786a725bd7493fbef1e02";
}

fn first_carrier() -> Value {
    json!({"Provider": "Leverandør", "AccessToken": "fugit", "RefreshToken": "", "Claims": "{\"å\":1}"})
}

fn setup_with_first_key() -> Setup {
    let setup = Setup::new();
    let keys = setup.data().join("keys");
    fs::create_dir_all(&keys).expect("folder");
    let path = keys.join(format!("kek-{}.key", version_1::KEK_ID));
    fs::write(&path, unhex(version_1::KEK)).expect("write");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
    setup
}

/// Opened by the description of the format alone.
#[test]
fn version_1_opens_by_its_description() {
    let kek = unhex(version_1::KEK);
    let row = Sealed {
        id: version_1::ID,
        tenant: "default".to_owned(),
        provider: "Leverandør".to_owned(),
        generation: 1,
        key_digest: unhex(version_1::KEY_DIGEST),
        kek_id: version_1::KEK_ID.to_owned(),
        wrapped_dek: unhex(version_1::WRAPPED_DEK),
        sealed: unhex(version_1::SEALED),
    };
    let saved = row.open(&kek, version_1::KEY.as_bytes()).expect("it opens");
    assert_eq!(saved.map(|text| text.unwrap_or_default()), ["fugit", "", "{\"å\":1}"]);
    assert_eq!(row.key_digest, key_digest(version_1::KEY));
    let sentinel = seal_format::sentinel(&kek, version_1::KEK_ID, &unhex(version_1::SENTINEL));
    assert_eq!(sentinel.as_deref(), Some(&b"latchkey"[..]));
    let digest = seal_format::idempotency_digest("default", "tje0", HEADER);
    assert_eq!(hex(&digest), version_1::IDEMPOTENCY_DIGEST);
    let key = seal_format::saved_key(HEADER, &digest, &unhex(version_1::SEALED_KEY));
    assert_eq!(key.as_deref(), Some(version_1::KEY.as_bytes()));
}

/// Opened by the current version of the server.
#[test]
fn version_1_opens_by_the_server() {
    let setup = setup_with_first_key();
    let app = setup.start();
    let blob = Database::blob;
    app.sql(&format!(
        "INSERT INTO external_tokens (id, tenant, owner, provider, generation, key_digest, kek_id, \
         wrapped_dek, sealed, created, updated) \
         VALUES ({}, 'default', 'tje0', 'Leverandør', 1, {}, '{}', {}, {}, 1, 1)",
        version_1::ID,
        blob(version_1::KEY_DIGEST),
        version_1::KEK_ID,
        blob(version_1::WRAPPED_DEK),
        blob(version_1::SEALED),
    ));
    app.sql(&format!(
        "INSERT INTO idempotency_keys VALUES ({}, {}, {}, 9223372036854775807)",
        blob(version_1::IDEMPOTENCY_DIGEST),
        blob(version_1::FINGERPRINT),
        blob(version_1::SEALED_KEY),
    ));
    assert_eq!(app.sql(&format!("UPDATE keks SET sentinel = {}", blob(version_1::SENTINEL))), 1);
    let app = app.stop().start();
    let saved = app.client().get(version_1::KEY);
    for (name, value) in first_carrier().as_object().expect("an object") {
        assert_eq!(saved[name], *value, "{name}");
    }
    let body = json!({ "TokenManagementInfo": first_carrier() });
    assert_eq!(save_once(&app.client(), HEADER, &body).expect(200).key(), version_1::KEY);
    save_once(&app.client(), HEADER, &to_save("odit")).expect(422);
}
