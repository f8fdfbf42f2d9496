//! Grants that several servers refresh: one request at a time, no matter which server makes it and how it ends.
//!
//! Invariant: the provider's tree decides which tokens live. Two requests had the same refresh token at once only if a
//! server took over a lease.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    grants::{
        exchange::{self, discovering},
        outages::unsaved,
        revocation::with_endpoints,
        scene::{
            REDIRECT, Scene, access_token, assert_lives, assert_state, describe, end_access_in,
            get, knowing, oracle, read_at_once, save, settings,
        },
        single_flight::{send_get, the_one_token},
    },
    postgres::{cluster::Cluster, database::programs, proxy::Proxy, servers::beside},
    records::clock::{self, with_a_clock},
    support::{
        app::{Setup, TestApp, until},
        load::{OnDrop, tell},
        provider::{Gate, Grace, Kind, MockProvider, Replay, Reuse, Rules},
    },
};

/// The life of a lease that is not renewed, and a reserve for a slow machine.
const TAKEN_OVER: Duration = Duration::from_secs(20);

/// A provider, and several servers on one database.
pub(super) struct Servers {
    pub(super) provider: MockProvider,
    pub(super) apps: Vec<TestApp>,
}

impl Servers {
    pub(super) fn new(count: usize, rules: Rules, over: &Value) -> Self {
        let provider = MockProvider::start(rules);
        let settings = [with_endpoints(&provider, over)];
        let mut apps = vec![knowing(Setup::new(), &settings).start()];
        for _ in 1..count {
            apps.push(knowing(beside(&apps[0].setup), &settings).start());
        }
        Self { provider, apps }
    }

    /// A provider that answers spent tokens with tokens again.
    fn lenient(replay: Replay) -> Self {
        let grace = Grace::For(Duration::from_secs(3600));
        let over = json!({"replay_within_seconds": 3600});
        let servers = Self::new(2, Rules { grace, replay, ..Rules::default() }, &over);
        servers.work_for_a_while();
        servers
    }

    /// A server takes over no lease for some seconds after it has joined the database.
    fn work_for_a_while(&self) {
        thread::sleep(Duration::from_secs(8));
    }

    pub(super) fn save(&self, expires_in: i64) -> (String, String) {
        let grant = self.provider.grant();
        let key = save(&self.apps[0].client(), &grant, expires_in);
        (grant.refresh, key)
    }

    pub(super) fn setup(&self) -> &Setup {
        &self.apps[0].setup
    }

    pub(super) fn refreshes(&self) -> usize {
        self.provider.count(Kind::Refresh)
    }
}

/// Repeats a get until it succeeds; returns the token, and the time that this took.
fn get_patiently(app: &TestApp, key: &str) -> (String, Duration) {
    let began = Instant::now();
    let mut token = None;
    until("the record is refreshed", || {
        let answer = get(&app.client(), key, 0);
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        token = (answer.status == 200).then(|| access_token(answer));
        token.is_some()
    });
    (token.expect("got"), began.elapsed())
}

/// CONTRACT 50: many callers make one request, even if they ask different servers.
#[test]
fn many_readers_of_three_servers_make_one_request() {
    let servers = Servers::new(3, Rules::default(), &json!({}));
    let (refresh, key) = servers.save(0);
    let apps: Vec<&TestApp> = servers.apps.iter().collect();
    let token = the_one_token(read_at_once(&apps, &key, 200));
    assert!(servers.provider.is_newest(&token));
    assert_eq!((servers.refreshes(), servers.provider.presentations(&refresh)), (1, 1));
    assert_eq!(assert_lives(&servers.provider, servers.setup(), &key).generation, 2);
}

/// The provider takes longer than a lease: the lease is renewed, and no other server sends the request meanwhile.
#[test]
fn a_lease_is_renewed_while_the_provider_takes_its_time() {
    let servers = Servers::new(2, Rules::default(), &json!({}));
    let (refresh, key) = servers.save(0);
    servers.work_for_a_while();
    let hold = servers.provider.hold(Gate::AfterReading, usize::MAX);
    thread::scope(|scope| {
        let readers = [&servers.apps[0], &servers.apps[1]];
        let readers = readers.map(|app| scope.spawn(|| get_patiently(app, &key).0));
        hold.wait_for(1);
        thread::sleep(Duration::from_secs(12));
        assert_eq!(hold.came(), 1);
        hold.open();
        let tokens = readers.map(|reader| reader.join().expect("no panic"));
        assert_eq!(tokens[0], tokens[1]);
    });
    assert_eq!(servers.provider.presentations(&refresh), 1);
    assert_lives(&servers.provider, servers.setup(), &key);
}

