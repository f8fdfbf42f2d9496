//! Metrics: a scrape counts what the server did, in the format that Prometheus reads, and names no caller.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

use rstest::rstest;
use serde_json::json;

use crate::{
    grants::scene::{self, NAME, Scene, knowing, settings},
    support::{
        app::{Setup, TIMEOUT, TestApp, until},
        parts::{has, leave_out},
        provider::{MockProvider, Rules},
        scrape::{Scrape, metrics_authority, scraped, scraper},
    },
};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
const GET: &str = "/api/v1/Agents/User/GetExternalTokens";

/// A server with metrics, and a provider of grants.
fn scene(rules: Rules) -> Scene {
    let provider = MockProvider::start(rules);
    let setup = knowing(Setup::new(), &[settings(&provider, &json!({}))]);
    Scene { app: scraped(setup).start(), provider }
}

/// Waits until a scrape has this value: counts of the database may be a second old.
fn until_counted(app: &TestApp, name: &str, labels: &[(&str, &str)], expected: f64) {
    let client = scraper(app);
    until(&format!("{name} {labels:?} is {expected}"), || {
        Scrape::by(&client).find(name, labels) == Some(expected)
    });
}

#[test]
fn a_scrape_counts_what_the_server_did() {
    let scene = scene(Rules::default());
    let (app, client) = (&scene.app, scene.app.client());
    let keys: Vec<String> = (0..3)
        .map(|_| client.save(&json!({"Provider": "other", "AccessToken": "fugit"})))
        .collect();
    keys.iter().take(2).for_each(|key| drop(client.get(key)));
    let (_grant, key) = scene.save(0);
    scene::get(&client, &key, 0).expect(200);
    let (grant, dead) = scene.save(0);
    scene.provider.revoke(&grant.refresh);
    scene::get(&client, &dead, 0).expect(424);
    client.with_password("tje0", "CANARY-wrong").who(&[]).expect(401);
    client.with_authorization(None).who(&[]).expect(401);
    client.request("GET", "/CANARY-path", &[], b"").expect(404);
    app.ticket("tje0");
    client.revoke(&json!({ "Key": keys[0] }));

    until_counted(app, "latchkey_records", &[("state", "ended")], 1.0);
    until_counted(app, "latchkey_credentials", &[("kind", "ticket")], 1.0);
    let grants = |state| [("provider", NAME), ("state", state)];
    until_counted(app, "latchkey_grants", &grants("dead"), 1.0);
    let scrape = Scrape::of(app);
    let requests = |route, status| {
        let method = if route == "(none)" { "GET" } else { "POST" };
        let labels = [("route", route), ("method", method), ("status", status)];
        scrape.value("latchkey_http_requests_total", &labels)
    };
    assert_eq!(requests(SAVE, "2xx"), 5.0);
    assert_eq!((requests(GET, "2xx"), requests(GET, "4xx")), (3.0, 1.0));
    assert_eq!(requests("(none)", "4xx"), 1.0);
    let of_saves = [("route", SAVE), ("method", "POST")];
    let times = "latchkey_http_request_duration_seconds";
    assert_eq!(scrape.value(&format!("{times}_count"), &of_saves), 5.0);
    assert!(scrape.value(&format!("{times}_sum"), &of_saves) > 0.0);
    assert_eq!(scrape.value("latchkey_http_requests_under_way", &[]), 0.0);

    let sign_ins = |scheme, outcome| {
        scrape.value("latchkey_sign_ins_total", &[("scheme", scheme), ("outcome", outcome)])
    };
    assert_eq!((sign_ins("Basic", "accepted"), sign_ins("Basic", "refused")), (10.0, 1.0));
    assert_eq!(sign_ins("none", "refused"), 1.0);

    assert_eq!(scrape.value("latchkey_records", &[("state", "living")]), 4.0);
    assert_eq!(scrape.value("latchkey_records_expiring", &[]), 0.0);
    assert_eq!(scrape.value("latchkey_grants", &grants("live")), 1.0);
    let refreshes = |outcome| {
        scrape.value("latchkey_refreshes_total", &[("provider", NAME), ("outcome", outcome)])
    };
    assert_eq!((refreshes("refreshed"), refreshes("dead"), refreshes("busy")), (1.0, 1.0, 0.0));
    let provider = [("provider", NAME)];
    assert_eq!(scrape.value("latchkey_refresh_duration_seconds_count", &provider), 2.0);
    assert_eq!(scrape.value("latchkey_provider_paused", &provider), 0.0);
    assert_eq!(scrape.value("latchkey_grants_paused", &[]), 0.0);

    assert!(scrape.value("latchkey_commit_writes_sum", &[]) >= 5.0);
    let commits = scrape.value("latchkey_commit_duration_seconds_count", &[]);
    assert_eq!(commits, scrape.value("latchkey_commit_writes_count", &[]));
    assert!(commits > 0.0 && scrape.value("latchkey_write_wait_seconds_count", &[]) >= commits);
    assert!(scrape.value("latchkey_read_duration_seconds_count", &[]) >= 4.0);
    assert_eq!(scrape.value("latchkey_database_up", &[]), 1.0);
    assert_eq!(scrape.value("latchkey_master_keys", &[]), 1.0);
    assert!((0.0..600.0).contains(&scrape.value("latchkey_master_key_age_seconds", &[])));
    assert!(scrape.value("latchkey_master_key_wraps", &[]) >= 5.0);
    let job = [("task", "following the master keys")];
    assert_eq!(scrape.value("latchkey_job_failing", &job), 0.0);
    assert!(scrape.value("latchkey_job_last_success_timestamp_seconds", &job) > 1e9);
    let idle = scrape.value("latchkey_connections", &[("state", "idle")]);
    assert!(idle >= 1.0, "the client keeps its connection: {idle}");
    assert_eq!(scrape.value("latchkey_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert!(scrape.value("process_start_time_seconds", &[]) > 1e9);
    assert!(scrape.value("process_resident_memory_bytes", &[]) > 1e6);
    assert!(scrape.value("process_open_fds", &[]) > 5.0);
}

/// A provider that refuses the client gets no request, and a scrape shows it.
#[test]
fn a_provider_that_refuses_the_client_is_paused_in_a_scrape() {
    let scene = scene(Rules::default());
    let (_grant, key) = scene.save(0);
    scene.provider.always(Some(crate::support::provider::Reply::json(
        401,
        &json!({"error": "invalid_client"}),
    )));
    scene::get(&scene.app.client(), &key, 0).expect(502);
    until_counted(&scene.app, "latchkey_provider_paused", &[("provider", NAME)], 1.0);
    let blocked = [("provider", NAME), ("outcome", "client_blocked")];
    assert_eq!(Scrape::of(&scene.app).value("latchkey_refreshes_total", &blocked), 1.0);
}

/// A wrong password too many, and the calls that follow it.
#[test]
fn throttled_sign_ins_are_counted() {
    let app = scraped(Setup::new().with("AUTH__THROTTLE__PER_USER", "1")).start();
    let wrong = app.client().with_password("tje0", "CANARY-wrong");
    wrong.who(&[]).expect(401);
    wrong.who(&[]).expect(429);
    let throttled = [("scheme", "Basic"), ("outcome", "throttled")];
    assert_eq!(Scrape::of(&app).value("latchkey_sign_ins_total", &throttled), 1.0);
}

/// A scrape by a hundred scrapers counts the database once.
#[test]
fn scrapes_share_a_count_of_the_database() {
    let app = scraped(Setup::new()).with("METRICS__COUNT_SECONDS", "3600").start();
    let client = scraper(&app);
    let counted = |scrape: &Scrape| scrape.value("latchkey_counts_timestamp_seconds", &[]);
    let first = counted(&Scrape::by(&client));
    app.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    for _ in 0..100 {
        let scrape = Scrape::by(&client);
        assert_eq!(counted(&scrape), first);
        assert_eq!(scrape.value("latchkey_records", &[("state", "living")]), 0.0);
    }
}

/// Prometheus' own check of a scrape has no complaint, and Prometheus stores it.
#[test]
fn prometheus_reads_a_scrape() {
    if !has("prometheus") || !has("promtool") {
        return leave_out("the check of metrics", "prometheus");
    }
    let scene = scene(Rules::default());
    let (_grant, key) = scene.save(0);
    scene::get(&scene.app.client(), &key, 0).expect(200);
    let scrape = Scrape::of(&scene.app);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut checking =
        promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
    checking.stdin.take().expect("piped").write_all(scrape.0.as_bytes()).expect("sent");
    let checked = checking.wait_with_output().expect("it ends");
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));

    let folder = scene.app.setup.folder().join("prometheus");
    std::fs::create_dir(&folder).expect("a folder");
    let target = metrics_authority(&scene.app);
    let configuration = format!(
        "scrape_configs: [{{job_name: latchkey, scrape_interval: 1s, static_configs: [{{targets: \
         ['{target}']}}]}}]"
    );
    std::fs::write(folder.join("prometheus.yml"), configuration).expect("written");
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let mut prometheus = Command::new("prometheus")
        .current_dir(&folder)
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
        .arg(format!("--web.listen-address={address}"))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("log")).expect("a log"))
        .spawn()
        .expect("it starts");
    let asked = crate::support::client::Client::new(&format!("http://{address}"));
    let query = |query: &str| {
        let path = format!("/api/v1/query?query={query}");
        let answer = asked.try_request("GET", &path, &[], b"").ok()?;
        let answer: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
        Some(answer["data"]["result"][0]["value"][1].as_str()?.to_owned())
    };
    let is_stored = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("Prometheus scrapes it", || query("up").as_deref() == Some("1"));
        until("it is stored", || {
            query("latchkey_refreshes_total%7Boutcome=%22refreshed%22%7D").as_deref() == Some("1")
        });
        query("latchkey_build_info")
    }));
    let _ = prometheus.kill();
    let _ = prometheus.wait();
    assert_eq!(is_stored.expect("it is stored").as_deref(), Some("1"));
}

