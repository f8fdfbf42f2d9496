//! Bearer tokens (CONTRACT 28): the sources of keys, and calls while keys cannot be fetched.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    records::clock::{self, with_a_clock},
    support::{
        app::{Setup, TestApp, until},
        client::Answer,
        issuer::{self, AUDIENCE, ISSUER, Issuer},
        raw::{reset, who_request},
    },
    wire::official_client::{client, pass},
};

/// The response of a key server.
#[derive(Clone, Default)]
enum Behaviour {
    /// Answers with these keys.
    Keys(String),
    /// Answers with these keys, once the test has released this lock.
    KeysAfter(Arc<Mutex<()>>, String),
    /// Answers with this status.
    Status(u16),
    /// Answers with a redirect to itself.
    Redirect,
    /// Takes the request and does not answer.
    #[default]
    Silence,
    /// Answers with far more bytes than a key set has.
    Enormous,
}

/// A key server on this machine whose behaviour a test sets.
struct KeyServer {
    url: String,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<AtomicUsize>,
}

impl KeyServer {
    fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let url = format!("http://{}/jwks", listener.local_addr().expect("address"));
        let behaviour = Arc::new(Mutex::new(behaviour));
        let requests = Arc::new(AtomicUsize::new(0));
        let server =
            Self { url, behaviour: Arc::clone(&behaviour), requests: Arc::clone(&requests) };
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.expect("connection");
                let mut head = [0; 1024];
                let _ = stream.read(&mut head);
                requests.fetch_add(1, Ordering::SeqCst);
                let head = |status: u16, more: &str, length: usize| {
                    format!(
                        "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n{more}\
                         Connection: close\r\n\r\n"
                    )
                };
                let mut behaviour = behaviour.lock().expect("lock").clone();
                if let Behaviour::KeysAfter(gate, keys) = behaviour {
                    drop(gate.lock().expect("lock"));
                    behaviour = Behaviour::Keys(keys);
                }
                // A client that has read enough closes the connection.
                let _ = match behaviour {
                    Behaviour::Keys(keys) => {
                        stream.write_all(format!("{}{keys}", head(200, "", keys.len())).as_bytes())
                    }
                    Behaviour::Status(status) => stream.write_all(head(status, "", 0).as_bytes()),
                    Behaviour::Redirect => {
                        stream.write_all(head(302, "Location: /jwks\r\n", 0).as_bytes())
                    }
                    Behaviour::Silence | Behaviour::KeysAfter(..) => {
                        silent.push(stream);
                        Ok(())
                    }
                    Behaviour::Enormous => {
                        let size = 50_000_000;
                        let began = stream.write_all(head(200, "", size).as_bytes());
                        began.and_then(|()| stream.write_all(&vec![b' '; size]))
                    }
                };
            }
        });
        server
    }

    fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().expect("lock") = behaviour;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn trusted(&self) -> TestApp {
        self.trusted_by(Setup::new())
    }

    fn trusted_by(&self, setup: Setup) -> TestApp {
        setup
            .with("AUTH__BEARER__JWKS", &self.url)
            .with("AUTH__BEARER__ISSUER", ISSUER)
            .with("AUTH__BEARER__AUDIENCE", AUDIENCE)
            .start()
    }
}

fn key_set(issuers: &[&Issuer]) -> String {
    let keys: Vec<Value> = issuers.iter().map(|issuer| issuer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

fn keys(issuers: &[&Issuer]) -> Behaviour {
    Behaviour::Keys(key_set(issuers))
}

fn call(app: &TestApp, issuer: &Issuer) -> Answer {
    let token = format!("Bearer {}", issuer.token(&json!({})));
    app.client().with_authorization(Some(&token)).who(&[])
}

/// CONTRACT 28: an unknown key is fetched. Many tokens with unknown keys cause few fetches.
#[test]
fn unknown_keys_are_fetched_but_not_often() {
    let (first, second, unknown) = (Issuer::new("1"), Issuer::new("2"), Issuer::new("x"));
    let server = KeyServer::start(keys(&[&first]));
    let app = server.trusted();
    call(&app, &first).expect(200);
    server.behave(keys(&[&first, &second]));
    call(&app, &second).expect(200);
    call(&app, &first).expect(200);

    let before = server.requests();
    let began = std::time::Instant::now();
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| call(&app, &unknown).expect(401));
        }
    });
    let fetched = server.requests() - before;
    let seconds = began.elapsed().as_secs() as usize;
    assert!(fetched <= seconds + 2, "{fetched} fetches in {seconds} s for 20 tokens");
    call(&app, &first).expect(200);
}

