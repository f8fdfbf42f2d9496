//! Requests to the token endpoint: its path, the types that it reads, and its callers (CONTRACT O18, 61, 62, 63).
//!
//! Invariant: callers authenticate as for every other call.

use model::{RecordId, RetrievalKey};
use serde_json::json;

use super::{
    FORM, TOKEN, TOKEN_EXCHANGE, exchange, exchanging, expect_error, fields, form, with_endpoint,
};
use crate::support::{
    app::{Setup, TestApp},
    client::Client,
};

/// CONTRACT 1, O7, O18: the endpoint exists only if it is switched on, below the prefix and the tenant.
#[test]
fn it_is_off_by_default() {
    let setup = Setup::new().with("TENANTS", "path").with("SERVER__PATH_PREFIX", "/SO");
    let documented = |app: &TestApp| {
        let document = app.client().request("GET", "/api/openapi.json", &[], b"").expect(200);
        let index = app.client().request("GET", "/api/v1", &[], b"").expect(200);
        let parts =
            [document.body.contains("\"OAuth\""), document.json()["paths"].get(TOKEN).is_some()];
        (parts, index.body.contains(TOKEN))
    };
    let app = setup.start();
    let key = app.client().save(&json!({ "Provider": "et", "AccessToken": "CANARY" }));
    for method in ["POST", "GET", "OPTIONS", "PUT"] {
        let unknown = app.client().request(method, "/oauth2/tokenX", &[FORM], b"").expect(404);
        let off = app.client().request(method, TOKEN, &[FORM], b"").expect(404);
        assert_eq!(off.json()["Message"], unknown.json()["Message"]);
        assert_eq!(off.json()["ErrorType"], "SoNotFoundException");
    }
    assert_eq!(documented(&app), ([false, false], false));
    let app = with_endpoint(app.stop()).start();
    assert_eq!(documented(&app), ([true, true], true));
    assert_eq!(exchange(&app.client(), &key).expect(200).json()["access_token"], "CANARY");
    let upper = "/OAuth2/Token/";
    let sent = exchanging(&key);
    app.client().request("POST", upper, &[FORM], sent.as_bytes()).expect(200);
    let options = app.client().request("OPTIONS", TOKEN, &[], b"").expect(204);
    assert_eq!((options.header("Allow"), options.header("Accept-Post")), ("POST, OPTIONS", FORM.1));
    for method in ["GET", "PUT", "DELETE"] {
        let refused = app.client().request(method, TOKEN, &[], b"");
        let refused = expect_error(refused, 405, "invalid_request", "POST, OPTIONS");
        assert_eq!(refused.header("Allow"), "POST, OPTIONS");
    }
    let refusal = setup.with("GRANTS__TOKEN_ENDPOINT", "maybe").refusal();
    assert!(refusal.contains("grants.token_endpoint"), "{refusal}");
}

/// CONTRACT 13, 34, 61, 63: the endpoint reads one form, of at most 16 KiB, and ignores `Accept` and the language.
#[test]
fn the_body_is_a_form_and_the_answer_json() {
    let app = with_endpoint(Setup::new()).start();
    let client = app.client();
    let key = client.save(&json!({ "Provider": "et", "AccessToken": "CANARY" }));
    let sent = exchanging(&key);
    let post = |headers: &[(&str, &str)], body: &str| {
        client.request("POST", TOKEN, headers, body.as_bytes())
    };
    let browser =
        [FORM, ("Accept", "text/html"), ("Accept-Language", "fi"), ("SO-TimeZone", "CANARY")];
    assert_eq!(post(&browser, &sent).expect(200).json()["access_token"], "CANARY");
    expect_error(post(&browser, ""), 400, "invalid_request", "grant_type is required.");
    for headers in [&[("Content-Type", "application/json")][..], &[("Content-Type", "CANARY")], &[]]
    {
        let body = json!({ "grant_type": TOKEN_EXCHANGE, "subject_token": key }).to_string();
        let refused = expect_error(post(headers, &body), 415, "invalid_request", FORM.1);
        assert_eq!(refused.header("Accept-Post"), FORM.1);
    }
    expect_error(post(&[FORM], "{\"a\":1}"), 400, "invalid_request", "JSON");
    expect_error(post(&[FORM], "grant_type=%FF"), 400, "invalid_request", "utf-8");
    let long = format!("{sent}&x={}", "x".repeat(16 * 1024));
    expect_error(post(&[FORM], &long), 413, "invalid_request", "16");
    let latin = [("Content-Type", "application/x-www-form-urlencoded; charset=iso-8859-1")];
    post(&latin, &sent).expect(200);
    let host = [FORM, ("Host", "other.example")];
    expect_error(post(&host, &sent), 421, "invalid_request", "host");
}

