//! Requests, field by field.
//!
//! Invariant: each expected request is written out, so that a changed request shows.

use std::collections::BTreeMap;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use rstest::rstest;
use serde_json::Value;

use super::*;
use crate::{Endpoints, RequestRules, assertion::tests::key};

fn registration(client_auth: ClientAuth) -> Registration {
    let endpoints = Endpoints {
        authorization: Some("https://login.example/authorize".to_owned()),
        token: "https://login.example/token".to_owned(),
        refresh: None,
        revocation: Some("https://login.example/revoke".to_owned()),
        introspection: Some("https://login.example/introspect".to_owned()),
    };
    let scopes = vec!["offline_access".to_owned(), "mail:read".to_owned()];
    Registration { scopes, ..Registration::new(endpoints, "my client", client_auth) }
}

fn with_request(request: RequestRules) -> Registration {
    Registration { request, ..registration(ClientAuth::Post) }
}

fn map<const N: usize>(fields: [(&str, &str); N]) -> BTreeMap<String, String> {
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn secret() -> SecretText {
    SecretText::from("s+1/ å:")
}

fn refresh_body(registration: &Registration) -> String {
    let request = registration.refresh(&SecretText::from("r 1"), Proof::Secret(&secret()));
    request.body.expose().to_owned()
}

fn decoded(request: &ProviderRequest) -> String {
    let header = request.authorization.as_ref().expect("header").expose();
    let pair = STANDARD.decode(header.strip_prefix("Basic ").expect("Basic")).expect("base64");
    String::from_utf8(pair).expect("text")
}

const REQUEST: AuthorizationRequest<'static> = AuthorizationRequest {
    redirect_uri: "https://app.example/back?a=b",
    scopes: None,
    state: "st",
    nonce: Some("no"),
    code_challenge: Some("ch"),
};

#[test]
fn the_user_is_sent_to_where_the_request_is_said() {
    let url = registration(ClientAuth::Basic).authorization_url(&REQUEST).expect("URL");
    assert_eq!(
        url,
        "https://login.example/authorize?response_type=code&client_id=my+client\
         &redirect_uri=https%3A%2F%2Fapp.example%2Fback%3Fa%3Db&scope=offline_access+mail%3Aread\
         &state=st&nonce=no&code_challenge=ch&code_challenge_method=S256"
    );
}

#[test]
fn what_a_request_has_not_is_not_in_the_url() {
    let request =
        AuthorizationRequest { nonce: None, code_challenge: None, scopes: Some(&[]), ..REQUEST };
    let url = registration(ClientAuth::Basic).authorization_url(&request).expect("URL");
    assert_eq!(
        url,
        "https://login.example/authorize?response_type=code&client_id=my+client\
         &redirect_uri=https%3A%2F%2Fapp.example%2Fback%3Fa%3Db&state=st"
    );
    let mut unknown = registration(ClientAuth::Basic);
    unknown.endpoints.authorization = None;
    assert_eq!(unknown.authorization_url(&request), None);
}

#[test]
fn scopes_and_fields_of_the_url_are_as_the_provider_wants_them() {
    let rules = RequestRules {
        authorize: map([
            ("access_type", "offline"),
            ("response_type", "code id_token"),
            ("nonce", ""),
        ]),
        names: map([("client_id", "client_key")]),
        scope_separator: ",".to_owned(),
        ..RequestRules::default()
    };
    let scopes = ["a".to_owned(), "b".to_owned()];
    let request = AuthorizationRequest { scopes: Some(&scopes), ..REQUEST };
    let url = with_request(rules).authorization_url(&request).expect("URL");
    assert_eq!(
        url,
        "https://login.example/authorize?response_type=code+id_token&client_key=my+client\
         &redirect_uri=https%3A%2F%2Fapp.example%2Fback%3Fa%3Db&scope=a%2Cb&state=st\
         &code_challenge=ch&code_challenge_method=S256&access_type=offline"
    );
}

