//! The secrets that remain in the memory of a running server after it served calls, and access to that memory.
//!
//! Invariant: every secret that is searched for was sent or derived in this test and nowhere else.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::{
        fs::{FileExt as _, MetadataExt as _, chown},
        process::CommandExt as _,
    },
    thread,
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use memchr::memmem;
use serde_json::json;

use crate::support::{
    app::{Setup, TIMEOUT, TestApp},
    client::Client,
    parts::leave_out,
    seal_format::{Sealed, hkdf, idempotency_digest, key_digest},
};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
const GET: &str = "/api/v1/Agents/User/GetExternalTokens";
const JSON: &str = "application/json";
/// The number of clients that call at once, so that several use the pooled buffers.
const CLIENTS: usize = 4;

/// The secrets to search for, each with a name that may be printed.
type Needles = Vec<(String, Vec<u8>)>;

/// Everything in the server's writable memory; `None` if this user may not read it.
pub(crate) fn memory(app: &TestApp) -> Option<Vec<Vec<u8>>> {
    let folder = format!("/proc/{}", app.process_id());
    let memory = File::open(format!("{folder}/mem")).ok()?;
    let maps = fs::read_to_string(format!("{folder}/maps")).ok()?;
    let writable =
        maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|may| may.starts_with("rw")));
    let read = |line: &str| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = (address(start)?, address(end)?);
        let mut bytes = vec![0; usize::try_from(end - start).ok()?];
        memory.read_exact_at(&mut bytes, start).ok()?;
        Some(bytes)
    };
    Some(writable.filter_map(read).collect())
}

/// The names of the secrets that were found.
fn found<'a>(needles: &'a Needles, memory: &[Vec<u8>]) -> Vec<&'a str> {
    let is_there = |needle: &[u8]| {
        let finder = memmem::Finder::new(needle);
        memory.iter().any(|mapping| finder.find(mapping).is_some())
    };
    let found = needles.iter().filter(|(_, needle)| is_there(needle));
    found.map(|(name, _)| name.as_str()).collect()
}

/// Saves in a content type, and adds the secrets that must be gone after the answer.
fn save(
    client: &Client,
    headers: &[(&str, &str)],
    body: &[u8],
    name: &str,
    needles: &mut Needles,
) -> String {
    let key = client.request("POST", SAVE, headers, body).expect(200).json();
    let key = key.as_str().expect("a key").to_owned();
    let secret = &key.as_bytes()[14..57];
    needles.push((format!("key of {name}"), secret.to_vec()));
    needles.push((format!("secret in the key of {name}"), from_base62(secret)));
    for secret in ["access", "refresh", "claims"] {
        needles.push((format!("{secret} of {name}"), token(secret, name).into_bytes()));
    }
    key
}

/// Decodes 256 bits from base62 digits.
fn from_base62(digits: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut bytes = vec![0; 32];
    for digit in digits {
        let value = DIGITS.iter().position(|known| known == digit).expect("a digit");
        let mut carry = value as u32;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 62;
            *byte = carry as u8;
            carry >>= 8;
        }
    }
    bytes
}

fn token(secret: &str, name: &str) -> String {
    format!("CANARY-{secret}-of-{name}-{}", "0123456789".repeat(20))
}