/// CONTRACT 25, 33, 62, 63: the login is in the header or in the form. Wrong logins are throttled in the same way.
#[test]
fn a_caller_logs_in_as_for_any_call() {
    let app = with_endpoint(Setup::new()).with("AUTH__THROTTLE__PER_USER", "3").start();
    let client = app.client();
    let visitor = client.with_authorization(None);
    let key = client.save(&json!({ "Provider": "et", "AccessToken": "CANARY" }));
    let with = |more: &[(&'static str, &'static str)]| {
        let all = [fields(&key).to_vec(), more.to_vec()].concat();
        form(&all)
    };
    let login = [("client_id", "tje0"), ("client_secret", "Tje0")];
    let post = |client: &Client, headers: &[(&str, &str)], body: &str| {
        client.request("POST", TOKEN, &[&[FORM], headers].concat(), body.as_bytes())
    };
    let session = client.sign_in("tje0", "Tje0");
    let ticket = app.ticket("tje0");
    for (caller, headers, body) in [
        (&client, vec![], with(&[])),
        // A client id without a secret is ignored.
        (&client, vec![], with(&[("client_id", "somebody")])),
        (&client.with_authorization(Some(&format!("SoTicket {ticket}"))), vec![], with(&[])),
        (&visitor, session.headers().to_vec(), with(&[])),
        (&visitor, vec![], with(&login)),
    ] {
        assert_eq!(post(caller, &headers, &body).expect(200).json()["access_token"], "CANARY");
    }
    for body in [with(&[]), with(&login[..1]), with(&login[1..])] {
        let refused = expect_error(post(&visitor, &[], &body), 401, "invalid_client", "");
        assert_eq!(refused.challenges(), ["Basic", "SoTicket", "Bearer", "Session"]);
    }
    let two_ids = with(&[login[0], login[0]]);
    expect_error(post(&client, &[], &two_ids), 400, "invalid_request", "client_id occurs more");
    let twice = post(&client, &[], &with(&login));
    expect_error(twice, 400, "invalid_request", "Authorization or client_secret");
    let repeated = with(&[login[0], login[0], login[1]]);
    expect_error(post(&visitor, &[], &repeated), 400, "invalid_request", "client_id");
    let cookie_alone = post(&visitor, &session.headers()[..1], &with(&[]));
    expect_error(cookie_alone, 401, "invalid_client", "");

    // A browser sends a form from any page without asking the user. A wrong password in such a form does not count.
    let wrong = [("client_id", "ann"), ("client_secret", "CANARY")];
    for header in [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")] {
        for body in [with(&wrong), with(&wrong), with(&login)] {
            expect_error(post(&visitor, &[header], &body), 400, "unauthorized_client", "");
        }
    }
    // Scripts in a browser are not offered Basic, because the browser would show a password dialog. Scripts of Node
    // are.
    let (mode, site) = (("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Site", "same-origin"));
    let offers_basic = |headers: &[(&str, &str)]| {
        let refused = expect_error(post(&visitor, headers, &with(&[])), 401, "invalid_client", "");
        refused.challenges().contains(&"Basic")
    };
    assert!(offers_basic(&[mode]) && !offers_basic(&[mode, site]));

    let in_head = client.with_password("ann", "CANARY");
    expect_error(post(&visitor, &[], &with(&wrong)), 401, "invalid_client", "");
    expect_error(post(&in_head, &[], &with(&[])), 401, "invalid_client", "");
    expect_error(post(&visitor, &[], &with(&wrong)), 401, "invalid_client", "");
    for refused in [post(&visitor, &[], &with(&wrong)), post(&in_head, &[], &with(&[]))] {
        let refused = expect_error(refused, 429, "temporarily_unavailable", "passwords");
        assert!(refused.header("Retry-After").parse::<u64>().is_ok_and(|seconds| seconds > 0));
    }
}

/// CONTRACT 25, 30, 31, 62: online, passwords are not accepted, and the endpoint is closed together with the agents.
#[test]
fn online_it_is_closed_as_the_agents_are() {
    let setup = with_endpoint(Setup::new()).with("INSTALLATION", "online");
    let app = setup.start();
    let application = app.admin(&["app", "add", "partner"]);
    let ticket = format!("SoTicket {}", app.ticket("tje0"));
    let visitor = app.client().with_authorization(None);
    let by_ticket = app.client().with_authorization(Some(&ticket));
    let known = [FORM, ("SO-AppToken", application.as_str())];
    let sent = exchanging("lk_none");
    let closed = by_ticket.request("POST", TOKEN, &known, sent.as_bytes());
    expect_error(closed, 400, "unauthorized_client", "");
    let app = app.stop().with("ONLINE__USER_AGENT", "default/partner").start();
    let at = |client: &Client| client.at(&app.url);
    let key_unknown = RetrievalKey::new(RecordId::at(0, 0), &[7; 32]);
    let sent = exchanging(key_unknown.expose());
    let open = at(&by_ticket).request("POST", TOKEN, &known, sent.as_bytes());
    expect_error(open, 400, "invalid_grant", "retrieves nothing");
    let no_application = at(&by_ticket).request("POST", TOKEN, &[FORM], sent.as_bytes());
    expect_error(no_application, 401, "invalid_client", "");
    let secret = format!("{sent}&client_id=tje0&client_secret=Tje0");
    let refused = at(&visitor).request("POST", TOKEN, &known, secret.as_bytes());
    let refused = expect_error(refused, 401, "invalid_client", "");
    assert_eq!(refused.challenges(), ["SoTicket", "Bearer", "Session"]);
}