/// CONTRACT 50: A server is killed with a request in flight: another server repeats it within seconds.
#[rstest]
#[case(Gate::BeforeReading, 1)]
#[case(Gate::AfterProcessing, 2)]
fn another_server_takes_over(#[case] gate: Gate, #[case] presentations: usize) {
    let mut servers = Servers::lenient(Replay::SamePair);
    let (refresh, key) = servers.save(0);
    let hold = servers.provider.hold(gate, 1);
    let stream = send_get(&servers.apps[0], &key);
    hold.wait_for(1);
    servers.apps[0].kill();
    drop(stream);
    let (token, took) = get_patiently(&servers.apps[1], &key);
    tell(&format!("another server had the tokens {took:?} after the kill"));
    assert!(took < TAKEN_OVER, "{took:?}");
    assert!(servers.provider.is_newest(&token));
    drop(hold);
    assert_eq!(servers.provider.max_in_flight(&refresh), 1);
    assert_eq!(servers.provider.presentations(&refresh), presentations);
    assert_eq!(assert_lives(&servers.provider, servers.setup(), &key).generation, 2);
}

/// A kill before the claim is committed leaves nothing.
#[test]
fn a_kill_before_the_claim_leaves_nothing() {
    let mut servers = Servers::new(2, Rules::default(), &json!({}));
    let (refresh, key) = servers.save(0);
    let database = servers.setup().database();
    database.sql(
        "CREATE FUNCTION delay() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_sleep(60); RETURN NEW; END';
         CREATE TRIGGER delay BEFORE INSERT ON grants FOR EACH ROW EXECUTE FUNCTION delay();",
    );
    let stream = send_get(&servers.apps[0], &key);
    database.wait_for_sleeper();
    let setup = servers.setup().clone();
    servers.apps[0].kill();
    drop(stream);
    setup.database().query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event = 'PgSleep'",
    );
    setup.database().sql("DROP TRIGGER delay ON grants");
    let (token, _) = get_patiently(&servers.apps[1], &key);
    assert!(servers.provider.is_newest(&token));
    assert_eq!(servers.provider.presentations(&refresh), 1);
    assert_lives(&servers.provider, &setup, &key);
}

/// If a claim took nearly as long as it is valid, the server claims again before it sends the request.
#[test]
fn a_claim_that_took_long_is_made_again() {
    let servers = Servers::new(1, Rules::default(), &json!({}));
    let (refresh, key) = servers.save(0);
    servers.setup().database().sql(
        "CREATE SEQUENCE turn;
         CREATE FUNCTION delay() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN IF nextval(''turn'') = 1 THEN PERFORM pg_sleep(3); END IF; RETURN NEW; END';
         CREATE TRIGGER delay BEFORE INSERT OR UPDATE ON grants
             FOR EACH ROW EXECUTE FUNCTION delay();
         GRANT ALL ON SEQUENCE turn TO PUBLIC;",
    );
    let (token, _) = get_patiently(&servers.apps[0], &key);
    assert!(servers.provider.is_newest(&token));
    assert_eq!(servers.provider.presentations(&refresh), 1);
    let attempts = servers.apps[0].number("SELECT attempt FROM grants");
    tell(&format!("oracle: {attempts} claims, 1 request"));
    assert!(attempts >= 2, "{attempts}");
    assert_lives(&servers.provider, servers.setup(), &key);
}

/// A server is suspended with its request in flight, and another server succeeds meanwhile. The first server's tokens
/// are dropped, and it does not change the state of the grant.
#[rstest]
#[case::within_its_deadline(Duration::ZERO)]
#[case::beyond_its_deadline(Duration::from_secs(20))]
fn a_server_that_slept_speaks_for_nobody(#[case] longer: Duration) {
    let servers = Servers::lenient(Replay::NewPair);
    let (_, key) = servers.save(0);
    let hold = servers.provider.hold(Gate::AfterProcessing, 1);
    let _stream = send_get(&servers.apps[0], &key);
    hold.wait_for(1);
    servers.apps[0].signal("STOP");
    let (token, _) = get_patiently(&servers.apps[1], &key);
    thread::sleep(longer);
    hold.open();
    servers.apps[0].signal("CONT");
    until("it answers again", || {
        let answer = servers.apps[0].client().try_post("GetExternalTokens", &json!({ "Key": key }));
        answer.is_ok_and(|answer| answer.status == 200)
    });
    thread::sleep(Duration::from_secs(2));
    let (lives, held) = oracle(&servers.provider, servers.setup(), &key);
    assert!(lives, "{held:?}");
    assert_eq!((held.generation, held.access.as_ref()), (2, Some(&token)));
    assert_state(&servers.apps[1], &key, "Live", None);
    for app in &servers.apps {
        assert_eq!(access_token(get(&app.client(), &key, 0)), token);
    }
}