/// CONTRACT 28, 35: while the issuer is unreachable or sends invalid answers, known keys stay in force. For a token of
/// an unknown key the answer asks the client to retry within seconds.
#[rstest]
#[case::down(Behaviour::Status(500))]
#[case::not_there(Behaviour::Status(404))]
#[case::elsewhere(Behaviour::Redirect)]
#[case::slow(Behaviour::Silence)]
#[case::enormous(Behaviour::Enormous)]
#[case::nonsense(Behaviour::Keys("<html>".to_owned()))]
fn an_issuer_in_trouble_does_no_harm(#[case] trouble: Behaviour) {
    let (known, unknown) = (Issuer::new("1"), Issuer::new("2"));
    let server = KeyServer::start(keys(&[&known]));
    let app = server.trusted();
    call(&app, &known).expect(200);
    server.behave(trouble);
    let answer = call(&app, &unknown);
    let answer = answer.expect_error(503, "SoUnavailableException", "keys of the token's issuer");
    assert!(!answer.header("Retry-After").is_empty());
    call(&app, &known).expect(200);
    app.client().who(&[]).expect(200);
    server.behave(keys(&[&known, &unknown]));
    call(&app, &unknown).expect(200);
    app.logged(&["cannot read the issuer's keys"]);
}

/// CONTRACT 28, 35: if a fetch fails, all callers that wait for it get the same answer.
#[test]
fn a_failure_is_shared() {
    let (known, unknown) = (Issuer::new("1"), Issuer::new("2"));
    let server = KeyServer::start(keys(&[&known]));
    let app = server.trusted();
    call(&app, &known).expect(200);
    server.behave(Behaviour::Status(503));
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| call(&app, &unknown).expect(503));
        }
    });
}

/// CONTRACT 28: no caller can end a fetch that others wait for: the first one resets its connection, and the others get
/// the keys.
#[test]
fn the_first_caller_of_a_fetch_may_leave() {
    let (known, unknown) = (Issuer::new("1"), Issuer::new("2"));
    let server = KeyServer::start(keys(&[&known]));
    let app = server.trusted();
    call(&app, &known).expect(200);
    // The next fetch begins a second after this one, and all callers wait for it.
    call(&app, &unknown).expect(401);
    let before = server.requests();
    let gate = Arc::new(Mutex::new(()));
    let shut = gate.lock().expect("lock");
    server.behave(Behaviour::KeysAfter(Arc::clone(&gate), key_set(&[&known, &unknown])));
    let mut first = TcpStream::connect(app.authority()).expect("connect");
    let token = format!("Bearer {}", unknown.token(&json!({})));
    first.write_all(who_request(app.authority(), &token).as_bytes()).expect("send");
    thread::sleep(Duration::from_millis(100));
    thread::scope(|scope| {
        let others: Vec<_> = (0..5).map(|_| scope.spawn(|| call(&app, &unknown))).collect();
        until("a fetch", || server.requests() > before);
        reset(first);
        thread::sleep(Duration::from_millis(300));
        drop(shut);
        for other in others {
            other.join().expect("a caller").expect(200);
        }
    });
    assert!(server.requests() <= before + 2, "the fetch is shared");
}

/// CONTRACT 28: while the issuer is away, its keys stay in force for `auth.bearer.stale_hours`. After that every token
/// is rejected.
#[test]
fn keys_are_not_in_force_without_end() {
    let Some(setup) = with_a_clock("keys of an issuer that is away") else { return };
    let known = Issuer::new("1");
    let server = KeyServer::start(keys(&[&known]));
    let app = server.trusted_by(setup.with("AUTH__BEARER__STALE_HOURS", "30"));
    call(&app, &known).expect(200);
    server.behave(Behaviour::Status(500));
    clock::set(&app.setup, "+29h");
    call(&app, &known).expect(200);
    clock::set(&app.setup, "+31h");
    let answer = call(&app, &known);
    answer.expect_error(503, "SoUnavailableException", "keys of the token's issuer");
    app.client().who(&[]).expect(200);
    server.behave(keys(&[&known]));
    call(&app, &known).expect(200);
}

/// CONTRACT 28: keys that the issuer withdraws stop working.
#[test]
fn withdrawn_keys_are_not_accepted() {
    let (known, unknown) = (Issuer::new("1"), Issuer::new("2"));
    let server = KeyServer::start(keys(&[&known]));
    let app = server.trusted();
    call(&app, &known).expect(200);
    server.behave(keys(&[]));
    call(&app, &unknown).expect(401);
    call(&app, &known).expect(401);
}

