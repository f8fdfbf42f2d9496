//! A small HTTP client with the calls of the API.
//!
//! Invariant: the client returns every answer unchanged, and treats no status as an error.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use ureq::{Agent, RequestExt as _, http, tls::TlsConfig};

use crate::support::app::TIMEOUT;

/// The path of the User agent's operations.
const AGENT: &str = "/api/v1/Agents/User/";
/// The path of the operations on records.
const RECORDS: &str = "/api/v1/Agents/ExternalTokens/";

/// Calls one server, by default with the sample login, and keeps its connection open.
#[derive(Clone)]
pub(crate) struct Client {
    agent: Agent,
    url: String,
    authorization: Option<String>,
}

/// A browser's session.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The value of a `Cookie` header.
    pub(crate) cookie: String,
    /// The value of `X-XSRF-TOKEN`.
    pub(crate) xsrf_token: String,
}

impl Session {
    /// Reads the session from the cookies of an answer.
    pub(crate) fn of(answer: &Answer) -> Self {
        let cookies = answer.headers.get_all("Set-Cookie").iter();
        let pairs = cookies.map(|cookie| cookie.to_str().expect("text").split(';').next());
        let pairs: Vec<&str> = pairs.flatten().collect();
        let value = |name: &str| pairs.iter().find_map(|pair| pair.strip_prefix(name));
        let xsrf_token = value("XSRF-TOKEN=").expect("a value for scripts").to_owned();
        Self { cookie: pairs.join("; "), xsrf_token }
    }

    /// The headers that a script of the page sends.
    pub(crate) fn headers(&self) -> [(&str, &str); 2] {
        [("Cookie", &self.cookie), ("X-XSRF-TOKEN", &self.xsrf_token)]
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        Self::with_tls(url, TlsConfig::default())
    }

    /// A client with this TLS configuration.
    pub(crate) fn with_tls(url: &str, tls: TlsConfig) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(TIMEOUT))
            .tls_config(tls)
            .build();
        let authorization = Some("Basic dGplMDpUamUw".to_owned());
        Self { agent: config.into(), url: url.to_owned(), authorization }
    }

    /// The same client with another `Authorization` header, or without one.
    pub(crate) fn with_authorization(&self, authorization: Option<&str>) -> Self {
        Self { authorization: authorization.map(str::to_owned), ..self.clone() }
    }

    /// The same client for a server that was started again.
    pub(crate) fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// The same client with HTTP Basic.
    pub(crate) fn with_password(&self, login: &str, password: &str) -> Self {
        let encoded = STANDARD.encode(format!("{login}:{password}"));
        self.with_authorization(Some(&format!("Basic {encoded}")))
    }

    /// Requests the caller's identity.
    pub(crate) fn who(&self, headers: &[(&str, &str)]) -> Answer {
        self.request("GET", "/api/v1/User/currentPrincipal", headers, b"")
    }

    /// Signs in by the page's form; returns the cookies and the value of `X-XSRF-TOKEN`.
    pub(crate) fn sign_in(&self, login: &str, password: &str) -> Session {
        let form = format!("login={login}&password={password}");
        let form_type = [("Content-Type", "application/x-www-form-urlencoded")];
        let visitor = self.with_authorization(None);
        Session::of(&visitor.request("POST", "/sign-in", &form_type, form.as_bytes()).expect(303))
    }

    /// Sends any request, with the `Authorization` header.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.try_request(method, path, headers, body).expect("an answer")
    }

    /// Sends any request to a server that may end meanwhile.
    pub(crate) fn try_request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let mut request =
            http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_vec()).expect("a valid request");
        let mut response = request.with_agent(&self.agent).run()?;
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.body_mut().read_to_string()?,
        })
    }

    /// Calls an operation of the User agent with a JSON body.
    pub(crate) fn post(&self, operation: &str, body: &Value) -> Answer {
        self.post_text(operation, &body.to_string())
    }

    /// Calls an operation of the User agent with any text as a JSON body.
    pub(crate) fn post_text(&self, operation: &str, body: &str) -> Answer {
        let path = format!("{AGENT}{operation}");
        self.request("POST", &path, &[("Content-Type", "application/json")], body.as_bytes())
    }

    /// Calls an operation of the ExternalTokens agent with a JSON body.
    pub(crate) fn post_records(&self, operation: &str, body: &Value) -> Answer {
        let path = format!("{RECORDS}{operation}");
        self.request(
            "POST",
            &path,
            &[("Content-Type", "application/json")],
            body.to_string().as_bytes(),
        )
    }

    /// The description of a record.
    pub(crate) fn describe(&self, which: &Value) -> Value {
        self.post_records("Describe", which).expect(200).json()
    }

    /// Revokes a record; returns whether it lived.
    pub(crate) fn revoke(&self, which: &Value) -> bool {
        self.post_records("Revoke", which).expect(200).json().as_bool().expect("a truth value")
    }

    /// Saves a carrier; returns the key.
    pub(crate) fn save(&self, carrier: &Value) -> String {
        let answer = self.post("SaveExternalTokens", &json!({ "TokenManagementInfo": carrier }));
        answer.expect(200).key()
    }

    /// Calls an operation of the User agent on a server that may end meanwhile.
    pub(crate) fn try_post(&self, operation: &str, body: &Value) -> Result<Answer, ureq::Error> {
        let headers = [("Content-Type", "application/json")];
        let path = format!("{AGENT}{operation}");
        self.try_request("POST", &path, &headers, body.to_string().as_bytes())
    }

    /// The carrier that a key retrieves.
    pub(crate) fn get(&self, key: &str) -> Value {
        self.post("GetExternalTokens", &json!({ "Key": key })).expect(200).json()
    }

    /// The access token that a key retrieves.
    pub(crate) fn access_token(&self, key: &str) -> Option<String> {
        self.get(key)["AccessToken"].as_str().map(str::to_owned)
    }
}

/// The body of a save of a carrier with this access token.
pub(crate) fn to_save(access_token: &str) -> Value {
    json!({ "TokenManagementInfo": { "Provider": "et", "AccessToken": access_token } })
}

impl Answer {
    /// Asserts the status.
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body as a key.
    pub(crate) fn key(&self) -> String {
        self.json().as_str().expect("a key").to_owned()
    }

    /// The schemes of the challenges, in order.
    pub(crate) fn challenges(&self) -> Vec<&str> {
        let challenges = self.headers.get_all("WWW-Authenticate").iter();
        challenges.filter_map(|value| value.to_str().ok()?.split(' ').next()).collect()
    }

    /// A header's value; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Asserts an error: its status, type and a part of its message.
    pub(crate) fn expect_error(self, status: u16, error_type: &str, message: &str) -> Self {
        let answer = self.expect(status);
        let body = answer.json();
        assert_eq!(body["ErrorType"], error_type, "{body}");
        let told = body["Message"].as_str().expect("a message");
        assert!(told.contains(message), "{told:?} does not say {message:?}");
        answer
    }
}