/// CONTRACT 52: the provider rejected the server that took over, because the first server's request had spent the
/// token. The first server resumes with the living tokens: they are saved, and the verdict is undone.
#[test]
fn a_late_success_undoes_a_verdict() {
    let rules = Rules { reuse: Reuse::IsRefused, ..Rules::default() };
    let servers = Servers::new(2, rules, &json!({}));
    servers.work_for_a_while();
    let (_, key) = servers.save(0);
    let hold = servers.provider.hold(Gate::AfterProcessing, 1);
    let _stream = send_get(&servers.apps[0], &key);
    hold.wait_for(1);
    servers.apps[0].signal("STOP");
    until("the loss is noticed", || get(&servers.apps[1].client(), &key, 0).status == 424);
    assert_state(&servers.apps[1], &key, "Dead", Some("lost_answer"));
    hold.open();
    servers.apps[0].signal("CONT");
    let (token, _) = {
        until("it is undone", || get(&servers.apps[1].client(), &key, 0).status == 200);
        get_patiently(&servers.apps[1], &key)
    };
    assert!(servers.provider.is_newest(&token));
    let (lives, held) = oracle(&servers.provider, servers.setup(), &key);
    assert!(lives, "{held:?}");
    assert_state(&servers.apps[0], &key, "Live", None);
}

/// The later request was answered last, so its tokens live. They are kept, although those of the earlier request were
/// saved first.
#[test]
fn the_tokens_of_the_later_request_are_kept() {
    let servers = Servers::lenient(Replay::NewPair);
    let (_, key) = servers.save(0);
    let first = servers.provider.hold(Gate::AfterProcessing, 1);
    let _stream = send_get(&servers.apps[0], &key);
    first.wait_for(1);
    servers.apps[0].signal("STOP");
    let second = servers.provider.hold(Gate::AfterProcessing, 1);
    let _other = send_get(&servers.apps[1], &key);
    second.wait_for(1);
    first.open();
    servers.apps[0].signal("CONT");
    let generation = "SELECT generation FROM external_tokens";
    until("the earlier one's are there", || servers.apps[0].number(generation) == 2);
    second.open();
    until("the later one's are there", || {
        let (token, _) = get_patiently(&servers.apps[1], &key);
        servers.provider.is_newest(&token)
    });
    let (lives, held) = oracle(&servers.provider, servers.setup(), &key);
    assert!(lives, "{held:?}");
    assert_state(&servers.apps[0], &key, "Live", None);
}

/// CONTRACT 49: two servers get one code at once: it is sent once.
#[test]
fn a_code_is_sent_once_by_all_servers() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let first = setup.start();
    let known = json!({"token_endpoint": null, "issuer": provider.url(), "scopes": ["openid"]});
    let second = knowing(beside(&first.setup), &[settings(&provider, &known)]).start();
    for round in 1..=10 {
        let code = provider.code(REDIRECT, None, None);
        let body = exchange::request(&code, &json!({"PkceVerifier": null, "Nonce": null}));
        let statuses = thread::scope(|scope| {
            let calls = [&first, &second].map(|app| {
                let (client, body) = (app.client(), &body);
                scope.spawn(move || client.post("ExchangeCodeAndSaveTokens", body).status)
            });
            calls.map(|call| call.join().expect("no panic"))
        });
        assert!(statuses.contains(&200) && statuses.contains(&400), "{statuses:?}");
        assert_eq!((provider.count(Kind::Exchange), first.saved_rows()), (round, round));
    }
    tell("oracle: 10 codes, each sent once");
}

