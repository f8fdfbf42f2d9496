//! The way of a user to a provider and back: the URL where it consents, and connecting again under the same key.

use std::thread;

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    grants::{
        exchange::discovering,
        scene::{
            NAME, REDIRECT, access_token, assert_lives, assert_state, end_access_in, get, held,
            knowing, refresh, settings,
        },
    },
    support::{
        app::{Setup, TestApp, until},
        client::{Answer, Client},
        provider::{
            CLIENT_ID, Cut, Gate, Grant, Kind, MockProvider, Reply, Rules, Turn,
            endpoints::{decode, merge},
        },
    },
};

const PATH: &str = "/api/v1/Agents/User/ExchangeCodeAndSaveTokens";

/// Asks for the URL at which a user consents, with other members over the usual.
fn authorize(client: &Client, over: &Value) -> Answer {
    let mut body = json!({ "Provider": NAME, "RedirectUri": REDIRECT });
    merge(&mut body, over);
    client.post_records("Authorize", &body)
}

/// What a field of the URL's query has.
fn field(url: &Value, name: &str) -> String {
    let (_endpoint, query) = url.as_str().expect("a URL").split_once('?').expect("a query");
    let fields = query.split('&').filter_map(|field| field.split_once('='));
    let found = fields.filter(|(field, _value)| *field == name).map(|(_field, value)| value).next();
    decode(found.unwrap_or_default())
}

/// The user consents at the URL: what is to be exchanged afterwards.
fn consent(provider: &MockProvider, asked: &Value) -> Value {
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

fn exchange(client: &Client, body: &Value) -> Answer {
    client.post("ExchangeCodeAndSaveTokens", body)
}

/// Sends a user there and back, with these members in both calls.
fn connect(app: &TestApp, provider: &MockProvider, over: &Value) -> Answer {
    let asked = authorize(&app.client(), over).expect(200).json();
    let mut body = consent(provider, &asked);
    merge(&mut body, over);
    exchange(&app.client(), &body)
}

/// CONTRACT O12, 55: the URL has what the provider needs, and what the call answers fits the code that comes back.
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

/// The scopes of one call, and that no nonce is asked for where no id_token comes.
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

/// What cannot be right is refused by name, and nothing is sent.
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
    // The exchange refuses the same.
    if named != "Scopes" {
        let asked = authorize(&app.client(), &json!({})).expect(200).json();
        let mut body = consent(&provider, &asked);
        merge(&mut body, &over);
        exchange(&app.client(), &body).expect_error(400, "ArgumentException", named);
    }
    assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (0, 0));
}

/// A provider that is known by its token endpoint alone.
#[test]
fn a_provider_without_an_authorization_endpoint_is_named() {
    let provider = MockProvider::start(Rules::default());
    let app = knowing(Setup::new(), &[settings(&provider, &json!({}))]).start();
    let refused = authorize(&app.client(), &json!({}));
    let refused = refused.expect_error(400, "ArgumentException", "authorization_endpoint");
    assert!(refused.body.contains(NAME), "{refused:?}");
}

/// CONTRACT 55: a state is that of one redirect URI, one nonce and one verifier.
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

/// CONTRACT 55: a state of another caller, and one that is right after a restart.
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

/// CONTRACT 55: an issuer that is not the provider's (RFC 9207): the code is not sent to whom it may not belong.
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

/// CONTRACT 57: a dead grant lives again under the same key.
#[test]
fn connecting_again_keeps_the_key() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    provider.revoke(held(&app.setup, &key).refresh.as_deref().expect("a refresh token"));
    end_access_in(&app.setup, &key, -1);
    get(&app.client(), &key, 0).expect_error(424, "SoGrantException", NAME);
    assert_state(&app, &key, "Dead", Some("invalid_grant"));
    let again = connect(&app, &provider, &json!({ "Key": key }));
    assert_eq!(again.expect(200).key(), key);
    assert_state(&app, &key, "Live", None);
    assert_eq!(assert_lives(&provider, &app.setup, &key).generation, 2);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    assert_eq!(app.saved_rows(), 1);
    // And it is refreshed as any other.
    end_access_in(&app.setup, &key, -1);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    assert_eq!(assert_lives(&provider, &app.setup, &key).generation, 3);
}