/// CONTRACT 28: without a key server the server still starts, and the other schemes work.
#[test]
fn the_server_starts_without_its_issuer() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}/jwks", listener.local_addr().expect("address"));
    drop(listener);
    let nobody = KeyServer { url, behaviour: Arc::default(), requests: Arc::default() };
    let app = nobody.trusted();
    call(&app, &Issuer::new("1")).expect(503);
    app.client().who(&[]).expect(200);
}

/// CONTRACT 28: a file of keys is read again when a token names an unknown key.
#[test]
fn a_file_of_keys_may_change() {
    let (first, second) = (Issuer::new("1"), Issuer::new("2"));
    let setup = issuer::trusting(Setup::new(), &[&first]);
    let app = setup.start();
    call(&app, &first).expect(200);
    call(&app, &second).expect(401);
    issuer::write_keys(&setup, &[&second]);
    call(&app, &second).expect(200);
    let answer = call(&app, &first).expect(401);
    assert!(answer.header("WWW-Authenticate").starts_with("Basic"), "{answer:?}");
    assert!(
        format!("{answer:?}")
            .contains("Bearer realm=\\\"Latchkey\\\", error=\\\"invalid_token\\\"")
    );
}

/// CONTRACT 1, 28: if paths name tenants, a JWT must name a tenant, and it must be that of the path.
#[test]
fn a_jwt_is_of_one_tenant() {
    let issuer = Issuer::new("1");
    let app = issuer::trusting(Setup::new().with("TENANTS", "path"), &[&issuer]).start();
    let who = |claims: &Value| {
        let token = format!("Bearer {}", issuer.token(claims));
        app.client().with_authorization(Some(&token)).who(&[])
    };
    let tenant = "http://schemes.superoffice.net/identity/ctx";
    who(&json!({ tenant: "Default" })).expect(200);
    for other in [json!({}), json!({ tenant: "Cust1" }), json!({ tenant: "a b" })] {
        who(&other).expect_error(403, "SoSentryException", "another tenant");
    }
    who(&json!({ tenant: 7 })).expect(401);
}

/// CONTRACT 28: a mistake in the configuration stops the start, and the message says how to fix it.
#[test]
fn a_mistake_about_the_issuer_is_reported() {
    let refusal = |jwks: &str| {
        let setup = Setup::new().with("AUTH__BEARER__JWKS", jwks);
        let setup = setup.with("AUTH__BEARER__ISSUER", ISSUER).with("AUTH__BEARER__AUDIENCE", "x");
        std::fs::write(setup.folder().join("empty.json"), "{}").expect("file");
        setup.refusal()
    };
    for (jwks, said) in [
        ("http://id.example.com/jwks", "auth.bearer.jwks must be an https URL"),
        ("HTTP://id.example.com/jwks", "auth.bearer.jwks must be an https URL"),
        ("http://127.0.0.1.example.com/jwks", "auth.bearer.jwks must be an https URL"),
        ("https://u:CANARY@id.example.com/jwks", "auth.bearer.jwks must not hold a user name"),
        ("missing.json", "missing.json is no use: No such file"),
        ("empty.json", "it is not a JSON Web Key Set"),
    ] {
        let told = refusal(jwks);
        assert!(told.contains(said), "{jwks}: {told}");
    }
    let never = Setup::new().with("AUTH__BEARER__STALE_HOURS", "0").refusal();
    assert!(never.contains("auth.bearer.stale_hours"), "{never}");
    let half = Setup::new().with("AUTH__BEARER__ISSUER", ISSUER).refusal();
    assert!(half.contains("auth.bearer needs jwks, issuer and audience"), "{half}");
}

/// A certified OpenID provider, in a process of its own.
struct Provider {
    process: Child,
    _stdin: ChildStdin,
    told: Value,
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// CONTRACT 28: a real provider rotates its keys during calls. No valid token is rejected.
#[test]
fn a_real_provider_rotates_its_keys() {
    let Some(folder) = client() else { return };
    let mut command = Command::new("node");
    command.arg("openid-provider.mjs").current_dir(&folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = command.spawn().expect("node");
    let stdin = process.stdin.take().expect("piped");
    let mut line = String::new();
    let mut told = BufReader::new(process.stdout.take().expect("piped"));
    told.read_line(&mut line).expect("a line");
    let told = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let provider = Provider { process, _stdin: stdin, told };
    let text = |name: &str| provider.told[name].as_str().expect(name);
    let app = Setup::new()
        .with("AUTH__BEARER__JWKS", text("jwks"))
        .with("AUTH__BEARER__ISSUER", text("issuer"))
        .with("AUTH__BEARER__AUDIENCE", "urn:latchkey")
        .with("LOG__FILTER", "warn")
        .start();
    pass(&folder, &["rotation.mjs", &app.url, text("issuer")]);
}