/// Two servers have clocks that are five minutes fast and slow. No refresh is early, and none is made twice.
#[test]
fn wrong_clocks_of_servers_make_no_early_refresh() {
    let Some(first) = with_a_clock("clocks that differ") else { return };
    let provider = MockProvider::start(Rules::default());
    let known = [settings(&provider, &json!({}))];
    let url = first.database().url().expect("its URL");
    let keys = first.data().join("keys");
    let keys = keys.to_str().expect("UTF-8");
    let second = with_a_clock("clocks that differ").expect("it was there before");
    let second = second.with("DATABASE__URL", &url).with("KEYS__DIRECTORY", keys);
    let apps = [(first, "+5m"), (second, "-5m")].map(|(setup, offset)| {
        clock::set(&setup, offset);
        knowing(setup, &known).start()
    });
    for app in &apps {
        let grant = provider.grant();
        let key = save(&app.client(), &grant, 500);
        let apps: Vec<&TestApp> = apps.iter().collect();
        assert_eq!(the_one_token(read_at_once(&apps, &key, 20)), grant.access);
        assert_eq!(provider.presentations(&grant.refresh), 0);
        end_access_in(&apps[0].setup, &key, 30);
        let token = the_one_token(read_at_once(&apps, &key, 20));
        assert!(provider.is_newest(&token));
        assert_eq!(the_one_token(read_at_once(&apps, &key, 20)), token);
        assert_eq!(provider.presentations(&grant.refresh), 1);
        assert_lives(&provider, &apps[0].setup, &key);
    }
}

/// Servers with one database, each behind a proxy.
fn behind_proxies(
    cluster: &Cluster,
    provider: &MockProvider,
    count: usize,
) -> Vec<(Proxy, TestApp)> {
    let known = [settings(provider, &json!({}))];
    let first = Setup::new();
    let keys = first.data().join("keys");
    let mut setups = vec![first];
    for _ in 1..count {
        let keys = keys.to_str().expect("UTF-8");
        setups.push(Setup::new().with("KEYS__DIRECTORY", keys));
    }
    let start = |setup: Setup| {
        let proxy = Proxy::to(cluster.address());
        let url = cluster.url("latchkey").replace(&cluster.address(), &proxy.address());
        let app = knowing(setup.with("DATABASE__URL", &url), &known).start();
        (proxy, app)
    };
    setups.into_iter().map(start).collect()
}

/// The database is away for 20 seconds between a provider's answer and the commit, and two servers reconnect in either
/// order. The server with the new tokens saves them first, although its lease ran out. The other server sends no spent
/// token.
#[rstest]
#[case::the_holder_first(0, 1)]
#[case::the_other_first(1, 0)]
fn new_tokens_outlive_an_outage_whoever_comes_back_first(
    #[case] first: usize,
    #[case] last: usize,
) {
    let Some(programs) = programs("an outage between answer and commit") else { return };
    let cluster = Cluster::start(&programs, &[]);
    cluster.create_database("latchkey");
    let provider = MockProvider::start(Rules::default());
    let servers = behind_proxies(&cluster, &provider, 2);
    thread::sleep(Duration::from_secs(8));
    let grant = provider.grant();
    let (holder, other) = (&servers[0].1, &servers[1].1);
    let key = save(&holder.client(), &grant, 0);
    let hold = provider.hold(Gate::AfterProcessing, 1);
    let _stream = send_get(holder, &key);
    hold.wait_for(1);
    servers.iter().for_each(|(proxy, _)| proxy.cut(true));
    hold.open();
    until("the new tokens are in a file", || unsaved(&holder.setup) == 1);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        get(&other.client(), &key, 0).expect(503);
    }
    servers[first].0.cut(false);
    let app = &servers[first].1;
    until("the first one is back", || {
        app.client().request("GET", "/readyz", &[], b"").status == 200
    });
    thread::scope(|scope| {
        let early = scope.spawn(|| get(&app.client(), &key, 0));
        thread::sleep(Duration::from_secs(1));
        servers[last].0.cut(false);
        let early = early.join().expect("no panic");
        tell(&format!("the first one back answers {}", early.status));
        assert!([200, 503].contains(&early.status), "{early:?}");
    });
    for app in [holder, other] {
        assert!(provider.is_newest(&get_patiently(app, &key).0));
        assert_state(app, &key, "Live", None);
    }
    until("the file is gone", || unsaved(&holder.setup) == 0);
    tell(&format!("oracle: sent {} times", provider.presentations(&grant.refresh)));
    assert_eq!(provider.presentations(&grant.refresh), 1);
}