#[rstest]
#[case("https://a.example/x", "https://a.example/x?response_type=code&")]
#[case("https://a.example/x?", "https://a.example/x?response_type=code&")]
#[case("https://a.example/x?p=b2c", "https://a.example/x?p=b2c&response_type=code&")]
#[case("https://a.example/x?p=b2c&", "https://a.example/x?p=b2c&response_type=code&")]
fn an_endpoint_keeps_its_query(#[case] endpoint: &str, #[case] expected: &str) {
    let mut registration = registration(ClientAuth::Basic);
    registration.endpoints.authorization = Some(endpoint.to_owned());
    assert!(registration.authorization_url(&REQUEST).expect("URL").starts_with(expected));
    registration.endpoints.token = endpoint.to_owned();
    assert_eq!(registration.refresh(&secret(), Proof::None).url, endpoint);
}

#[test]
fn a_refresh_goes_to_an_endpoint_of_its_own_if_there_is_one() {
    let mut registration = registration(ClientAuth::Basic);
    registration.endpoints.refresh = Some("https://login.example/refresh".to_owned());
    assert_eq!(registration.refresh(&secret(), Proof::None).url, "https://login.example/refresh");
    let code = CodeExchange { code: &secret(), redirect_uri: "", pkce_verifier: None };
    assert_eq!(registration.exchange(&code, Proof::None).url, "https://login.example/token");
}

#[test]
fn a_code_is_exchanged() {
    let (code, verifier) = (SecretText::from("c/1"), SecretText::from("v-1"));
    let mut exchange = CodeExchange {
        code: &code,
        redirect_uri: "https://app.example/back",
        pkce_verifier: Some(&verifier),
    };
    let request = registration(ClientAuth::Basic).exchange(&exchange, Proof::Secret(&secret()));
    assert_eq!(request.url, "https://login.example/token");
    assert_eq!(request.content_type, "application/x-www-form-urlencoded");
    assert_eq!(
        request.body.expose(),
        "grant_type=authorization_code&code=c%2F1\
         &redirect_uri=https%3A%2F%2Fapp.example%2Fback&code_verifier=v-1"
    );
    exchange.pkce_verifier = None;
    let request = registration(ClientAuth::None).exchange(&exchange, Proof::None);
    assert_eq!(
        request.body.expose(),
        "grant_type=authorization_code&code=c%2F1\
         &redirect_uri=https%3A%2F%2Fapp.example%2Fback&client_id=my+client"
    );
}

#[rstest]
#[case::basic(ClientAuth::Basic, "", Some("my+client:s%2B1%2F+%C3%A5%3A"))]
#[case::raw(ClientAuth::BasicRaw, "", Some("my client:s+1/ å:"))]
#[case::secret(ClientAuth::BasicSecret, "", Some("s+1/ å::"))]
#[case::post(ClientAuth::Post, "&client_id=my+client&client_secret=s%2B1%2F+%C3%A5%3A", None)]
#[case::none(ClientAuth::None, "&client_id=my+client", None)]
fn a_client_says_who_it_is(
    #[case] client_auth: ClientAuth,
    #[case] body: &str,
    #[case] pair: Option<&str>,
) {
    let registration = registration(client_auth);
    let token = SecretText::from("r-1");
    let refresh = registration.refresh(&token, Proof::Secret(&secret()));
    let expected = format!("grant_type=refresh_token&refresh_token=r-1{body}");
    assert_eq!(refresh.body.expose(), expected);
    let revoke =
        registration.revoke(&token, TokenKind::Refresh, Proof::Secret(&secret())).expect("request");
    let expected = format!("token=r-1&token_type_hint=refresh_token{body}");
    assert_eq!(
        (revoke.url.as_str(), revoke.body.expose()),
        ("https://login.example/revoke", expected.as_str())
    );
    for request in [refresh, revoke] {
        assert_eq!(request.authorization.is_some(), pair.is_some());
        assert!(pair.is_none_or(|pair| decoded(&request) == pair));
    }
}

#[test]
fn a_client_without_a_secret_has_an_empty_password_or_none() {
    let token = SecretText::from("r-1");
    assert_eq!(
        decoded(&registration(ClientAuth::Basic).refresh(&token, Proof::None)),
        "my+client:"
    );
    let post = registration(ClientAuth::Post).refresh(&token, Proof::None);
    assert_eq!(
        post.body.expose(),
        "grant_type=refresh_token&refresh_token=r-1&client_id=my+client"
    );
}

