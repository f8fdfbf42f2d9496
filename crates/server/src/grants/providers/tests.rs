//! Which provider a tenant finds, and which settings a configuration that is read again changes.

use provider::{AnswerRules, Endpoints, TimeUnit};

use super::*;

fn config(providers: &str) -> Config {
    let mut config = Config::load(None).expect("defaults");
    let read: Result<_, toml::de::Error> =
        toml::from_str(&format!("providers = '''{providers}'''"));
    let read: HashMap<String, crate::config::grants::Providers> = read.expect("providers");
    config.grants.providers = read.into_values().next().expect("a list");
    config
}

fn entry(name: &str, tenants: &str, id: &str, secret: &str) -> String {
    format!(
        r#"{{"name": "{name}", "tenants": {tenants}, "client_id": "{id}", "client_secret": "{secret}",
            "token_endpoint": "https://a.example/token", "earliest_seconds": 30, "idle_days": 60,
            "answer": {{"access_token": "data.token", "expires_in_unit": "ms"}}}}"#
    )
}

fn list(entries: &[String]) -> String {
    format!("[{}]", entries.join(","))
}

fn secret(provider: &ConfiguredProvider) -> String {
    match provider.credentials().next() {
        Some(Credential::Secret(secret)) => secret.expose().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tenant_finds_what_is_configured_for_it() {
    let entries = [
        entry("xero", r#"["Cust1"]"#, "one", "s"),
        entry("xero", r#"["cust2"]"#, "two", "s"),
        entry("google", r#"["*"]"#, "g", "s"),
    ];
    let providers = Providers::new(&config(&list(&entries))).expect("providers");
    let find = |tenant: &str, name: &str| {
        let found = providers.find(&TenantId::parse(tenant).expect("a tenant"), name);
        found.map(|found| found.client_digest)
    };
    let digest = |id: &str| Some(client_digest("https://a.example/token", id));
    assert_eq!(find("cust1", "xero"), digest("one"));
    assert_eq!(find("CUST2", "xero"), digest("two"));
    assert_eq!(find("cust3", "xero"), None);
    assert_eq!(find("cust3", "google"), digest("g"));
    assert_eq!(find("cust3", "Google"), None, "names are compared exactly");
    let only = TenantId::single_named(&TenantId::parse("Cust1").expect("a tenant"));
    assert_eq!(providers.find(&only, "xero").map(|found| found.client_digest), digest("one"));
    let none = Providers::new(&config("[]")).expect("none");
    assert!(none.find(&only, "xero").is_none());
}

#[tokio::test]
async fn what_is_set_and_what_is_standard_make_a_registration() {
    let entries = [entry("xero", r#"["*"]"#, "one", "s")];
    let providers = Providers::new(&config(&list(&entries))).expect("providers");
    let provider = providers.all().next().expect("a provider");
    let registration = provider.registration().await.expect("it is all named");
    let standard = AnswerRules::default();
    assert_eq!(
        registration.answer,
        AnswerRules {
            access_token: "data.token".to_owned(),
            expires_in_unit: TimeUnit::Milliseconds,
            ..standard
        }
    );
    assert_eq!(registration.endpoints, Endpoints::of_token("https://a.example/token"));
    assert_eq!(
        provider.margins,
        Margins {
            refresh_before: 300 * SECOND,
            minimum: 60 * SECOND,
            replay_within: 0,
            assume_expires_in: Some(3600 * SECOND),
            earliest: Some(30 * SECOND),
            idle: Some(60 * DAY),
            absolute: None,
        }
    );
    assert!(provider.id_tokens().await.expect("nothing is fetched").is_none());
}

#[test]
fn only_secrets_are_read_again() {
    let first = [entry("xero", r#"["*"]"#, "one", "old"), entry("google", r#"["*"]"#, "g", "old")];
    let providers = Providers::new(&config(&list(&first))).expect("providers");
    let secrets = || providers.all().map(|provider| secret(provider)).collect::<Vec<_>>();
    // In another order, with a new provider.
    let second = [
        entry("new", r#"["*"]"#, "n", "new"),
        entry("google", r#"["*"]"#, "g", "new"),
        entry("xero", r#"["*"]"#, "one", "new"),
    ];
    providers.reload_secrets(&config(&list(&second))).expect("all are there");
    assert_eq!(secrets(), ["new", "new"]);
    let third = [
        entry("google", r#"["*"]"#, "another", "third"),
        entry("xero", r#"["*"]"#, "one", "third"),
    ];
    let error = providers.reload_secrets(&config(&list(&third))).expect_err("google is another");
    assert!(error.to_string().contains("grants.providers[2] (google)"), "{error}");
    assert_eq!(secrets(), ["third", "new"]);
}

#[tokio::test]
async fn fixed_parameters_are_in_every_address_and_in_the_digest() {
    let entry = |endpoint: &str, parameters: &str| {
        format!(
            r#"[{{"name": "x", "client_id": "one", "client_secret": "s", "token_endpoint": "{endpoint}",
                "refresh_endpoint": "{endpoint}/again", "parameters": {parameters}}}]"#
        )
    };
    let filled = entry("https://{shop}.example.com/token", r#"{"shop": "acme"}"#);
    let plain = entry("https://acme.example.com/token", "{}");
    let mut digests = Vec::new();
    for list in [&filled, &plain] {
        let providers = Providers::new(&config(list)).expect("providers");
        let provider = providers.all().next().expect("a provider");
        let endpoints = &provider.registration().await.expect("it is all named").endpoints;
        assert_eq!(endpoints.token, "https://acme.example.com/token");
        assert_eq!(endpoints.refresh.as_deref(), Some("https://acme.example.com/token/again"));
        digests.push(provider.client_digest);
    }
    assert_eq!(digests[0], digests[1]);
}
