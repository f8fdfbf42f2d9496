//! A server, and the provider that issued the grants of its records.
//!
//! Invariant: the provider's tree and the opened row, not an answer, decide the state of a grant.

use std::{fs, sync::Barrier, thread};

use serde_json::{Value, json};

use crate::{
    Database,
    support::{
        app::{Setup, TestApp},
        client::{Answer, Client},
        load::tell,
        master_keys::record,
        provider::{CLIENT_ID, Grant, Kind, MockProvider, Rules, SECRET, endpoints::merge},
        seal_format::Sealed,
    },
};

/// The provider's name in the configuration and in the records.
pub(crate) const NAME: &str = "mock";
/// The redirect URI to which the provider sends users with their codes.
pub(crate) const REDIRECT: &str = "https://app.example.com/connected";
/// A number of seconds that exceeds the lifetime of the mock's access tokens.
pub(crate) const MORE_THAN_IT_LIVES: i64 = 7200;

pub(crate) struct Scene {
    pub(crate) provider: MockProvider,
    pub(crate) app: TestApp,
}

impl Scene {
    /// A provider with these rules, and a server with the usual settings for it and these over them.
    pub(crate) fn new(rules: Rules, over: Value) -> Self {
        let provider = MockProvider::start(rules);
        let app = knowing(Setup::new(), &[settings(&provider, &over)]).start();
        Self { provider, app }
    }

    /// Saves a record with a new grant, whose access token ends in `expires_in` seconds.
    pub(crate) fn save(&self, expires_in: i64) -> (Grant, String) {
        let grant = self.provider.grant();
        let key = save(&self.app.client(), &grant, expires_in);
        (grant, key)
    }

    /// The number of refresh requests.
    pub(crate) fn refreshes(&self) -> usize {
        self.provider.count(Kind::Refresh)
    }

    /// Whether the record has the living refresh token, and the tokens that it has.
    pub(crate) fn oracle(&self, key: &str) -> (bool, Held) {
        oracle(&self.provider, &self.app.setup, key)
    }

    /// Asserts that the record has the living refresh token, and that no token was sent twice at once.
    pub(crate) fn assert_lives(&self, key: &str) -> Held {
        assert_lives(&self.provider, &self.app.setup, key)
    }

    /// Stops the server, and starts it again.
    pub(crate) fn restart(self) -> Self {
        let Self { provider, app } = self;
        let setup = app.setup.clone();
        drop(app);
        Self { provider, app: setup.start() }
    }
}

/// The settings of a provider: its endpoints and the client, with these members over them. A member that is null is
/// left out.
pub(crate) fn settings(provider: &MockProvider, over: &Value) -> Value {
    let mut settings = json!({
        "name": NAME,
        "token_endpoint": provider.at("/token"),
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "redirect_uris": [REDIRECT],
        "allow_private_addresses": true,
    });
    merge(&mut settings, over);
    settings
}

/// Adds these providers, which may be on this machine and without TLS.
pub(crate) fn knowing(setup: Setup, providers: &[Value]) -> Setup {
    let providers = Value::from(providers.to_vec()).to_string();
    setup.with("PROFILE", "development").with("GRANTS__PROVIDERS", &providers)
}

/// Saves a grant whose access token ends in `expires_in` seconds; returns the key.
pub(crate) fn save(client: &Client, grant: &Grant, expires_in: i64) -> String {
    let carrier = carrier(&grant.access, &grant.refresh);
    let body = json!({ "TokenManagementInfo": carrier, "ExpiresIn": expires_in });
    client.post("SaveExternalTokens", &body).expect(200).key()
}

/// A carrier with these tokens of the provider.
pub(crate) fn carrier(access: &str, refresh: &str) -> Value {
    json!({ "Provider": NAME, "AccessToken": access, "RefreshToken": refresh })
}

/// Gets tokens that are valid for at least `minimum_seconds`.
pub(crate) fn get(client: &Client, key: &str, minimum_seconds: i64) -> Answer {
    client.post("GetExternalTokens", &json!({ "Key": key, "MinimumSeconds": minimum_seconds }))
}

