//! Providers of the configuration: mistakes that stop the start, the output of `config check`, and the destinations of
//! requests.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    app::Setup,
    provider::{CLIENT_ID, MockProvider, Reply, Rules, SECRET},
    tls::{Authority, of_host},
};

/// A configuration with these providers, in the environment.
fn with(providers: &[Value]) -> Setup {
    Setup::new().with("GRANTS__PROVIDERS", &json!(providers).to_string())
}

/// A provider by its issuer, with these other members.
fn of_issuer(issuer: &str, more: &Value) -> Value {
    let mut provider = json!({
        "name": "mock", "issuer": issuer, "client_id": CLIENT_ID, "client_secret": SECRET,
    });
    for (key, value) in more.as_object().expect("an object") {
        provider[key] = value.clone();
    }
    provider
}

/// The output of `config check --online`. On failure, its output and the first line of the error.
fn check(setup: &Setup) -> Result<String, String> {
    let output = setup
        .clone()
        .arguments(&["config", "check", "--online"])
        .command()
        .output()
        .expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let (printed, told) = (text(output.stdout), text(output.stderr));
    assert!(!printed.contains("CANARY") && !told.contains("CANARY"), "{printed} {told}");
    if output.status.success() { Ok(printed) } else { Err(format!("{printed}{told}")) }
}

#[test]
fn what_is_wrong_with_a_provider_stops_the_start() {
    let issuer = "https://id.example.com";
    for (provider, told) in [
        (of_issuer(issuer, &json!({"color": "red"})), "unknown field `color`"),
        (of_issuer("http://id.example.com", &json!({})), "issuer must be an https URL"),
        (
            of_issuer(issuer, &json!({"minimum_seconds": "CANARY"})),
            "wrong value for minimum_seconds",
        ),
        (
            of_issuer(issuer, &json!({"ca": "missing.pem"})),
            "ca: missing.pem is no use: No such file",
        ),
    ] {
        let other = of_issuer(issuer, &json!({"name": "other"}));
        let refusal = with(&[other, provider]).refusal();
        assert!(refusal.contains("grants.providers[2] (mock): "), "{refusal}");
        assert!(refusal.contains(told), "{refusal}");
    }
    let refusal = with(&[of_issuer(issuer, &json!({})), of_issuer(issuer, &json!({}))]).refusal();
    assert!(refusal.contains("name is that of grants.providers[1] (mock)"), "{refusal}");
    // Plain http on this machine is only for the profile `development`.
    let plain = with(&[of_issuer("http://localhost:1", &json!({}))]);
    let plain = plain.with("PROFILE", "production");
    assert!(plain.refusal().contains("http is for this machine"), "{}", plain.refusal());
}

#[test]
fn tables_of_the_file_and_secrets_of_files_are_read_and_not_shown() {
    let setup = Setup::new().arguments(&["--config", "latchkey.toml"]);
    let file = |name: &str| setup.folder().join(name);
    fs::write(file("secret"), "CANARY-of-file\n").expect("written");
    let toml = "[[grants.providers]]\nname = 'Mock'\nissuer = 'https://id.example.com'\n\
                client_id = 'c'\nclient_secret_file = 'secret'\ntenants = ['cust1']\n\
                [grants.providers.request.names]\nclient_id = 'client_Key'\n\
                [[grants.providers]]\nname = 'Mock'\ntoken_endpoint = 'https://id.example.com/t'\n\
                client_id = 'c'\nclient_secret = 'CANARY-of-table'\ntenants = ['cust2']\n\
                give_refresh_token = true\n";
    fs::write(file("latchkey.toml"), toml).expect("written");
    let shown = setup.clone().arguments(&["config", "show"]).output();
    assert!(!shown.contains("CANARY"), "{shown}");
    for line in [
        "client_secret = \"(set)\"",
        "client_id = \"client_Key\"",
        "refresh_before_seconds = 300",
        "name = \"Mock\"",
        "tenants = [\"cust1\"]",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in: {shown}");
    }
    let checked = setup.clone().arguments(&["config", "check"]).output();
    let lines: Vec<_> = checked.lines().collect();
    assert!(
        lines[0].starts_with("grants.providers[1] (Mock): a get refreshes its records"),
        "{checked}"
    );
    assert!(
        lines[0].contains("give_refresh_token = false") && lines[0].contains("424"),
        "{checked}"
    );
    assert!(lines[1].starts_with("grants.providers[2] (Mock): "), "{checked}");
    assert!(!lines[1].contains("give_refresh_token"), "{checked}");
    assert!(lines[2].starts_with("the configuration is valid; "), "{checked}");

    let app = setup.start();
    app.logged(&["WARN", "other users can read or change this file", "secret"]);
    fs::write(file("secret"), "").expect("written");
    app.signal("HUP");
    app.logged(&["WARN", "so do all secrets", "client_secret_file: secret is empty"]);
    fs::write(file("secret"), "CANARY-of-new-file").expect("written");
    fs::write(file("latchkey.toml"), toml.replace("'cust2'", "'cust3'")).expect("written");
    app.signal("HUP");
    app.logged(&["WARN", "counts after a restart: grants.providers[2] (Mock)"]);
}

