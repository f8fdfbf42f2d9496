//! The mock provider's endpoints, which follow its rules.

use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Validation, get_current_timestamp};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::support::provider::{
    ClientAuth, Kind, Reply, Request, Shared, State, family::Pair, http::Received,
};

/// Reads a request.
pub(super) fn read(received: &Received) -> Request {
    let text = String::from_utf8_lossy(&received.body);
    let form: Vec<(String, String)> = match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(members)) => {
            let text = |value: Value| value.as_str().expect("a text").to_owned();
            members.into_iter().map(|(name, value)| (name, text(value))).collect()
        }
        _ => {
            let fields = text.split('&').filter_map(|field| field.split_once('='));
            fields.map(|(name, value)| (decode(name), decode(value))).collect()
        }
    };
    let is_of =
        |wanted: &str| form.iter().any(|(name, value)| name == "grant_type" && value == wanted);
    let kind = match (received.method.as_str(), received.path.as_str()) {
        ("POST", "/token") if is_of("authorization_code") => Kind::Exchange,
        ("POST", "/token") if is_of("refresh_token") => Kind::Refresh,
        ("POST", "/revoke") => Kind::Revocation,
        ("POST", "/introspect") => Kind::Introspection,
        ("GET", "/jwks") => Kind::Keys,
        ("GET", path) if path.starts_with("/.well-known/") => Kind::Metadata,
        _ => Kind::Other,
    };
    let headers = received.headers.clone();
    Request { kind, received: Instant::now(), headers, form }
}

/// Decodes the text of a form.
pub(crate) fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().expect("UTF-8").into_owned()
}

impl Shared {
    /// Handles a request; returns the answer.
    pub(super) fn answer(
        &self,
        received: &Received,
        request: &Request,
        say: Option<fn(Value) -> Reply>,
    ) -> Reply {
        let mut state = self.state();
        if let Some(page) = state.pages.get(&received.path) {
            return page.clone();
        }
        match request.kind {
            Kind::Keys => return Reply::json(200, &state.keys()),
            Kind::Metadata => return Reply::json(200, &self.metadata(&state)),
            Kind::Other => return Reply::new(404, "text/plain", "nothing"),
            Kind::Refresh | Kind::Exchange | Kind::Revocation | Kind::Introspection => {}
        }
        if !state.is_client(&self.url, received, request) {
            state.wrong_secrets += 1;
            return Reply::error(401, "invalid_client");
        }
        let (now, token) = (self.now(&state), request.field("token"));
        let granted = match request.kind {
            Kind::Revocation => {
                // An unknown token is a success as well (RFC 7009 §2.2).
                if state.rules.revocation_ends_family {
                    state.tree.revoke(token);
                } else {
                    state.tree.revoke_alone(token);
                }
                return Reply::new(200, "text/plain", "");
            }
            Kind::Introspection => {
                let is_active = state.tree.is_active(token) || state.tree.is_living_leaf(token);
                if !is_active {
                    return Reply::json(200, &json!({ "active": false }));
                }
                let end = get_current_timestamp() + 3600;
                let active = json!({ "active": true, "scope": "openid email", "exp": end });
                return Reply::json(200, &active);
            }
            Kind::Exchange => state.exchange(request, now),
            _ => {
                let rules = state.rules.clone();
                state.tree.refresh(request.field("refresh_token"), &rules, now)
            }
        };
        let Some(pair) = granted else { return Reply::error(400, "invalid_grant") };
        let has_id_token = request.kind == Kind::Exchange || state.rules.refresh_brings_id_token;
        let answer = self.tokens(&state, &pair, has_id_token);
        say.unwrap_or(state.rules.say)(answer)
    }

    fn tokens(&self, state: &State, pair: &Pair, has_id_token: bool) -> Value {
        let mut answer = json!({
            "access_token": pair.access,
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": pair.refresh,
        });
        if has_id_token {
            let now = get_current_timestamp();
            let mut claims = json!({
                "iss": self.url,
                "aud": state.rules.client_id.1,
                "sub": pair.subject,
                "iat": now,
                "exp": now + 600,
                "nonce": pair.nonce,
            });
            overlay(&mut claims, &state.rules.id_claims);
            answer["id_token"] = state.signers[0].token(&claims).into();
        }
        merge(&mut answer, &state.rules.answer);
        answer
    }

