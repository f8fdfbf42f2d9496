//! A user's redirect to a provider and back: the URL where the user consents, the state, and the parameters of URLs.

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    grants::{
        exchange::discovering,
        scene::{
            NAME, REDIRECT, access_token, assert_lives, assert_state, carrier, end_access_in, get,
            knowing, settings,
        },
    },
    support::{
        app::{Setup, TestApp},
        client::{Answer, Client},
        provider::{
            CLIENT_ID, Grant, Kind, MockProvider, Reply, Rules, Turn,
            endpoints::{decode, merge},
        },
    },
};

/// Requests the URL at which a user consents, with these members over the usual ones.
pub(crate) fn authorize(client: &Client, over: &Value) -> Answer {
    let mut body = json!({ "Provider": NAME, "RedirectUri": REDIRECT });
    merge(&mut body, over);
    client.post_records("Authorize", &body)
}

/// The value of a field of the URL's query.
fn field(url: &Value, name: &str) -> String {
    let (_endpoint, query) = url.as_str().expect("a URL").split_once('?').expect("a query");
    let fields = query.split('&').filter_map(|field| field.split_once('='));
    let found = fields.filter(|(field, _value)| *field == name).map(|(_field, value)| value).next();
    decode(found.unwrap_or_default())
}

/// The user consents at the URL; returns the body of the exchange that follows.
pub(crate) fn consent(provider: &MockProvider, asked: &Value) -> Value {
    let url = &asked["Url"];
    let text = |name| Some(field(url, name)).filter(|text| !text.is_empty());
    let (nonce, challenge) = (text("nonce"), text("code_challenge"));
    let code = provider.code(&field(url, "redirect_uri"), nonce.as_deref(), challenge.as_deref());
    json!({
        "Provider": NAME, "AuthorizationCode": code, "RedirectUri": REDIRECT,
        "Nonce": asked["Nonce"], "PkceVerifier": asked["PkceVerifier"],
        "State": field(url, "state"), "Issuer": provider.url(),
    })
}

pub(crate) fn exchange(client: &Client, body: &Value) -> Answer {
    client.post("ExchangeCodeAndSaveTokens", body)
}

/// Sends a user to the provider and back, with these members in both calls.
pub(crate) fn connect(app: &TestApp, provider: &MockProvider, over: &Value) -> Answer {
    let asked = authorize(&app.client(), over).expect(200).json();
    let mut body = consent(provider, &asked);
    merge(&mut body, over);
    exchange(&app.client(), &body)
}

/// CONTRACT O12, 55: the URL has every parameter that the provider needs, and the members of the answer fit the code
/// that comes back.
#[test]
fn the_way_there_fits_the_way_back() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let asked = authorize(&app.client(), &json!({})).expect(200).json();
    let url = &asked["Url"];
    assert!(url.as_str().expect("a URL").starts_with(&provider.at("/authorize?")), "{url}");
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", REDIRECT),
        ("scope", "openid email"),
        ("code_challenge_method", "S256"),
        ("state", asked["State"].as_str().expect("a state")),
        ("nonce", asked["Nonce"].as_str().expect("a nonce")),
    ] {
        assert_eq!(field(url, name), value, "{name} in {url}");
    }
    assert!(!url.as_str().expect("it").contains(asked["PkceVerifier"].as_str().expect("it")));
    let again = authorize(&app.client(), &json!({})).expect(200).json();
    for member in ["State", "Nonce", "PkceVerifier"] {
        assert_ne!(asked[member], again[member]);
    }
    assert_eq!(app.saved_rows(), 0);
    let key = exchange(&app.client(), &consent(&provider, &asked)).expect(200).key();
    assert_lives(&provider, &app.setup, &key);
}

/// A call may request its own scopes. No nonce is sent if no id_token is expected.
#[test]
fn a_call_may_ask_for_its_own_scopes() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let asked = authorize(&app.client(), &json!({"Scopes": " files.read  offline "})).expect(200);
    let asked = asked.json();
    assert_eq!(field(&asked["Url"], "scope"), "files.read offline");
    assert_eq!((&asked["Nonce"], field(&asked["Url"], "nonce")), (&Value::Null, String::new()));
    provider.set(|rules| rules.answer = json!({"id_token": null}));
    let key = exchange(&app.client(), &consent(&provider, &asked)).expect(200).key();
    assert_lives(&provider, &app.setup, &key);
}