/// CONTRACT 57: some providers give a refresh token with the first consent alone: it stays.
#[test]
fn connecting_again_without_a_refresh_token_keeps_the_one_that_is_there() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    let before = held(&app.setup, &key);
    provider.set(|rules| rules.answer = json!({"refresh_token": null}));
    connect(&app, &provider, &json!({ "Key": key })).expect(200);
    let after = held(&app.setup, &key);
    assert_eq!((after.generation, &after.refresh), (2, &before.refresh));
    assert_ne!(after.access, before.access);
    provider.set(|rules| rules.answer = json!({}));
    end_access_in(&app.setup, &key, -1);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    assert_lives(&provider, &app.setup, &key);
}

/// CONTRACT 58: a user who connects again while the old grant is being revoked keeps the new one.
#[test]
fn a_revocation_does_not_end_what_it_did_not_revoke() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    let hold = provider.hold(Gate::AfterProcessing, 1);
    let revoking = thread::spawn({
        let (client, key) = (app.client(), key.clone());
        move || client.post_records("RevokeGrant", &json!({"Key": key, "Require": true}))
    });
    hold.wait_for(1);
    connect(&app, &provider, &json!({ "Key": key })).expect(200);
    hold.open();
    let revoked = revoking.join().expect("no panic").expect(200).json();
    assert_eq!(revoked, json!({"Revoked": false, "Upstream": "Failed"}));
    assert_eq!(assert_lives(&provider, &app.setup, &key).generation, 2);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
}

/// CONTRACT 48: a caller that names a place where the client is unknown stops the provider for nobody.
#[test]
fn a_place_that_refuses_the_client_blocks_no_other() {
    let (provider, app) = with_a_place();
    let place = json!({"Parameters": {"place": "token"}, "Nonce": null});
    provider.next([Turn::Say(Reply::error(401, "invalid_client"))]);
    connect(&app, &provider, &place).expect(502);
    let key = connect(&app, &provider, &place).expect(200).key();
    assert_lives(&provider, &app.setup, &key);
}

/// CONTRACT 57: a state for one record is none for another, and none for a new one.
#[test]
fn a_state_names_its_record() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let keys = [(); 2].map(|()| connect(&app, &provider, &json!({})).expect(200).key());
    let asked = authorize(&app.client(), &json!({ "Key": keys[0] })).expect(200).json();
    let mut body = consent(&provider, &asked);
    for other in [json!(keys[1]), Value::Null] {
        body["Key"] = other;
        exchange(&app.client(), &body).expect_error(400, "ArgumentException", "State");
    }
    assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (2, 2));
}

/// CONTRACT 57: another account does not slip under a key, and the record is as it was.
#[test]
fn another_user_does_not_take_over_a_record() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    let before = held(&app.setup, &key);
    provider.set(|rules| rules.id_claims = json!({"sub": "another"}));
    let refused = connect(&app, &provider, &json!({ "Key": key }));
    refused.expect_error(409, "SoConflictException", NAME);
    assert_eq!(held(&app.setup, &key), before);
    assert_lives(&provider, &app.setup, &key);
}

/// CONTRACT 57: only the owner and administrators connect again, and only at the record's provider.
#[test]
fn a_record_is_connected_again_by_its_owner_at_its_provider() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    app.add_user("bob");
    let bob = app.client().with_password("bob", "CANARY-password");
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    let foreign = app.client().save(&of_et("of another provider"));
    for client in [&bob, &app.client()] {
        let is_owner = !std::ptr::eq(client, &bob);
        let asked = authorize(client, &json!({})).expect(200).json();
        let mut body = consent(&provider, &asked);
        body["State"] = Value::Null;
        body["Key"] = if is_owner { foreign.as_str() } else { key.as_str() }.into();
        let refused = exchange(client, &body);
        let over = json!({ "Key": body["Key"] });
        let not_led = authorize(client, &over);
        for refused in [refused, not_led] {
            match is_owner {
                true => refused.expect_error(400, "ArgumentException", "Provider"),
                false => refused.expect_error(403, "SoSentryException", "owner"),
            };
        }
    }
    assert_eq!(provider.count(Kind::Exchange), 1);
    assert_lives(&provider, &app.setup, &key);
}

