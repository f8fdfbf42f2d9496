//! Every credential in every state, with every content type, on both installations: the callers that are accepted, and
//! the errors that the others get.
//!
//! Invariant: the expected outcomes are in `MATRIX`, written by hand; everything else is generated.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::{
    Database,
    grants::token_endpoint::{TOKEN, exchanging, with_endpoint},
    support::{
        app::{Setup, TestApp},
        client::{Answer, Session},
        issuer::{self, Issuer},
    },
};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";

const LIST: &str = "/api/v1/Agents/ExternalTokens/List";

/// The credential of a request, and its outcome onsite and online:
///
/// * `in`: the call runs;
/// * `login`: 401, `SoSessionException`, with the challenges of the installation;
/// * `token`: the same, and the challenge of Bearer says `invalid_token`;
/// * `denied`: 403, `SoSentryException`;
/// * `twice`: 400, `ArgumentException`.
///
/// Online, Basic is off by default. JWTs of one issuer are accepted.
const MATRIX: &str = "
    nothing                                 login    login
    application alone                       login    login
    xsrf token alone                        login    login

    password                                in       login
    password and application                in       login
    password and session                    in       login
    password, wrong                         login    login
    password, empty                         login    login
    password of nobody                      login    login
    password of a disabled user             login    login
    password, then any colon                login    login
    basic without a colon                   login    login
    basic without a user                    login    login
    basic that is no base64                 login    login
    basic that is no UTF-8                  login    login
    basic with a control character          login    login
    basic of 64 KB                          login    login

    ticket                                  in       login
    ticket and application                  in       in
    ticket in capitals                      in       in
    ticket as user name                     in       login
    ticket as user name, with a password    login    login
    ticket of the wrong number              login    login
    ticket of an unknown guid               login    login
    ticket that is no base64                login    login
    ticket of odd length                    login    login
    ticket that expired                     login    login
    ticket that was revoked                 login    login
    ticket of a disabled user               login    login
    ticket from before the password         login    login
    ticket of another tenant                denied   denied
    ticket naming another tenant            denied   denied
    ticket and unknown application          in       login
    ticket and malformed application        in       login
    ticket and disabled application         in       login
    ticket and application of others        in       denied

    access token                            in       in
    access token and application            in       in
    access token and unknown application    in       login
    access token, wrong                     token    token
    access token, malformed                 token    token
    access token that expired               token    token
    access token of a disabled user         token    token
    access token of another tenant          denied   denied
    ticket as access token                  token    token
    jwt                                     in       in
    jwt of another key                      token    token
    jwt that expired                        token    token
    jwt of another issuer                   token    token
    jwt for another audience                token    token
    jwt without a signature                 token    token
    jwt of a disabled user                  token    token
    jwt of another tenant                   denied   denied

    session                                 in       in
    session and application                 in       in
    session without xsrf token              login    login
    session with a wrong xsrf token         login    login
    session with another's xsrf token       login    login
    session with an empty xsrf token        login    login
    session that is malformed               login    login
    session of nobody                       login    login
    session that expired                    login    login
    session that was signed out             login    login
    session from before the password        login    login
    access token as session                 login    login

    two passwords                           twice    twice
    password and ticket                     twice    twice
    password and ticket in one header       twice    twice
    ticket and access token in one header   twice    twice
    another scheme                          login    login
    no scheme                               login    login
    session as scheme                       login    login
";