/// Invalid requests are rejected by the name of the property, and nothing is sent.
#[rstest]
#[case::no_provider(json!({"Provider": null}), "Provider")]
#[case::an_unknown_provider(json!({"Provider": "other"}), "Provider")]
#[case::no_redirect(json!({"RedirectUri": null}), "RedirectUri")]
#[case::another_case(json!({"RedirectUri": "https://app.example.com/Connected"}), "RedirectUri")]
#[case::a_case_of_the_host(json!({"RedirectUri": "https://APP.example.com/connected"}), "RedirectUri")]
#[case::a_port(json!({"RedirectUri": "https://app.example.com:443/connected"}), "RedirectUri")]
#[case::a_slash(json!({"RedirectUri": "https://app.example.com/connected/"}), "RedirectUri")]
#[case::scopes_with_a_quote(json!({"Scopes": "a \" b"}), "Scopes")]
#[case::scopes_in_two_lines(json!({"Scopes": "a\r\nb"}), "Scopes")]
#[case::enormous_scopes(json!({"Scopes": "x".repeat(5000)}), "Scopes")]
#[case::a_list_of_scopes(json!({"Scopes": ["a", "b"]}), "Scopes")]
#[case::an_unknown_key(json!({"Key": "lk_01vYvSdgm8u000ThisKeyIsAnExampleAndRetrievesNothing0002HeXH9"}), "Key")]
#[case::a_foreign_key(json!({"Key": "no key"}), "Key")]
fn a_wrong_request_leads_nowhere(#[case] over: Value, #[case] named: &str) {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    authorize(&app.client(), &over).expect_error(400, "ArgumentException", named);
    // The exchange rejects the same properties.
    if named != "Scopes" {
        let asked = authorize(&app.client(), &json!({})).expect(200).json();
        let mut body = consent(&provider, &asked);
        merge(&mut body, &over);
        exchange(&app.client(), &body).expect_error(400, "ArgumentException", named);
    }
    assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (0, 0));
}

/// A provider that is configured with a token endpoint alone.
#[test]
fn a_provider_without_an_authorization_endpoint_is_named() {
    let provider = MockProvider::start(Rules::default());
    let app = knowing(Setup::new(), &[settings(&provider, &json!({}))]).start();
    let refused = authorize(&app.client(), &json!({}));
    let refused = refused.expect_error(400, "ArgumentException", "authorization_endpoint");
    assert!(refused.body.contains(NAME), "{refused:?}");
}

/// CONTRACT 55: a state belongs to one redirect URI, one nonce and one verifier.
#[rstest]
#[case::garbage(json!({"State": "CANARY-state"}))]
#[case::another_nonce(json!({"Nonce": "another"}))]
#[case::no_nonce(json!({"Nonce": null}))]
#[case::another_verifier(json!({"PkceVerifier": "another-verifier-0123456789-0123456789-0123456789"}))]
#[case::no_verifier(json!({"PkceVerifier": null}))]
#[case::another_redirect(json!({"RedirectUri": "https://app.example.com/second"}))]
fn a_state_of_another_request_is_refused(#[case] over: Value) {
    let redirects = json!({"redirect_uris": [REDIRECT, "https://app.example.com/second"]});
    let (provider, setup) = discovering(Rules::default(), &redirects);
    let app = setup.start();
    let asked = authorize(&app.client(), &json!({})).expect(200).json();
    let mut body = consent(&provider, &asked);
    merge(&mut body, &over);
    let refused = exchange(&app.client(), &body).expect_error(400, "ArgumentException", "State");
    assert!(!refused.body.contains("CANARY"), "{refused:?}");
    assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (0, 0));
}

/// CONTRACT 55: a state is rejected for another caller, and still works after a restart.
#[test]
fn a_state_is_its_callers_own() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    app.add_user("bob");
    let asked = authorize(&app.client(), &json!({})).expect(200).json();
    let body = consent(&provider, &asked);
    let bob = app.client().with_password("bob", "CANARY-password");
    exchange(&bob, &body).expect_error(400, "ArgumentException", "State");
    let app = app.stop().start();
    let key = exchange(&app.client(), &body).expect(200).key();
    assert_lives(&provider, &app.setup, &key);
}

/// CONTRACT 55: a state of another provider is rejected, even at the same redirect URI.
#[test]
fn a_state_is_of_one_provider() {
    let provider = MockProvider::start(Rules::default());
    let of = |name: &str| {
        settings(
            &provider,
            &json!({"name": name, "authorization_endpoint": provider.at("/authorize")}),
        )
    };
    let app = knowing(Setup::new(), &[of(NAME), of("second")]).start();
    let asked = authorize(&app.client(), &json!({"Provider": "second"})).expect(200).json();
    let mut body = consent(&provider, &asked);
    exchange(&app.client(), &body).expect_error(400, "ArgumentException", "State");
    assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (0, 0));
    body["Provider"] = "second".into();
    exchange(&app.client(), &body).expect(200);
}

/// CONTRACT 55: the `Issuer` is not the provider's (RFC 9207), so the code is not sent, because it may belong to
/// another provider.
#[test]
fn a_mix_up_of_providers_is_refused() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let asked = authorize(&app.client(), &json!({})).expect(200).json();
    let mut body = consent(&provider, &asked);
    for issuer in ["https://other.example".to_owned(), format!("{}/", provider.url())] {
        body["Issuer"] = issuer.into();
        exchange(&app.client(), &body).expect_error(400, "ArgumentException", "Issuer");
    }
    assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (0, 0));
    body["Issuer"] = Value::Null;
    exchange(&app.client(), &body).expect(200);
}