/// One save and one get with each encoding of a body, on one connection.
fn use_api(client: &Client, number: usize) -> (Needles, Vec<String>) {
    let needles = &mut Needles::new();
    let carrier = |name: &str| {
        json!({"TokenManagementInfo": {
            "Provider": "et", "AccessToken": token("access", name),
            "RefreshToken": token("refresh", name), "Claims": token("claims", name)
        }})
        .to_string()
    };
    let xml = |name: &str| {
        let [access, refresh, claims] = ["access", "refresh", "claims"].map(|one| token(one, name));
        format!(
            "<S><TokenManagementInfo><Provider>et</Provider><AccessToken>{access}</AccessToken>\
             <RefreshToken>{refresh}</RefreshToken><Claims>{claims}</Claims></TokenManagementInfo></S>"
        )
    };
    let form = |name: &str| {
        let [access, refresh, claims] = ["access", "refresh", "claims"].map(|one| token(one, name));
        format!("Provider=et&AccessToken={access}&RefreshToken={refresh}&Claims={claims}")
    };
    let patch = |name: &str| {
        let value: serde_json::Value = serde_json::from_str(&carrier(name)).expect("JSON");
        let value = &value["TokenManagementInfo"];
        json!([{"op": "add", "path": "/TokenManagementInfo", "value": value}]).to_string()
    };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(carrier("gzip").as_bytes()).expect("compressed");
    let gzip = gzip.finish().expect("compressed");
    let zstd = zstd::encode_all(carrier("zstd").as_bytes(), 3).expect("compressed");
    let latin = ("Content-Type", "application/json; charset=utf-16");
    let utf_16: Vec<u8> = carrier("utf-16").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let of = |content_type| ("Content-Type", content_type);
    let mut keys = vec![
        save(client, &[of(JSON)], carrier("json").as_bytes(), "json", needles),
        save(client, &[of("text/xml")], xml("xml").as_bytes(), "xml", needles),
        save(
            client,
            &[of("application/x-www-form-urlencoded")],
            form("form").as_bytes(),
            "form",
            needles,
        ),
        save(
            client,
            &[of("application/json-patch+json")],
            patch("patch").as_bytes(),
            "patch",
            needles,
        ),
        save(client, &[of(JSON), ("Content-Encoding", "gzip")], &gzip, "gzip", needles),
        save(client, &[of(JSON), ("Content-Encoding", "zstd")], &zstd, "zstd", needles),
        save(client, &[latin], &utf_16, "utf-16", needles),
    ];
    let header = format!("CANARY-idempotency-{number}");
    let once = [of(JSON), ("Idempotency-Key", header.as_str())];
    for _ in 0..2 {
        keys.push(save(client, &once, carrier("once").as_bytes(), "once", needles));
    }
    needles.push(("Idempotency-Key".to_owned(), b"CANARY-idempotency".to_vec()));
    let digest = idempotency_digest("default", "ann", &header);
    for purpose in ["seal", "fingerprint"] {
        let info = format!("latchkey idempotency {purpose} v1");
        let derived = hkdf(&digest, header.as_bytes(), info.as_bytes());
        needles.push((format!("key of an Idempotency-Key for its {purpose}"), derived));
    }
    for (key, accept) in
        keys.iter().zip([JSON, "text/xml", JSON, "application/xml"].into_iter().cycle())
    {
        let body = json!({ "Key": key }).to_string();
        let headers = [of(JSON), ("Accept", accept)];
        client.request("POST", GET, &headers, body.as_bytes()).expect(200);
        let path = format!("{GET}?$select=accesstoken");
        client.request("POST", &path, &headers, body.as_bytes()).expect(200);
    }
    // A rejected body is read as well.
    let broken = carrier("broken").replace('}', "");
    needles.push(("a body that is refused".to_owned(), token("access", "broken").into_bytes()));
    client.request("POST", SAVE, &[of(JSON)], broken.as_bytes()).expect(400);
    (std::mem::take(needles), keys)
}