/// The access token of an answer.
pub(crate) fn access_token(answer: Answer) -> String {
    let answer = answer.expect(200).json();
    answer["AccessToken"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Requests a refresh, and names the token that the caller has.
pub(crate) fn refresh(client: &Client, key: &str, stale: Option<&str>) -> Answer {
    let mut body = json!({ "Key": key });
    if let Some(stale) = stale {
        body["StaleAccessToken"] = stale.into();
    }
    client.post_records("Refresh", &body)
}

/// The description of a record.
pub(crate) fn describe(app: &TestApp, key: &str) -> Value {
    app.client().describe(&json!({ "Key": key }))
}

/// Asserts the state of a grant and its cause.
pub(crate) fn assert_state(app: &TestApp, key: &str, state: &str, cause: Option<&str>) {
    let described = describe(app, key);
    assert_eq!(described["GrantState"], state, "{described}");
    assert_eq!(described["Cause"].as_str(), cause, "{described}");
}

/// Changes the end of a record's access token, which lives for an hour, to `seconds` from now.
pub(crate) fn end_access_in(setup: &Setup, key: &str, seconds: i64) {
    let end = format!("{} + {}", Database::NOW, seconds * 1_000_000);
    let (times, id) =
        (format!("access_expires = {end}, updated = {end} - 3600000000"), record(key));
    let sql = format!("UPDATE external_tokens SET {times} WHERE id = {id}");
    assert_eq!(setup.database().sql(&sql), 1);
}

/// Makes the access tokens of all records expire.
pub(crate) fn end_access_of_all(setup: &Setup) {
    let ended = format!("{} - 1000000", Database::NOW);
    setup.database().sql(&format!("UPDATE external_tokens SET access_expires = {ended}"));
}

/// Ends a grant's pause after a failure, and the pause between two attempts.
pub(crate) fn end_pause(setup: &Setup, key: &str) {
    let sql =
        format!("UPDATE grants SET retry_at = NULL, claimed = 0 WHERE record = {}", record(key));
    assert_eq!(setup.database().sql(&sql), 1);
}

/// The tokens of a record, opened by its key and the master key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) generation: i32,
    pub(crate) access: Option<String>,
    pub(crate) refresh: Option<String>,
}

/// Opens a record.
pub(crate) fn held(setup: &Setup, key: &str) -> Held {
    let id = record(key);
    let generation = format!("SELECT generation FROM external_tokens WHERE id = {id}");
    let generation = || setup.database().number(&generation);
    // The columns are read one by one, so the loop repeats if the generation changed meanwhile.
    let row = loop {
        let (before, row) = (generation(), Sealed::of_record(setup, id));
        if generation() == before {
            break row;
        }
    };
    let file = setup.data().join("keys").join(format!("kek-{}.key", row.kek_id));
    let opened = row.open(&fs::read(file).expect("the master key"), key.as_bytes());
    let [access, refresh, _claims] = opened.expect("the key opens it");
    Held { generation: row.generation, access, refresh }
}

/// Whether the record has the living refresh token, and the tokens that it has.
pub(crate) fn oracle(provider: &MockProvider, setup: &Setup, key: &str) -> (bool, Held) {
    let held = held(setup, key);
    let lives = held.refresh.as_ref().is_some_and(|token| provider.is_living_leaf(token));
    tell(&format!(
        "oracle: generation {} has the refresh token that lives: {lives}; {} requests to refresh, {} refresh tokens \
         sent twice at once",
        held.generation,
        provider.count(Kind::Refresh),
        provider.sent_twice_at_once(),
    ));
    (lives, held)
}

/// Asserts that the record has the living refresh token, and that no token was sent twice at once.
pub(crate) fn assert_lives(provider: &MockProvider, setup: &Setup, key: &str) -> Held {
    let (lives, held) = oracle(provider, setup, key);
    assert!(lives, "{held:?}");
    assert_eq!(provider.sent_twice_at_once(), 0);
    held
}

/// The answers that this number of readers get at once, from the servers in turn.
pub(crate) fn read_at_once(apps: &[&TestApp], key: &str, readers: usize) -> Vec<Answer> {
    let barrier = Barrier::new(readers);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..readers)
            .map(|number| {
                let (client, barrier) = (apps[number % apps.len()].client(), &barrier);
                scope.spawn(move || {
                    client.who(&[]).expect(200);
                    barrier.wait();
                    get(&client, key, 0)
                })
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().expect("no panic")).collect()
    })
}