/// CONTRACT 57: connecting again while a refresh is under way: one generation wins, and it is the user's.
#[test]
fn a_refresh_that_ends_late_does_not_undo_connecting_again() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    end_access_in(&app.setup, &key, -1);
    for (generation, cut) in [(2, false), (3, true)] {
        let hold = provider.hold(Gate::AfterProcessing, 1);
        let reader = thread::spawn({
            let (client, key) = (app.client(), key.clone());
            move || get(&client, &key, 0)
        });
        hold.wait_for(1);
        connect(&app, &provider, &json!({ "Key": key })).expect(200);
        if cut {
            provider.next([Turn::Say(Reply::error(400, "invalid_grant"))]);
            hold.cut(Cut::Reset);
        } else {
            hold.open();
        }
        assert!(provider.is_newest(&access_token(reader.join().expect("no panic"))));
        assert_eq!(assert_lives(&provider, &app.setup, &key).generation, generation);
        assert_state(&app, &key, "Live", None);
        end_access_in(&app.setup, &key, -1);
    }
    until("no request is under way", || describe_state(&app, &key) == "Live");
}

fn describe_state(app: &TestApp, key: &str) -> String {
    let described = app.client().describe(&json!({ "Key": key }));
    described["GrantState"].as_str().expect("a state").to_owned()
}

/// CONTRACT 42, 57: a repeat under its `Idempotency-Key` gives the key, and sends nothing.
#[test]
fn connecting_again_can_be_repeated() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    let asked = authorize(&app.client(), &json!({ "Key": key })).expect(200).json();
    let mut body = consent(&provider, &asked);
    body["Key"] = key.as_str().into();
    let send = |body: &Value| {
        let headers =
            [("Content-Type", "application/json"), ("Idempotency-Key", "CANARY-idempotency-1")];
        app.client().request("POST", PATH, &headers, body.to_string().as_bytes())
    };
    for _ in 0..2 {
        assert_eq!(send(&body).expect(200).key(), key);
    }
    body["Key"] = Value::Null;
    body["State"] = Value::Null;
    let other = send(&body);
    assert!((400..500).contains(&other.status), "{other:?}");
    assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (2, 1));
    assert_eq!(assert_lives(&provider, &app.setup, &key).generation, 2);
}

/// A provider whose token endpoint has a part that differs from user to user, which is `token` for all of the mock's.
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

/// CONTRACT 55: parameters go into the provider's URLs, are sealed, and are those of each later refresh.
#[test]
fn parameters_lead_to_the_users_own_place() {
    let (provider, app) = with_a_place();
    let place = json!({"Parameters": {"Place": "token"}, "Nonce": null});
    let key = connect(&app, &provider, &place).expect(200).key();
    end_access_in(&app.setup, &key, -1);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    // One that is saved has them from its save, or is not refreshed.
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

/// CONTRACT 55: what could lead a request elsewhere is refused, by name and without repeating it.
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
    // Nor one that may be, but is not that of the state.
    body["Parameters"] = json!({"place": "elsewhere"});
    exchange(&app.client(), &body).expect_error(400, "ArgumentException", "State");
    assert_eq!((provider.count(Kind::Exchange), app.saved_rows()), (0, 0));
}

/// CONTRACT 49: what a provider says beside the tokens is kept with the claims, and is that of the last answer.
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

/// CONTRACT O14, 56: other tokens under the same key, which are refreshed from then on.
#[test]
fn tokens_are_replaced_under_their_key() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    provider.revoke(held(&app.setup, &key).refresh.as_deref().expect("a refresh token"));
    end_access_in(&app.setup, &key, -1);
    get(&app.client(), &key, 0).expect(424);
    let grant = provider.grant();
    assert_eq!(replace(&app.client(), &key, &carrier(&grant.access, &grant.refresh), 3600), "true");
    assert_eq!(access_token(get(&app.client(), &key, 0)), grant.access);
    assert_eq!(assert_lives(&provider, &app.setup, &key).generation, 2);
    end_access_in(&app.setup, &key, -1);
    assert!(provider.is_newest(&access_token(get(&app.client(), &key, 0))));
    assert_lives(&provider, &app.setup, &key);
    assert_state(&app, &key, "Live", None);
}