/// A provider is found over TLS that its own `ca` verifies, by a document that names it. No secret is sent. No request
/// at all is sent to an address that is not public.
#[test]
fn config_check_asks_providers_online() {
    let authority = Authority::new();
    let start = |host: &str| {
        MockProvider::start_with_tls(Rules::default(), authority.server(of_host(host)))
    };
    let (provider, misnamed) = (start("localhost"), start("id.example.com"));
    let setup = |provider: &MockProvider, more: Value| {
        let mut all = json!({"ca": "ca.pem", "allow_private_addresses": true});
        for (key, value) in more.as_object().expect("an object") {
            all[key] = value.clone();
        }
        let setup = with(&[of_issuer(provider.url(), &all)]);
        fs::write(setup.folder().join("ca.pem"), authority.pem()).expect("written");
        setup
    };
    let found = check(&setup(&provider, json!({}))).expect("it is there");
    let endpoint = provider.at("/token");
    let line =
        format!("grants.providers[1] (mock): its metadata names the token endpoint {endpoint}");
    assert!(found.contains(&line), "{found}");
    let named = json!({"issuer": null, "token_endpoint": endpoint});
    let found = check(&setup(&provider, named)).expect("it is there");
    assert!(found.contains(&format!("(mock): {endpoint} answers a GET with 4")), "{found}");

    let requests = provider.requests().len();
    let refused = |provider: &MockProvider, more: Value, told: &str| {
        let said = check(&setup(provider, more)).expect_err("it cannot be used");
        assert!(said.contains("grants.providers[1] (mock): cannot be used ("), "{said}");
        assert!(said.contains(told), "{said}");
        assert!(said.contains("latchkey: 1 provider cannot be used"), "{said}");
    };
    refused(
        &provider,
        json!({"allow_private_addresses": false}),
        "the host's address is not public",
    );
    refused(&provider, json!({"ca": null}), "(tls)");
    assert_eq!(provider.requests().len(), requests, "nothing was sent");
    refused(&misnamed, json!({}), "(tls)");
    assert_eq!(misnamed.requests().len(), 0);

    provider.set(|rules| rules.metadata = json!({"issuer": format!("{}/", provider.url())}));
    refused(&provider, json!({}), "the metadata is of another issuer");
    provider.set(|rules| rules.metadata = json!({"token_endpoint": "http://id.example.com/token"}));
    refused(&provider, json!({}), "the metadata has no https URL");
    let elsewhere = Reply::new(302, "text/html", "").header("Location", &misnamed.at("/"));
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        provider.page(path, elsewhere.clone());
    }
    refused(&provider, json!({}), "the answer is 302");
    assert_eq!(misnamed.requests().len(), 0, "no redirect is followed");
}

/// The server starts even if its providers are unreachable, because its records are available anyway.
#[test]
fn a_provider_that_is_away_does_not_stop_the_start() {
    let app = with(&[of_issuer("https://id.invalid", &json!({}))]).start();
    app.client().request("GET", "/readyz", &[], b"").expect(200);
}

/// The presets are printed unchanged, for people and for programs.
#[test]
fn presets_are_listed_and_shown() {
    let run = |arguments: &[&str]| Setup::new().arguments(arguments).output();
    let list = run(&["providers", "list"]);
    assert!(list.lines().next().is_some_and(|head| head.starts_with("name ")), "{list}");
    let row = list.lines().find(|line| line.starts_with("figma ")).expect("a row");
    assert!(row.contains("Figma") && row.ends_with("request.scope_separator"), "{row}");
    let list: Value =
        serde_json::from_str(&run(&["providers", "list", "--output", "json"])).expect("JSON");
    let names: Vec<_> = list.as_array().expect("a list").iter().map(|row| &row["name"]).collect();
    assert!(names.len() >= 27 && names.contains(&&json!("superoffice")), "{names:?}");

    let shown = run(&["providers", "show", "figma"]);
    for line in [
        "[[grants.providers]]",
        "# https://developers.figma.com/docs/rest-api/authentication/",
        "refresh_endpoint = \"https://api.figma.com/v1/oauth/refresh\"",
        "request.scope_separator = \",\"  # unverified",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in {shown}");
    }
    let shown: Value =
        serde_json::from_str(&run(&["providers", "show", "xero", "--output", "json"]))
            .expect("JSON");
    assert_eq!(shown["settings"]["idle_days"], 60);
    assert_eq!((&shown["title"], &shown["unverified"]), (&json!("Xero"), &json!([])));
    let refusal = Setup::new().arguments(&["providers", "show", "gogle"]).refusal();
    assert!(refusal.contains("there is no preset gogle; the nearest are google, "), "{refusal}");
}

/// The command sends a request to each named provider, and fails if one is unreachable.
#[test]
fn configured_providers_are_checked_by_name() {
    let provider = MockProvider::start(Rules::default());
    let own = |name: &str, more: &Value| {
        let mut own = of_issuer(provider.url(), more);
        own["name"] = json!(name);
        own["allow_private_addresses"] = json!(true);
        own
    };
    let away = json!({"name": "away", "client_id": "c", "client_secret": "CANARY", "preset": "xero",
        "token_endpoint": "http://127.0.0.1:9/token", "allow_private_addresses": true});
    let setup = with(&[own("one", &json!({})), away]);
    let run = |arguments: &[&str]| {
        let output = setup.clone().arguments(arguments).command().output().expect("it runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let (is_found, out, _) = run(&["providers", "check", "one"]);
    assert!(is_found && out.starts_with("grants.providers[1] (one): its metadata names"), "{out}");
    assert_eq!(out.lines().count(), 1, "{out}");
    let (is_found, out, told) = run(&["providers", "check", "--output", "json"]);
    let looks: Value = serde_json::from_str(&out).expect("JSON");
    assert!(!is_found && told.contains("1 provider cannot be used"), "{told}");
    assert_eq!((&looks[0]["usable"], &looks[1]["usable"]), (&json!(true), &json!(false)));
    assert_eq!(looks[1]["provider"], "grants.providers[2] (away)");
    assert!(!format!("{out}{told}").contains("CANARY"), "{out} {told}");
    let (is_found, _, told) = run(&["providers", "check", "One"]);
    assert!(
        !is_found && told.contains("no provider of grants.providers has the name One"),
        "{told}"
    );
}