const BODIES: [(&str, &str); 8] = [
    ("application/json", r#"{"TokenManagementInfo":{"Provider":"et","AccessToken":"fugit"}}"#),
    ("text/json", r#"{"TokenManagementInfo":{"Provider":"et","AccessToken":"fugit"}}"#),
    (
        "application/xml",
        "<S><TokenManagementInfo><Provider>et</Provider><AccessToken>fugit</AccessToken>\
         </TokenManagementInfo></S>",
    ),
    (
        "text/xml",
        "<S><TokenManagementInfo><Provider>et</Provider><AccessToken>fugit</AccessToken>\
         </TokenManagementInfo></S>",
    ),
    ("application/x-www-form-urlencoded", "Provider=et&AccessToken=fugit"),
    (
        "application/json-patch+json",
        r#"[{"op":"add","path":"/TokenManagementInfo","value":{"Provider":"et","AccessToken":"f"}}]"#,
    ),
    (
        "application/merge-patch+json",
        r#"{"TokenManagementInfo":{"Provider":"et","AccessToken":"fugit"}}"#,
    ),
    // This type is not read: 415, but only for an accepted caller.
    ("text/plain", "CANARY"),
];

type Headers = Vec<(&'static str, String)>;

/// A server with all users, applications and credentials of the matrix.
struct Stage {
    app: TestApp,
    issuer: Issuer,
    rival: Issuer,
    application: String,
    disabled_application: String,
    application_of_others: String,
    session: Session,
    other_session: Session,
    /// A key for the token endpoint.
    key: String,
}

impl Stage {
    fn new(installation: &str) -> Self {
        let (issuer, rival) = (Issuer::new("1"), Issuer::new("1"));
        let setup = issuer::trusting(with_endpoint(Setup::new()), &[&issuer])
            .with("INSTALLATION", installation)
            .with("TENANTS", "path")
            .with("ONLINE__USER_AGENT", "*")
            .with("AUTH__THROTTLE__PER_USER", "100000")
            .with("AUTH__THROTTLE__PER_ADDRESS", "100000");
        let app = setup.start();
        for login in ["gone", "changed"] {
            app.add_user(login);
        }
        app.admin(&["user", "add", "other", "--tenant", "others", "--password-stdin"]);
        let add = |name: &str, tenant| app.admin(&["app", "add", name, "--tenant", tenant]);
        let application = add("sync", "default");
        let disabled_application = add("former", "default");
        app.admin(&["app", "disable", "former"]);
        let application_of_others = add("foreign", "others");
        let session = app.client().sign_in("tje0", "Tje0");
        let other_session = app.client().sign_in("tje0", "Tje0");
        let visitor = app.client().with_authorization(None);
        let headers = [session.headers().to_vec(), vec![("Content-Type", BODIES[0].0)]].concat();
        let key = visitor.request("POST", SAVE, &headers, BODIES[0].1.as_bytes()).expect(200).key();
        Self {
            app,
            issuer,
            rival,
            application,
            disabled_application,
            application_of_others,
            session,
            other_session,
            key,
        }
    }

    /// An access token of this server.
    fn access_token(&self, session: &Session) -> String {
        let visitor = self.app.client().with_authorization(None);
        let path = "/api/v1/User/currentToken";
        visitor.request("GET", path, &session.headers(), b"").expect(200).key()
    }

    fn jwt(&self, claims: &serde_json::Value) -> String {
        const TENANT: &str = "http://schemes.superoffice.net/identity/ctx";
        let mut all = json!({ TENANT: "Default" });
        for (name, value) in claims.as_object().expect("claims") {
            all[name.replace("ctx", TENANT)] = value.clone();
        }
        self.issuer.token(&all)
    }

    fn set(&self, id: &str, change: &str) {
        let sql = format!("UPDATE credentials SET {change} WHERE id = '{id}'");
        assert_eq!(self.app.sql(&sql), 1, "{sql}");
    }

    fn expire(&self, id: &str) {
        // A second ago.
        self.set(id, &format!("expires = {} - 1000000", Database::NOW));
    }

    /// The headers of a row of the matrix.
    fn headers(&self, credential: &str) -> Headers {
        let app = &self.app;
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let login = |value: String| vec![("Authorization", value)];
        let password = || login(basic("tje0:Tje0"));
        let ticket = || login(format!("SoTicket {}", app.ticket("tje0")));
        let bearer = |token: &str| login(format!("Bearer {token}"));
        let with = |mut headers: Headers, name, value: &str| {
            headers.push((name, value.to_owned()));
            headers
        };
        let app_token = |headers, token: &str| with(headers, "SO-AppToken", token);
        let known_application = |headers| app_token(headers, &self.application);
        let cookie = |session: &Session| vec![("Cookie", session.cookie.clone())];
        let session =
            |session: &Session| with(cookie(session), "X-XSRF-TOKEN", &session.xsrf_token);
        let wrong_number = |ticket: &str| encode(&format!("{};1", guid(ticket)));
        let former_user = |login: &str| {
            let session = app.client().sign_in(login, "CANARY-password");
            let credentials = (app.ticket(login), self.access_token(&session), session);
            match login {
                "gone" => app.admin(&["user", "disable", login]),
                _ => app.admin(&["user", "password", login, "--password-stdin"]),
            };
            credentials
        };
        match credential {
            "nothing" => vec![],
            "application alone" => known_application(vec![]),
            "xsrf token alone" => with(vec![], "X-XSRF-TOKEN", &self.session.xsrf_token),

            "password" => password(),
            "password and application" => known_application(password()),
            "password and session" => [password(), session(&self.session)].concat(),
            "password, wrong" => login(basic("tje0:tje0")),
            "password, empty" => login(basic("tje0:")),
            "password of nobody" => login(basic("nobody:Tje0")),
            "password of a disabled user" => {
                app.admin(&["user", "disable", "gone"]);
                login(basic("gone:CANARY-password"))
            }
            "password, then any colon" => login(basic("tje0:Tje0:")),
            "basic without a colon" => login(basic("tje0Tje0")),
            "basic without a user" => login(basic(":Tje0")),
            "basic that is no base64" => login("Basic %".to_owned()),
            "basic that is no UTF-8" => login("Basic /zph".to_owned()),
            "basic with a control character" => login(basic("tje0:\u{7}Tje0")),
            "basic of 64 KB" => login(basic(&format!("tje0:{}", "x".repeat(48 * 1024)))),

            "ticket" => ticket(),
            "ticket and application" => known_application(ticket()),
            "ticket in capitals" => {
                known_application(login(format!("SOTICKET {}", app.ticket("tje0"))))
            }
            "ticket as user name" => login(basic(&format!("{}:", app.ticket("tje0")))),
            "ticket as user name, with a password" => {
                login(basic(&format!("{}:x", app.ticket("tje0"))))
            }
            "ticket of the wrong number" => {
                known_application(login(format!("SoTicket {}", wrong_number(&app.ticket("tje0")))))
            }
            "ticket of an unknown guid" => {
                let ticket = encode(&format!("{};1", "0".repeat(32)));
                known_application(login(format!("SoTicket {ticket}")))
            }
            "ticket that is no base64" => known_application(login("SoTicket 7T:%".to_owned())),
            "ticket of odd length" => known_application(login("SoTicket 7T:YWJj".to_owned())),
            "ticket that expired" => {
                let ticket = app.ticket("tje0");
                self.expire(&guid(&ticket));
                known_application(login(format!("SoTicket {ticket}")))
            }
            "ticket that was revoked" => {
                let ticket = app.ticket("tje0");
                app.admin(&["ticket", "revoke", &guid(&ticket)]);
                known_application(login(format!("SoTicket {ticket}")))
            }
            "ticket of a disabled user" => {
                app.admin(&["user", "enable", "gone"]);
                let (ticket, ..) = former_user("gone");
                known_application(login(format!("SoTicket {ticket}")))
            }
            "ticket from before the password" => {
                let (ticket, ..) = former_user("changed");
                known_application(login(format!("SoTicket {ticket}")))
            }
            "ticket of another tenant" => {
                let ticket = app.admin(&["ticket", "issue", "other", "--tenant", "others"]);
                known_application(login(format!("SoTicket {ticket}")))
            }
            "ticket naming another tenant" => {
                let plain = decode(&app.ticket("tje0")).replace(";default", ";others");
                known_application(login(format!("SoTicket {}", encode(&plain))))
            }
            "ticket and unknown application" => app_token(ticket(), &"0".repeat(32)),
            "ticket and malformed application" => app_token(ticket(), "CANARY"),
            "ticket and disabled application" => app_token(ticket(), &self.disabled_application),
            "ticket and application of others" => app_token(ticket(), &self.application_of_others),

            "access token" => bearer(&self.access_token(&self.session)),
            "access token and application" => {
                known_application(bearer(&self.access_token(&self.session)))
            }
            "access token and unknown application" => {
                app_token(bearer(&self.access_token(&self.session)), &"0".repeat(32))
            }
            "access token, wrong" => {
                let token = self.access_token(&self.session);
                bearer(&format!("{}{}", &token[..token.len() - 32], "0".repeat(32)))
            }
            "access token, malformed" => bearer("8A:default.x"),
            "access token that expired" => {
                let token = self.access_token(&self.session);
                let id = &token[11..43];
                self.app.sql(&format!("UPDATE credentials SET expires = 1 WHERE id = '{id}'"));
                bearer(&token)
            }
            "access token of a disabled user" => {
                app.admin(&["user", "enable", "gone"]);
                bearer(&former_user("gone").1)
            }
            "access token of another tenant" => {
                bearer(&self.access_token(&self.session).replace("8A:default", "8A:others"))
            }
            "ticket as access token" => bearer(&app.ticket("tje0")),
            "jwt" => bearer(&self.jwt(&json!({}))),
            "jwt of another key" => bearer(&self.rival.token(&json!({}))),
            "jwt that expired" => bearer(&self.jwt(&json!({"exp": 1}))),
            "jwt of another issuer" => bearer(&self.jwt(&json!({"iss": "https://other.example"}))),
            "jwt for another audience" => bearer(&self.jwt(&json!({"aud": "other"}))),
            "jwt without a signature" => {
                let token = self.jwt(&json!({}));
                bearer(&token[..=token.rfind('.').expect("a signature")])
            }
            "jwt of a disabled user" => {
                app.admin(&["user", "disable", "gone"]);
                bearer(&self.jwt(&json!({"sub": "gone"})))
            }
            "jwt of another tenant" => bearer(&self.jwt(&json!({"ctx": "others"}))),

            "session" => session(&self.session),
            "session and application" => known_application(session(&self.session)),
            "session without xsrf token" => cookie(&self.session),
            "session with a wrong xsrf token" => with(cookie(&self.session), "X-XSRF-TOKEN", "eHg"),
            "session with another's xsrf token" => {
                with(cookie(&self.session), "X-XSRF-TOKEN", &self.other_session.xsrf_token)
            }
            "session with an empty xsrf token" => with(cookie(&self.session), "X-XSRF-TOKEN", ""),
            "session that is malformed" => {
                let cookie = "latchkey-session=CANARY".to_owned();
                with(vec![("Cookie", cookie)], "X-XSRF-TOKEN", &self.session.xsrf_token)
            }
            "session of nobody" => {
                let cookie = format!("latchkey-session={}", "0".repeat(64));
                with(vec![("Cookie", cookie)], "X-XSRF-TOKEN", &self.session.xsrf_token)
            }
            "session that expired" => {
                let expired = app.client().sign_in("tje0", "Tje0");
                self.expire(&expired.cookie[17..49]);
                session(&expired)
            }
            "session that was signed out" => {
                let over = app.client().sign_in("tje0", "Tje0");
                let form = format!("XSRF_TOKEN={}", over.xsrf_token);
                let headers = [
                    ("Cookie", &*over.cookie),
                    ("Content-Type", "application/x-www-form-urlencoded"),
                ];
                let visitor = app.client().with_authorization(None);
                visitor.request("POST", "/sign-out", &headers, form.as_bytes()).expect(303);
                session(&over)
            }
            "session from before the password" => session(&former_user("changed").2),
            "access token as session" => {
                let token = self.access_token(&self.session);
                let cookie = format!("latchkey-session={}", &token[11..]);
                with(vec![("Cookie", cookie)], "X-XSRF-TOKEN", &self.session.xsrf_token)
            }

            "two passwords" => [password(), password()].concat(),
            "password and ticket" => [password(), ticket()].concat(),
            "password and ticket in one header" => {
                login(format!("{}, SoTicket {}", basic("tje0:Tje0"), app.ticket("tje0")))
            }
            "ticket and access token in one header" => {
                login(format!("SoTicket {}, Bearer 8A:default.x", app.ticket("tje0")))
            }
            "another scheme" => login("Digest CANARY".to_owned()),
            "no scheme" => login(STANDARD.encode("tje0:Tje0")),
            "session as scheme" => login("Session CANARY".to_owned()),
            other => panic!("{other} is not staged"),
        }
    }
}

/// Encodes the parts of a ticket.
fn encode(plain: &str) -> String {
    let bytes: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
    format!("7T:{}", STANDARD.encode(bytes))
}

/// Decodes a ticket into its parts.
fn decode(ticket: &str) -> String {
    let bytes = STANDARD.decode(ticket.strip_prefix("7T:").expect("7T:")).expect("base64");
    let (units, _) = bytes.as_chunks::<2>();
    let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    String::from_utf16(&units).expect("UTF-16")
}

fn guid(ticket: &str) -> String {
    decode(ticket).split(';').next().expect("a guid").to_owned()
}

/// Asserts an outcome of the matrix: the status, the type of error, and whether a bearer token is rejected.
fn expect(outcome: &str, content_type: &str, offered: &[&str], answer: &Answer, row: &str) {
    let (status, error_type) = match outcome {
        "in" if content_type == "text/plain" => (415, "NotSupportedException"),
        "in" => (200, ""),
        "login" | "token" => (401, "SoSessionException"),
        "denied" => (403, "SoSentryException"),
        "twice" => (400, "ArgumentException"),
        other => panic!("{other} is no outcome"),
    };
    assert_eq!(answer.status, status, "{row}, {content_type}: {answer:?}");
    if status == 200 {
        let is_answered = ["\"lk_", "{\"Items\":"].iter().any(|text| answer.body.starts_with(text));
        assert!(is_answered, "{row}: {answer:?}");
        return;
    }
    assert_eq!(answer.json()["ErrorType"], error_type, "{row}: {answer:?}");
    let challenges = answer.challenges();
    assert_eq!(challenges, if status == 401 { offered } else { &[] }, "{row}");
    let refuses_token =
        format!("{:?}", answer.headers.get_all("WWW-Authenticate")).contains("invalid_token");
    assert_eq!(refuses_token, outcome == "token", "{row}: {answer:?}");
    assert!(!answer.body.contains("CANARY"), "{row}: {answer:?}");
}

/// Like `expect`, for the token endpoint.
fn expect_of_oauth(outcome: &str, offered: &[&str], answer: &Answer, row: &str) {
    let (status, code) = match outcome {
        "in" => (200, ""),
        "login" | "token" => (401, "invalid_client"),
        "denied" => (400, "unauthorized_client"),
        "twice" => (400, "invalid_request"),
        other => panic!("{other} is no outcome"),
    };
    assert_eq!(answer.status, status, "{row}: {answer:?}");
    let (part, expected) = if status == 200 { ("access_token", "fugit") } else { ("error", code) };
    assert_eq!(answer.json()[part], expected, "{row}: {answer:?}");
    assert_eq!(answer.challenges(), if status == 401 { offered } else { &[] }, "{row}");
}

/// Runs the column of an installation; returns the number of calls.
fn run(installation: &str, column: usize, offered: &[&str]) -> usize {
    let stage = Stage::new(installation);
    let client = stage.app.client().with_authorization(None);
    let mut calls = 0;
    for row in MATRIX.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
        let [credential, outcomes @ ..] = cells.as_slice() else { panic!("{row}") };
        assert_eq!(outcomes.len(), 2, "{row}");
        let headers = stage.headers(credential);
        for (content_type, body) in BODIES {
            let mut all: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            all.push(("Content-Type", content_type));
            let answer = client.request("POST", SAVE, &all, body.as_bytes());
            expect(outcomes[column], content_type, offered, &answer, credential);
            calls += 1;
        }
        // The other agent accepts the same callers.
        let mut all: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        all.push(("Content-Type", "application/json"));
        let answer = client.request("POST", LIST, &all, b"{}");
        expect(outcomes[column], "application/json", offered, &answer, credential);
        // The token endpoint accepts them too, and reports errors in the terms of OAuth.
        all.pop();
        all.push(("Content-Type", "application/x-www-form-urlencoded"));
        let answer = client.request("POST", TOKEN, &all, exchanging(&stage.key).as_bytes());
        expect_of_oauth(outcomes[column], offered, &answer, credential);
        calls += 2;
    }
    calls
}

/// CONTRACT 25, 26, 27, 28, 29, 30, 35, 62.
#[test]
fn onsite_every_caller_is_admitted_or_refused_with_a_reason() {
    let calls = run("onsite", 0, &["Basic", "SoTicket", "Bearer", "Session"]);
    assert!(calls > 500, "{calls}");
}

/// CONTRACT 25, 26, 27, 28, 29, 30, 35, 62.
#[test]
fn online_every_caller_is_admitted_or_refused_with_a_reason() {
    let calls = run("online", 1, &["SoTicket", "Bearer", "Session"]);
    assert!(calls > 500, "{calls}");
}