/// PostgreSQL is killed between a provider's answer and the commit, and then the server. The next start has the new
/// tokens.
#[test]
fn new_tokens_in_a_file_outlive_both_the_database_and_the_server() {
    let Some(programs) = programs("a server that is killed during an outage") else { return };
    let cluster = Cluster::start(&programs, &[]);
    cluster.create_database("latchkey");
    let provider = MockProvider::start(Rules::default());
    let (_proxy, mut app) = behind_proxies(&cluster, &provider, 1).remove(0);
    let grant = provider.grant();
    let key = save(&app.client(), &grant, 0);
    let hold = provider.hold(Gate::AfterProcessing, 1);
    let stream = send_get(&app, &key);
    hold.wait_for(1);
    cluster.stop("immediate");
    hold.open();
    until("the new tokens are in a file", || unsaved(&app.setup) == 1);
    app.kill();
    drop(stream);
    cluster.resume();
    let app = app.setup.start();
    assert!(provider.is_newest(&get_patiently(&app, &key).0));
    assert_eq!(provider.presentations(&grant.refresh), 1);
    until("the file is gone", || unsaved(&app.setup) == 0);
}

/// CONTRACT 50: three servers, 32 readers, tokens that live for two seconds, and a failover of the database in the
/// middle. No answered token is lost, and no refresh token is sent twice at once.
#[test]
fn a_failover_burns_no_grant() {
    const READERS: usize = 32;
    const RECORDS: usize = 12;
    let Some(programs) = programs("a failover while tokens are refreshed") else { return };
    let primary = Cluster::start(&programs, &[]);
    primary.create_database("latchkey");
    let standby = primary.synchronous_standby();
    let answer = json!({"expires_in": 2});
    let provider = MockProvider::start(Rules { answer, ..Rules::default() });
    let known = json!({"minimum_seconds": 0, "refresh_before_seconds": 0});
    let known = [settings(&provider, &known)];
    let url = primary.url_with(&standby, "latchkey");
    let first = knowing(Setup::new().with("DATABASE__URL", &url), &known);
    let keys = first.data().join("keys");
    let mut apps = vec![first.start()];
    for _ in 0..2 {
        let setup = Setup::new().with("KEYS__DIRECTORY", keys.to_str().expect("UTF-8"));
        apps.push(knowing(setup.with("DATABASE__URL", &url), &known).start());
    }
    let keys: Vec<String> =
        (0..RECORDS).map(|_| save(&apps[0].client(), &provider.grant(), 0)).collect();
    let refreshes = || provider.count(Kind::Refresh);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = OnDrop(&is_over);
        for reader in 0..READERS {
            let (client, keys, is_over) = (apps[reader % apps.len()].client(), &keys, &is_over);
            scope.spawn(move || {
                for key in keys.iter().cycle().skip(reader) {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let answer = get(&client, key, 0);
                    assert!([200, 503].contains(&answer.status), "{answer:?}");
                    thread::sleep(Duration::from_millis(20));
                }
            });
        }
        until("tokens are refreshed", || refreshes() >= 3 * RECORDS);
        primary.kill();
        thread::sleep(Duration::from_secs(3));
        standby.promote();
        let before = refreshes();
        until("tokens are refreshed again", || refreshes() >= before + 3 * RECORDS);
    });
    let burnt: Vec<&String> =
        keys.iter().filter(|key| !provider.is_newest(&get_patiently(&apps[1], key).0)).collect();
    tell(&format!(
        "oracle: {} requests to refresh, {} of {RECORDS} grants burnt, {} refresh tokens sent twice at once",
        refreshes(),
        burnt.len(),
        provider.sent_twice_at_once(),
    ));
    assert_eq!((burnt.len(), provider.sent_twice_at_once()), (0, 0), "{burnt:?}");
}

/// CONTRACT 54: A copy of the database is another database, and the server detects that. It sends nothing until the
/// operator allows it.
#[test]
fn a_copy_of_the_database_sends_nothing() {
    let scene = Scene::new(Rules::default(), json!({}));
    let (grant, key) = scene.save(0);
    let Scene { provider, app } = scene;
    let setup = app.stop();
    let copy = beside(&setup);
    let url = copy.database().copy_of(setup.database());
    let copy = knowing(copy.with("DATABASE__URL", &url), &[settings(&provider, &json!({}))]);
    let app = copy.start();
    let answer = get(&app.client(), &key, 0);
    tell(&format!("a copy answers {} {}", answer.status, answer.body));
    assert_eq!(provider.count(Kind::Refresh), 0);
    assert_eq!(describe(&app, &key)["GrantState"], "Paused");
    app.admin(&["grants", "resume"]);
    assert!(provider.is_newest(&get_patiently(&app, &key).0));
    assert_eq!(provider.presentations(&grant.refresh), 1);
}