/// The format by `Accept`: that of Prometheus, or OpenMetrics.
#[rstest]
#[case("*/*", "text/plain; version=0.0.4; charset=utf-8", false)]
#[case(
    "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
    true
)]
fn accept_chooses_the_format(#[case] accept: &str, #[case] expected: &str, #[case] is_open: bool) {
    let app = scraped(Setup::new()).start();
    app.client().who(&[]).expect(200);
    let answer = scraper(&app).request("GET", "/metrics", &[("Accept", accept)], b"").expect(200);
    assert_eq!(answer.header("Content-Type"), expected);
    assert!(answer.headers.get("Server").is_none(), "{answer:?}");
    assert_eq!(answer.body.ends_with("# EOF\n"), is_open);
    let family = if is_open { "latchkey_sign_ins" } else { "latchkey_sign_ins_total" };
    assert!(answer.body.contains(&format!("# TYPE {family} counter\n")), "{}", answer.body);
    assert!(answer.body.contains("\nlatchkey_sign_ins_total{"), "{}", answer.body);
}

/// No label has a text that a caller sends.
#[test]
fn no_label_names_a_caller() {
    let provider = MockProvider::start(Rules::default());
    let receiver = json!([{
        "name": "crm", "url": provider.at("/hook"), "allow_private_addresses": true,
        "secret": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    }]);
    let setup = knowing(Setup::new(), &[settings(&provider, &json!({}))])
        .with("WEBHOOKS__RECEIVERS", &receiver.to_string())
        .with("TENANTS", "path");
    let app = scraped(setup).start();
    app.admin(&["user", "add", "ann", "--tenant", "Cust12345", "--password-stdin"]);
    let (_, origin) = app.url.split_once("://").expect("a URL");
    let origin = format!("http://{}", origin.split('/').next().expect("an authority"));
    let client = crate::support::client::Client::new(&format!("{origin}/Cust12345"))
        .with_password("ann", "CANARY-password");
    let grant = provider.grant();
    let key = scene::save(&client, &grant, 0);
    let fresh = scene::access_token(scene::get(&client, &key, 0));
    let forged = [("Authorization", "CANARY-scheme x"), ("X-Request-Id", "CANARY-id")];
    client.request("GET", "/api/v1/User/currentPrincipal", &forged[1..], b"").expect(200);
    client.with_authorization(Some(forged[0].1)).who(&[]).expect(401);
    let method = format!(
        "CANARYMETHOD /Cust12345/api HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        app.authority()
    );
    assert!(app.raw(&method).starts_with("HTTP/1.1 405 "));
    client.request("GET", "/api/docs/CANARY-file", &[], b"").expect(404);
    client.request("GET", "/CANARY-path", &[], b"").expect(404);

    let scrape = Scrape::of(&app);
    let record = &key[3..14];
    let urls = ["127.0.0.1", "http:", "https:"];
    let callers = ["Cust12345", "cust12345", "ann\"", "CANARY", "/hook", &key, record, &fresh];
    for secret in callers.iter().chain(&urls).chain(&[grant.access.as_str(), &grant.refresh]) {
        assert!(!scrape.0.contains(secret), "{secret} is in: {}", scrape.0);
    }

    let document = client.request("GET", "/api/openapi.json", &[], b"").expect(200).json();
    let mut routes: BTreeSet<&str> =
        document["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    routes.extend(["(none)", "/", "/api/v1", "/healthz", "/readyz"]);
    let jobs = include_str!("../../../docs/reference/metrics.md");
    let known: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("method", &["GET", "HEAD", "POST", "OPTIONS", "(other)"][..]),
        ("status", &["1xx", "2xx", "3xx", "4xx", "5xx"]),
        ("scheme", &["Basic", "SoTicket", "Bearer", "Session", "none"]),
        (
            "outcome",
            &[
                "accepted",
                "refused",
                "throttled",
                "unavailable",
                "refreshed",
                "no_answer",
                "dead",
                "interaction",
                "client_blocked",
                "client_fault",
                "busy",
                "ambiguous",
                "other",
            ],
        ),
        ("state", &["busy", "idle", "living", "ended", "none", "live", "failing", "dead"]),
        ("kind", &["ticket", "session", "access_token"]),
        ("provider", &[NAME, "(other)"]),
        ("receiver", &["crm"]),
        ("version", &[env!("CARGO_PKG_VERSION")]),
    ]);
    for sample in scrape.samples() {
        for (label, value) in &sample.labels {
            let is_known = match label.as_str() {
                "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
                "route" => routes.contains(value.as_str()),
                "task" | "cause" => jobs.contains(&format!("`{value}`")),
                label => known.get(label).is_some_and(|known| known.contains(&value.as_str())),
            };
            assert!(is_known, "{label}={value} in {sample:?}");
        }
    }
}