#[test]
fn an_access_token_is_revoked_as_one_and_without_an_endpoint_nothing_is() {
    let mut registration = registration(ClientAuth::None);
    let request = registration.revoke(&secret(), TokenKind::Access, Proof::None).expect("request");
    assert!(request.body.expose().ends_with("&token_type_hint=access_token&client_id=my+client"));
    registration.endpoints.revocation = None;
    assert!(registration.revoke(&secret(), TokenKind::Access, Proof::None).is_none());
}

#[test]
fn a_token_is_introspected_by_who_it_was_given_to() {
    let mut registration = registration(ClientAuth::Basic);
    let request = registration.introspect(
        &SecretText::from("a 1"),
        TokenKind::Access,
        Proof::Secret(&secret()),
    );
    let request = request.expect("request");
    assert_eq!(request.url, "https://login.example/introspect");
    assert_eq!(request.body.expose(), "token=a+1&token_type_hint=access_token");
    assert_eq!(decoded(&request), "my+client:s%2B1%2F+%C3%A5%3A");
    registration.endpoints.introspection = None;
    assert!(registration.introspect(&secret(), TokenKind::Access, Proof::None).is_none());
}

#[rstest]
#[case::added([("audience", "api.example")], "grant_type=refresh_token&refresh_token=r+1&client_id=my+client&client_secret=s%2B1%2F+%C3%A5%3A&audience=api.example")]
#[case::replaced([("grant_type", "renew")], "grant_type=renew&refresh_token=r+1&client_id=my+client&client_secret=s%2B1%2F+%C3%A5%3A")]
#[case::removed([("grant_type", "")], "refresh_token=r+1&client_id=my+client&client_secret=s%2B1%2F+%C3%A5%3A")]
#[case::removed_what_is_not_there([("scope", "")], "grant_type=refresh_token&refresh_token=r+1&client_id=my+client&client_secret=s%2B1%2F+%C3%A5%3A")]
fn the_operator_adds_replaces_and_removes_fields(
    #[case] refresh: [(&str, &str); 1],
    #[case] expected: &str,
) {
    let rules = RequestRules { refresh: map(refresh), ..RequestRules::default() };
    assert_eq!(refresh_body(&with_request(rules)), expected);
}

#[test]
fn fields_belong_to_their_request() {
    let rules = RequestRules {
        exchange: map([("request", "token")]),
        refresh: map([("duration", "permanent")]),
        ..RequestRules::default()
    };
    let registration = with_request(rules);
    let code = SecretText::from("c");
    let exchange =
        CodeExchange { code: &code, redirect_uri: "https://a.example", pkce_verifier: None };
    let exchange = registration.exchange(&exchange, Proof::None);
    assert!(exchange.body.expose().ends_with("&request=token"));
    assert!(refresh_body(&registration).ends_with("&duration=permanent"));
    assert!(!registration.authorization_url(&REQUEST).expect("URL").contains("permanent"));
}

#[test]
fn names_are_the_providers_and_other_fields_go_by_them() {
    let rules = RequestRules {
        // TikTok's name of the identifier, and Basecamp's of the type of grant.
        names: map([("client_id", "client_key"), ("grant_type", "type")]),
        refresh: map([("type", "refresh")]),
        ..RequestRules::default()
    };
    let expected =
        "type=refresh&refresh_token=r+1&client_key=my+client&client_secret=s%2B1%2F+%C3%A5%3A";
    assert_eq!(refresh_body(&with_request(rules)), expected);
}

#[test]
fn a_body_may_be_json() {
    let rules = RequestRules { body: BodyFormat::Json, ..RequestRules::default() };
    let registration = with_request(rules);
    let request =
        registration.refresh(&SecretText::from("r\"\\\n\u{1f}å"), Proof::Secret(&secret()));
    assert_eq!(request.content_type, "application/json");
    assert_eq!(
        request.body.expose(),
        r#"{"grant_type":"refresh_token","refresh_token":"r\"\\\u000a\u001få","client_id":"my client","client_secret":"s+1/ å:"}"#
    );
}