/// After calls are answered and their connections are closed, none of their secrets is in memory. Secrets are tokens,
/// retrieval keys, passwords in any form, and the keys of records. While a connection is open, its buffers keep the
/// bytes that it last sent and received. Even then the keys of records are gone.
#[test]
fn nothing_secret_stays_in_memory() {
    let app = TestApp::new();
    if memory(&app).is_none() {
        return leave_out("what stays in memory", "root");
    }
    app.add_user("ann");
    let clients: Vec<Client> =
        (0..CLIENTS).map(|_| app.client().with_password("ann", "CANARY-password")).collect();
    let (mut needles, mut keys) = (Needles::new(), Vec::new());
    thread::scope(|scope| {
        let calls = |(number, client)| scope.spawn(move || use_api(client, number));
        let calls: Vec<_> = clients.iter().enumerate().map(calls).collect();
        for (found_by, keys_of) in calls.into_iter().map(|call| call.join().expect("no panic")) {
            needles.extend(found_by);
            keys.extend(keys_of);
        }
    });
    sign_in(&app, &clients[0], &mut needles);
    needles.sort();
    needles.dedup();
    let kek = fs::read(app.setup.key_file()).expect("the master key");
    let mut of_records = Needles::new();
    for row in Sealed::all(&app.setup) {
        let dek = row.dek(&kek).expect("it unwraps");
        let key = keys.iter().find(|key| key_digest(key) == row.key_digest).expect("its key");
        let derived = hkdf(b"", &[&dek, key.as_bytes()].concat(), b"latchkey carrier v1");
        of_records.push(("DEK".to_owned(), dek));
        of_records.push(("key of a carrier".to_owned(), derived));
    }
    let look = || memory(&app).expect("it was allowed before");
    let control = vec![("master key".to_owned(), kek)];
    assert_eq!(found(&control, &look()), ["master key"], "the search finds what is there");
    assert_eq!(found(&of_records, &look()), Vec::<&str>::new());
    drop(clients);
    let deadline = Instant::now() + TIMEOUT;
    while !found(&needles, &look()).is_empty() && Instant::now() < deadline {}
    assert_eq!(found(&needles, &look()), Vec::<&str>::new());
}

/// Signs in in every way that onsite has, with right and wrong credentials. The test does not search for the session's
/// own secret. The head of the answer that sets its cookies stays in memory until its buffer is used again.
fn sign_in(app: &TestApp, client: &Client, needles: &mut Needles) {
    let ticket = app.ticket("ann");
    client.with_authorization(Some(&format!("SoTicket {ticket}"))).who(&[]).expect(200);
    client.with_password("ann", "CANARY-wrong-password").who(&[]).expect(401);
    let session = client.with_authorization(None).sign_in("ann", "CANARY-password");
    client.with_authorization(None).who(&session.headers()).expect(200);
    // Last, so that no later call overwrites it by chance.
    client.with_authorization(None).sign_in("ann", "CANARY-password");
    for (name, password) in [("password", "CANARY-password"), ("wrong", "CANARY-wrong-password")] {
        needles.push((name.to_owned(), password.into()));
        let sent = STANDARD.encode(format!("ann:{password}"));
        needles.push((format!("Authorization with {name}"), sent.into_bytes()));
    }
    needles.push(("ticket".to_owned(), ticket[3..].into()));
}

/// The server leaves no core dump, and other processes of the same user cannot read its memory. The files in `/proc` of
/// a process that may be dumped belong to its user. Those of a process that may not be dumped belong to root.
#[test]
fn the_process_may_not_be_dumped() {
    const NOBODY: u32 = 65_534;
    let setup = Setup::new();
    let mut command = setup.command();
    // All files of root's processes belong to root. Run as root, the test starts the server as another user.
    if fs::metadata("/proc/self").expect("Linux has it").uid() == 0 {
        fs::create_dir(setup.data()).expect("folder");
        for folder in [setup.folder(), &setup.data()] {
            chown(folder, Some(NOBODY), Some(NOBODY)).expect("chown");
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    let app = TestApp::start(setup, command).unwrap_or_else(|log| panic!("it ended: {log}"));
    let folder = format!("/proc/{}", app.process_id());
    assert_eq!(
        fs::metadata(format!("{folder}/maps")).expect("it runs").uid(),
        0,
        "it may be dumped"
    );
    let limits = fs::read_to_string(format!("{folder}/limits")).expect("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    assert!(!app.log().contains("core dump"), "{}", app.log());
}