/// CONTRACT 48: if the provider rejects the client at the place that one caller names, other callers can still use the
/// provider.
#[test]
fn a_place_that_refuses_the_client_blocks_no_other() {
    let (provider, app) = with_a_place();
    let place = json!({"Parameters": {"place": "token"}, "Nonce": null});
    provider.next([Turn::Say(Reply::error(401, "invalid_client"))]);
    connect(&app, &provider, &place).expect(502);
    let key = connect(&app, &provider, &place).expect(200).key();
    assert_lives(&provider, &app.setup, &key);
}

/// A provider whose token endpoint has a part that differs between users. For all users of the mock it is `token`.
fn with_a_place() -> (MockProvider, TestApp) {
    let provider = MockProvider::start(Rules::default());
    let place = json!({
        "token_endpoint": provider.at("/{place}"),
        "authorization_endpoint": provider.at("/authorize"),
        "parameters": {"place": {"values": ["token", "elsewhere"]}},
    });
    let app = knowing(Setup::new(), &[settings(&provider, &place)]).start();
    (provider, app)
}

/// CONTRACT 55: parameters go into the provider's URLs, are sealed with the record, and are used for each later
/// refresh.
#[test]
fn parameters_lead_to_the_users_own_place() {
    let (provider, app) = with_a_place();
    let place = json!({"Parameters": {"Place": "token"}, "Nonce": null});
    let key = connect(&app, &provider, &place).expect(200).key();
    end_access_in(&app.setup, &key, -1);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    // A saved record gets its parameters from the save, or is not refreshed.
    let grants = [provider.grant(), provider.grant()];
    let save = |grant: &Grant, parameters: Value| {
        let body = json!({
            "TokenManagementInfo": carrier(&grant.access, &grant.refresh), "ExpiresIn": 0,
            "Parameters": parameters
        });
        app.client().post("SaveExternalTokens", &body)
    };
    let with = save(&grants[0], json!({"place": "token"})).expect(200).key();
    assert!(provider.is_newest(&access_token(get(&app.client(), &with, 0))));
    let without = save(&grants[1], Value::Null).expect(200).key();
    assert_eq!(access_token(get(&app.client(), &without, 0)), grants[1].access);
    assert_state(&app, &without, "None", None);
    assert_eq!(provider.count(Kind::Refresh), 2);
    for refused in [
        save(&grants[1], json!({"place": "other"})),
        save(&grants[1], json!({"region": "token"})),
        save(&grants[1], json!(["token"])),
    ] {
        refused.expect_error(400, "ArgumentException", "Parameters");
    }
}

/// CONTRACT 55: parameters that could redirect a request are rejected by name, and the answer does not repeat them.
#[rstest]
#[case::none(json!({}))]
#[case::missing(Value::Null)]
#[case::another(json!({"place": "CANARY"}))]
#[case::a_slash(json!({"place": "token/CANARY"}))]
#[case::dots(json!({"place": "../token"}))]
#[case::an_at_sign(json!({"place": "token@CANARY"}))]
#[case::long(json!({"place": "x".repeat(300)}))]
#[case::another_case(json!({"place": "TOKEN"}))]
#[case::a_number(json!({"place": 1}))]
#[case::one_more(json!({"place": "token", "CANARY": "token"}))]
fn a_parameter_leads_nowhere_else(#[case] parameters: Value) {
    let (provider, app) = with_a_place();
    let over = json!({ "Parameters": parameters });
    let refused = authorize(&app.client(), &over);
    let refused = refused.expect_error(400, "ArgumentException", "Parameters");
    assert!(!refused.body.contains("CANARY"), "{refused:?}");
    let right = json!({"Parameters": {"place": "token"}});
    let asked = authorize(&app.client(), &right).expect(200).json();
    let mut body = consent(&provider, &asked);
    merge(&mut body, &over);
    exchange(&app.client(), &body).expect_error(400, "ArgumentException", "Parameters");
    // A valid value is rejected too, if it is not that of the state.
    body["Parameters"] = json!({"place": "elsewhere"});
    exchange(&app.client(), &body).expect_error(400, "ArgumentException", "State");
    assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (0, 0));
}

/// CONTRACT 49: the configured members of a provider's token answer are kept with the claims. Each refresh updates
/// them.
#[test]
fn what_is_kept_of_an_answer_is_among_the_claims() {
    let rules = Rules { answer: json!({"api": {"host": "https://a.example"}}), ..Rules::default() };
    let (provider, setup) = discovering(rules, &json!({"answer": {"keep": ["api.host", "none"]}}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    let claims = || -> Value {
        let got = get(&app.client(), &key, 0).expect(200).json();
        serde_json::from_str(got["Claims"].as_str().expect("claims")).expect("JSON")
    };
    let first = claims();
    assert_eq!(
        (&first["api.host"], &first["sub"]),
        (&json!("https://a.example"), &json!("subject"))
    );
    assert_eq!(first.get("none"), None);
    provider.set(|rules| rules.answer = json!({"api": {"host": "https://b.example"}}));
    end_access_in(&app.setup, &key, -1);
    let second = claims();
    assert_eq!(
        (&second["api.host"], &second["sub"]),
        (&json!("https://b.example"), &json!("subject"))
    );
}