/// A carrier of a provider that is not configured.
fn of_et(access: &str) -> Value {
    json!({ "Provider": "et", "AccessToken": access })
}

fn carrier(access: &str, refresh: &str) -> Value {
    json!({ "Provider": NAME, "AccessToken": access, "RefreshToken": refresh })
}

fn replace(client: &Client, key: &str, carrier: &Value, expires_in: i64) -> String {
    let body = json!({ "Key": key, "TokenManagementInfo": carrier, "ExpiresIn": expires_in });
    client.post_records("Replace", &body).expect(200).body
}

/// CONTRACT 56: a refresh is faster than a caller that knows the generation before: a 409, and what lives stays.
#[test]
fn a_generation_that_has_passed_is_not_replaced() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    refresh(&app.client(), &key, None).expect(200);
    let grant = provider.grant();
    let body = |generation: Value| {
        json!({
            "Key": key, "TokenManagementInfo": carrier(&grant.access, &grant.refresh),
            "Generation": generation
        })
    };
    let refused = app.client().post_records("Replace", &body(json!(1)));
    refused.expect_error(409, "SoConflictException", "Generation");
    assert_lives(&provider, &app.setup, &key);
    for wrong in [json!(0), json!(-1), json!(1_u64 << 40), json!("two")] {
        let refused = app.client().post_records("Replace", &body(wrong));
        refused.expect_error(400, "ArgumentException", "Generation");
    }
    app.client().post_records("Replace", &body(json!(2))).expect(200);
    assert_eq!(held(&app.setup, &key).access.as_deref(), Some(grant.access.as_str()));
}

/// CONTRACT 56: who may replace, and what.
#[test]
fn tokens_are_replaced_by_their_owner_alone() {
    let app = TestApp::new();
    app.add_user("bob");
    let bob = app.client().with_password("bob", "CANARY-password");
    let key = bob.save(&of_et("first"));
    let mine = app.client().save(&of_et("mine"));
    let new = of_et("second");
    let ask = |client: &Client, key: &str, carrier: &Value| {
        client.post_records("Replace", &json!({ "Key": key, "TokenManagementInfo": carrier }))
    };
    ask(&bob, &mine, &new).expect_error(403, "SoSentryException", "owner");
    assert_eq!(app.client().access_token(&mine).as_deref(), Some("mine"));
    ask(&bob, &key, &json!({"Provider": "another", "AccessToken": "x"})).expect_error(
        400,
        "ArgumentException",
        "Provider",
    );
    ask(&bob, &key, &json!({"Provider": new["Provider"]})).expect(400);
    assert_eq!(bob.access_token(&key).as_deref(), Some("first"));
    assert_eq!(ask(&bob, &key, &new).expect(200).body, "true");
    assert_eq!(bob.access_token(&key).as_deref(), Some("second"));
    // The sample login is an administrator.
    assert_eq!(ask(&app.client(), &key, &new).expect(200).body, "true");
    assert!(bob.revoke(&json!({ "Key": key })));
    assert_eq!(ask(&bob, &key, &new).expect(200).body, "false");
    assert_eq!(bob.access_token(&key), None);
    assert_eq!(ask(&bob, "foreign", &new).expect(200).body, "false");
}

/// A refresh whose answer comes after the tokens were replaced speaks for nobody.
#[test]
fn a_refresh_that_ends_late_does_not_undo_a_replacement() {
    let (provider, setup) = discovering(Rules::default(), &json!({}));
    let app = setup.start();
    let key = connect(&app, &provider, &json!({})).expect(200).key();
    end_access_in(&app.setup, &key, -1);
    let hold = provider.hold(Gate::AfterProcessing, 1);
    let reader = thread::spawn({
        let (client, key) = (app.client(), key.clone());
        move || get(&client, &key, 0)
    });
    hold.wait_for(1);
    let grant = provider.grant();
    assert_eq!(replace(&app.client(), &key, &carrier(&grant.access, &grant.refresh), 3600), "true");
    hold.open();
    assert_eq!(access_token(reader.join().expect("no panic")), grant.access);
    let held = assert_lives(&provider, &app.setup, &key);
    assert_eq!((held.generation, held.access.as_deref()), (2, Some(grant.access.as_str())));
}