/// RFC 7523 §2.2: the assertion is in the body of every request, and its audience is the provider.
#[test]
fn an_assertion_goes_with_every_request() {
    let key = key();
    let proof = Proof::Assertion { key: &key, issued: 1_790_000_000, id: "j-1" };
    let token = SecretText::from("t");
    let code = CodeExchange { code: &token, redirect_uri: "", pkce_verifier: None };
    let audiences = |registration: &Registration| {
        let requests = [
            registration.exchange(&code, proof),
            registration.refresh(&token, proof),
            registration.revoke(&token, TokenKind::Refresh, proof).expect("request"),
            registration.introspect(&token, TokenKind::Access, proof).expect("request"),
        ];
        requests.map(|request| {
            assert!(request.authorization.is_none());
            let body = request.body.expose();
            assert!(
                body.contains("&client_id=my+client&client_assertion_type=urn%3Aietf%3Aparams%3A")
            );
            assert!(!body.contains("client_secret"), "{body}");
            let (_, assertion) = body.split_once("&client_assertion=").expect("an assertion");
            let claims = assertion.split('.').nth(1).expect("claims");
            let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
            let claims: Value = serde_json::from_slice(&claims).expect("JSON");
            claims["aud"].as_str().expect("a text").to_owned()
        })
    };
    let mut registration = registration(ClientAuth::PrivateKeyJwt);
    assert_eq!(audiences(&registration), ["https://login.example/token"; 4]);
    registration.audience = Audience::Text("https://login.example".to_owned());
    assert_eq!(audiences(&registration), ["https://login.example"; 4]);
    registration.audience = Audience::Endpoint;
    assert_eq!(
        audiences(&registration),
        ["token", "token", "revoke", "introspect"]
            .map(|path| format!("https://login.example/{path}"))
    );
}

/// RFC 8705 §2: the certificate is the proof, and the body names the client.
#[test]
fn a_client_with_a_certificate_sends_its_identifier_alone() {
    let request = registration(ClientAuth::Tls).refresh(&SecretText::from("r"), Proof::None);
    assert!(request.authorization.is_none());
    let body = "grant_type=refresh_token&refresh_token=r&client_id=my+client";
    assert_eq!(request.body.expose(), body);
}

#[test]
fn debug_prints_no_secret() {
    let canary = SecretText::from("SECRET");
    for client_auth in ClientAuth::ALL {
        let registration = registration(client_auth);
        let exchange = CodeExchange {
            code: &canary,
            redirect_uri: "https://a.example",
            pkce_verifier: Some(&canary),
        };
        let requests = [
            registration.exchange(&exchange, Proof::Secret(&canary)),
            registration.refresh(&canary, Proof::Secret(&canary)),
            registration
                .revoke(&canary, TokenKind::Refresh, Proof::Secret(&canary))
                .expect("request"),
        ];
        let printed = format!("{registration:?} {exchange:?} {requests:?}");
        assert!(!printed.contains("SECRET") && !printed.contains("U0VDUkVU"), "{printed}");
    }
}

proptest! {
    #[test]
    fn the_header_of_basic_says_what_went_in(client_id in ".*", secret in ".*") {
        let secret = SecretText::from(secret);
        let mut registration = registration(ClientAuth::Basic);
        registration.client_id.clone_from(&client_id);
        let pair = decoded(&registration.refresh(&secret, Proof::Secret(&secret)));
        let (name, password) = pair.split_once(':').expect("pair");
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_encoding::percent_decode_str(&text).decode_utf8().expect("text").into_owned()
        };
        prop_assert_eq!(decode(name), client_id.as_str());
        prop_assert_eq!(decode(password), secret.expose());

        registration.client_auth = ClientAuth::BasicRaw;
        let pair = decoded(&registration.refresh(&secret, Proof::Secret(&secret)));
        prop_assert_eq!(pair, format!("{client_id}:{}", secret.expose()));
    }

    #[test]
    fn a_json_body_says_what_went_in(token in ".+") {
        let rules = RequestRules { body: BodyFormat::Json, ..RequestRules::default() };
        let request = with_request(rules).refresh(&SecretText::from(token.as_str()), Proof::None);
        let body: Value = serde_json::from_str(request.body.expose()).expect("JSON");
        prop_assert_eq!(&body["refresh_token"], token.as_str());
    }
}