/// The book lists every metric, with its type, its labels and its meaning.
#[test]
fn the_reference_lists_every_metric() {
    let scene = scene(Rules::default());
    scene.app.client().who(&[]).expect(200);
    let scrape = Scrape::of(&scene.app);
    let samples = scrape.samples();
    let page = include_str!("../../../docs/reference/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    let mut rows = rows.iter().filter(|row| row.len() == 6);
    for [name, kind, help] in scrape.families() {
        let row = rows.next().unwrap_or_else(|| panic!("{name} is not in the reference"));
        let told = (row[0].trim_end_matches('`'), row[1], row[4]);
        assert_eq!(told, (name.as_str(), kind.as_str(), help.as_str()));
        let labels: BTreeSet<&str> =
            row[2].split([',', '`', ' ']).filter(|label| !label.is_empty()).collect();
        let is_of_it = |other: &str| {
            other.strip_prefix(name.as_str()).is_some_and(|rest| {
                rest.is_empty() || (kind == "histogram" && rest.starts_with('_'))
            })
        };
        for sample in samples.iter().filter(|sample| is_of_it(&sample.name)) {
            let found = sample.labels.keys().map(String::as_str).filter(|label| *label != "le");
            assert_eq!(found.collect::<BTreeSet<_>>(), labels, "{name}");
        }
    }
    assert_eq!(rows.next(), None, "the reference has more");
}

/// The listener serves one path, and its clients cannot hold it up.
#[test]
fn nothing_else_is_served_with_the_metrics() {
    let app = scraped(Setup::new()).start();
    let client = scraper(&app);
    client.request("HEAD", "/metrics", &[], b"").expect(200);
    client.request("GET", "/metrics?x=y", &[], b"").expect(200);
    for path in ["/", "/metrics/", "/healthz", "/api/v1", "/METRICS", "/%2e%2e/metrics"] {
        client.request("GET", path, &[], b"").expect(404);
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let answer = client.request(method, "/metrics", &[], b"").expect(405);
        assert_eq!(answer.header("Allow"), "GET, HEAD");
    }
    // The other listener does not serve them.
    app.client().request("GET", "/metrics", &[], b"").expect(404);
}

#[test]
fn clients_cannot_hold_up_the_metrics() {
    let app = scraped(Setup::new()).start();
    let authority = metrics_authority(&app);
    let connect = || {
        let stream = TcpStream::connect(&authority).expect("connect");
        stream.set_read_timeout(Some(TIMEOUT)).expect("timeout");
        stream
    };
    let received = |mut stream: TcpStream| {
        let mut bytes = Vec::new();
        // A reset is as good an end as any.
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut huge = connect();
    let _ = huge.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX: ");
    let _ = huge.write_all(&vec![b'a'; 1 << 20]);
    let answer = received(huge);
    assert!(!answer.contains("200 OK"), "{answer}");
    let mut slow = connect();
    slow.write_all(b"GET /metrics HTTP/1.1\r\n").expect("send");
    let mut sending: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    for stream in &mut sending {
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n");
    }
    // All of these connections wait for the rest of a head, and make room.
    assert_eq!(Scrape::of(&app).value("latchkey_database_up", &[]), 1.0);
    let answer = received(slow);
    assert!(!answer.contains("200 OK"), "{answer}");
    app.client().who(&[]).expect(200);
}

#[test]
fn both_listeners_stop() {
    let app = scraped(Setup::new()).start();
    let client = scraper(&app);
    Scrape::by(&client);
    let authority = metrics_authority(&app);
    let _open = TcpStream::connect(&authority).expect("connect");
    let setup = app.stop();
    TcpStream::connect(&authority).expect_err("it stopped");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let refusal = setup.clone().with("METRICS__LISTEN", &address).refusal();
    let expected = format!("cannot listen on metrics.listen = \"{address}\"");
    assert!(refusal.contains(&expected), "{refusal}");
    let refusal = setup.with("METRICS__LISTEN", "nonsense").refusal();
    assert!(
        refusal.contains("metrics.listen") && refusal.contains("expected an address"),
        "{refusal}"
    );
}

/// Without the setting there is no listener.
#[test]
fn metrics_are_off_by_default() {
    let app = TestApp::new();
    app.client().who(&[]).expect(200);
    app.logged(&["answered"]);
    assert!(!app.log().contains("serving metrics"));
}