    /// OpenID Connect Discovery 1.0 §3, RFC 8414 §2.
    fn metadata(&self, state: &State) -> Value {
        let at = |path: &str| format!("{}{path}", self.url);
        let mut metadata = json!({
            "issuer": self.url,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "revocation_endpoint": at("/revoke"),
            "introspection_endpoint": at("/introspect"),
            "jwks_uri": at("/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        });
        merge(&mut metadata, &state.rules.metadata);
        metadata
    }
}

/// Takes over the members of `over`, and removes those that are null.
pub(crate) fn merge(value: &mut Value, over: &Value) {
    overlay(value, over);
    value.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
}

pub(crate) fn overlay(value: &mut Value, over: &Value) {
    for (name, member) in over.as_object().expect("an object") {
        value[name] = member.clone();
    }
}

impl State {
    /// The published keys, the newest one first.
    fn keys(&self) -> Value {
        let unpublished = self.signers.len() - self.published;
        let keys: Vec<Value> = self.signers[unpublished..].iter().map(|key| key.jwk()).collect();
        json!({ "keys": keys })
    }

    /// A code is valid for one family (RFC 6749 §4.1.2), and only with its verifier (RFC 7636 §4.6).
    fn exchange(&mut self, request: &Request, now: Duration) -> Option<Pair> {
        let code = self.codes.get_mut(request.field("code"))?;
        if let Some(token) = &code.spent_for {
            self.tree.revoke(token);
            return None;
        }
        let verifier = request.field("code_verifier");
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let is_proven = code.challenge.as_ref().is_none_or(|asked| *asked == challenge);
        if request.field("redirect_uri") != code.redirect_uri || !is_proven {
            return None;
        }
        let pair = self.tree.plant("subject", code.nonce.as_deref(), now);
        code.spent_for = Some(pair.refresh.clone());
        Some(pair)
    }

    fn is_client(&mut self, url: &str, received: &Received, request: &Request) -> bool {
        if let ClientAuth::PrivateKeyJwt = self.rules.client_auth {
            return received.header("Authorization").is_none() && self.is_assertion(url, request);
        }
        let (field, id) = &self.rules.client_id;
        let is_secret = |secret: &str| self.rules.secrets.iter().any(|known| known == secret);
        let is_id = request.field(field) == id;
        let has_secret = request.form.iter().any(|(name, _)| name == "client_secret");
        let basic = received.header("Authorization").map(|value| {
            let encoded = value.strip_prefix("Basic ").expect("Basic");
            String::from_utf8(STANDARD.decode(encoded).expect("Base64")).expect("UTF-8")
        });
        let basic = basic.as_ref().map(|pair| pair.split_once(':').expect("a pair"));
        // More than one method at once is wrong (RFC 6749 §2.3).
        match (self.rules.client_auth, basic) {
            (ClientAuth::Basic, Some((user, secret))) => {
                !has_secret && decode(user) == *id && is_secret(&decode(secret))
            }
            (ClientAuth::BasicRaw, Some((user, secret))) => {
                !has_secret && user == id && is_secret(secret)
            }
            (ClientAuth::Post, None) => is_id && is_secret(request.field("client_secret")),
            (ClientAuth::Tls | ClientAuth::None, None) => is_id && !has_secret,
            _ => false,
        }
    }

    /// Whether the client signed a new assertion for this provider (RFC 7523 §3).
    fn is_assertion(&mut self, url: &str, request: &Request) -> bool {
        let (field, id) = &self.rules.client_id;
        let audience = match self.rules.audience.as_str() {
            "" => format!("{url}/token"),
            audience => audience.to_owned(),
        };
        let assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        if request.field(field) != id
            || request.field("client_assertion_type") != assertion_type
            || !request.field("client_secret").is_empty()
        {
            return false;
        }
        let claims = self.rules.assertion_keys.iter().find_map(|(algorithm, key)| {
            let mut validation = Validation::new(*algorithm);
            validation.set_audience(&[&audience]);
            validation.set_issuer(&[id]);
            validation.sub = Some(id.clone());
            validation.set_required_spec_claims(&["aud", "exp", "iss", "sub"]);
            let assertion = request.field("client_assertion");
            Some(jsonwebtoken::decode::<Value>(assertion, key, &validation).ok()?.claims)
        });
        let Some(claims) = claims else { return false };
        let (now, end) = (get_current_timestamp(), claims["exp"].as_u64().expect("a time"));
        let is_short =
            end <= now + 60 && claims["iat"].as_u64().is_some_and(|issued| issued <= now);
        let name = claims["jti"].as_str().expect("an identifier").to_owned();
        is_short && self.assertion_ids.insert(name)
    }
}
