//! The caller's identity, and a token for the caller (CONTRACT O8, O16).

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp},
    client::{Answer, Client},
    issuer::{self, Issuer},
};

const CURRENT_TOKEN: &str = "/api/v1/User/currentToken";

/// The members of SuperOffice's `SoPrincipalCarrier` in its order, then those of this server.
const MEMBERS: [&str; 31] = [
    "UserType",
    "Associate",
    "AssociateId",
    "IsPerson",
    "PersonId",
    "CountryId",
    "HomeCountryId",
    "ContactId",
    "GroupId",
    "BusinessId",
    "CategoryId",
    "ContactOwner",
    "RoleId",
    "RoleName",
    "RoleDescription",
    "RoleType",
    "Licenses",
    "FullName",
    "EMailAddress",
    "FunctionRights",
    "EjUserId",
    "EjAccessLevel",
    "EjUserStatus",
    "ProvidedCredentials",
    "SecondaryGroups",
    "DatabaseContextIdentifier",
    "UserName",
    "UserPrincipalName",
    "IsAdministrator",
    "AuthenticationType",
    "Application",
];

/// The expected answer about the sample user, in the order of `MEMBERS`, with these members replaced.
fn principal(others: &Value) -> Value {
    let mut all = json!({
        "UserType": "InternalAssociate", "Associate": "tje0", "AssociateId": 0, "IsPerson": true,
        "PersonId": 0, "CountryId": 0, "HomeCountryId": 0, "ContactId": 0, "GroupId": 0,
        "BusinessId": 0, "CategoryId": 0, "ContactOwner": 0, "RoleId": 0,
        "RoleName": "Administrator", "RoleDescription": "", "RoleType": "Employee",
        "Licenses": [], "FullName": "tje0", "EMailAddress": "", "FunctionRights": [],
        "EjUserId": 0, "EjAccessLevel": 0, "EjUserStatus": "StatusNone",
        "ProvidedCredentials": [], "SecondaryGroups": [],
        "DatabaseContextIdentifier": "default", "UserName": "tje0", "UserPrincipalName": null,
        "IsAdministrator": true, "AuthenticationType": "Basic", "Application": null
    });
    for (name, value) in others.as_object().expect("members") {
        all[name] = value.clone();
    }
    all
}

/// CONTRACT O8: the caller's identity, for every scheme and in every type.
#[test]
fn every_caller_gets_its_principal() {
    let app = TestApp::new();
    let expected = |scheme: &str| principal(&json!({ "AuthenticationType": scheme }));
    assert_eq!(app.client().who(&[]).expect(200).json(), expected("Basic"));
    let ticket = format!("SoTicket {}", app.ticket("tje0"));
    let by_ticket = app.client().with_authorization(Some(&ticket));
    assert_eq!(by_ticket.who(&[]).expect(200).json(), expected("SoTicket"));
    let visitor = app.client().with_authorization(None);
    let session = app.client().sign_in("tje0", "Tje0");
    assert_eq!(visitor.who(&session.headers()).expect(200).json(), expected("Session"));
    let path = "/api/v1/user/CURRENTPRINCIPAL/?$select=associate";
    let selected = app.client().request("GET", path, &[], b"").expect(200).json();
    assert_eq!(
        (&selected["Associate"], &selected["IsAdministrator"]),
        (&json!("tje0"), &json!(false))
    );
    visitor.who(&[]).expect_error(401, "SoSessionException", "This call needs a login");
    app.client().request("POST", path, &[], b"").expect(405);
}

/// CONTRACT O8, 28: the token works for Bearer, for an hour, and cannot be used to get another token.
#[test]
fn a_token_is_good_for_bearer() {
    let app = TestApp::new();
    let answer = app.client().request("GET", CURRENT_TOKEN, &[], b"").expect(200);
    assert_eq!(answer.header("Cache-Control"), "no-store");
    let token = answer.json().as_str().expect("a token").to_owned();
    assert!(token.starts_with("8A:default."), "{token}");
    let bearer = app.client().with_authorization(Some(&format!("Bearer {token}")));
    assert_eq!(bearer.who(&[]).expect(200).json()["AuthenticationType"], "Bearer");
    let same = bearer.request("GET", CURRENT_TOKEN, &[], b"").expect(200).json();
    assert_eq!(same, json!(token));
    let hour = "expires - created BETWEEN 3600000000 AND 4200000000 AND kind = 'access_token'";
    assert_eq!(app.sql(&format!("UPDATE credentials SET expires = 1 WHERE {hour}")), 1);
    bearer.who(&[]).expect_error(401, "SoSessionException", "malformed, expired or not meant");
    assert!(app.files_with(&token[12..]).is_empty(), "the token is in the database");
}

/// CONTRACT O8, 28: a token ends together with the ticket or the session that it was made from. A HEAD makes no token.
#[test]
fn a_token_ends_with_what_it_was_made_from() {
    let app = TestApp::new();
    let visitor = app.client().with_authorization(None);
    let session = visitor.sign_in("tje0", "Tje0");
    let by_session = visitor.request("GET", CURRENT_TOKEN, &session.headers(), b"").key();
    let ticket = app.ticket("tje0");
    let by_ticket = app.client().with_authorization(Some(&format!("SoTicket {ticket}")));
    let by_ticket = by_ticket.request("GET", CURRENT_TOKEN, &[], b"").key();
    let by_password = app.client().request("GET", CURRENT_TOKEN, &[], b"").key();
    app.client().request("HEAD", CURRENT_TOKEN, &[], b"").expect(200);
    let tokens = "UPDATE credentials SET kind = kind WHERE kind = 'access_token'";
    assert_eq!(app.sql(tokens), 3);

    let status = |token: &str| {
        app.client().with_authorization(Some(&format!("Bearer {token}"))).who(&[]).status
    };
    let form = [
        ("Cookie", session.cookie.as_str()),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let fields = format!("XSRF_TOKEN={}", session.xsrf_token);
    visitor.request("POST", "/sign-out", &form, fields.as_bytes()).expect(303);
    assert_eq!([&by_session, &by_ticket, &by_password].map(|token| status(token)), [401, 200, 200]);
    let listed = app.admin(&["ticket", "list", "--output", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    app.admin(&["ticket", "revoke", listed[0]["id"].as_str().expect("an id")]);
    assert_eq!([&by_session, &by_ticket, &by_password].map(|token| status(token)), [401, 401, 200]);
}

/// CONTRACT O8, 25: no token is made if the server would not accept it.
#[test]
fn where_bearer_is_off_there_is_no_token() {
    let app = Setup::new().with("AUTH__SCHEMES__BEARER", "false").start();
    let answer = app.client().request("GET", CURRENT_TOKEN, &[], b"");
    answer.expect_error(403, "SoSentryException", "auth.schemes.bearer");
    get_access_token(&app.client(), &[], &json!({})).expect_error(
        403,
        "SoSentryException",
        "auth.schemes.bearer",
    );
    assert_eq!(app.sql("UPDATE credentials SET kind = kind"), 0);
}

/// CONTRACT O8, 28: the principal of a JWT. A bearer that is not a user of this server gets its own token back, and no
/// ticket.
#[test]
fn a_jwt_tells_who_its_bearer_is() {
    let issuer = Issuer::new("1");
    let app = issuer::trusting(Setup::new(), &[&issuer]).start();
    let prefix = "http://schemes.superoffice.net/identity/";
    let token = issuer.token(&json!({
        "sub": "ann@example.com", format!("{prefix}associateid"): "7",
        format!("{prefix}is_administrator"): "True", format!("{prefix}upn"): "ann",
        format!("{prefix}email"): "ann@example.com", format!("{prefix}ctx"): "default"
    }));
    let bearer = app.client().with_authorization(Some(&format!("Bearer {token}")));
    let expected = principal(&json!({
        "Associate": "ann@example.com", "AssociateId": 7, "FullName": "ann@example.com",
        "EMailAddress": "ann@example.com", "UserName": "ann@example.com",
        "UserPrincipalName": "ann", "AuthenticationType": "Bearer"
    }));
    assert_eq!(bearer.who(&[]).expect(200).json(), expected);
    let same = bearer.request("GET", CURRENT_TOKEN, &[], b"").expect(200).json();
    assert_eq!(same, json!(token));
    assert_eq!(get_access_token(&bearer, &[], &json!({})).expect(200).json(), json!(token));
    // This number exceeds 32 bits, so SuperOffice's clients could not read it.
    let large = issuer.token(&json!({ format!("{prefix}associateid"): "2147483648" }));
    let large = app.client().with_authorization(Some(&format!("Bearer {large}")));
    assert_eq!(large.who(&[]).expect(200).json()["AssociateId"], 0);
    let key = bearer.save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    assert_eq!(bearer.get(&key)["TableRight"]["Mask"], "FULL");
    let no_login = issuer.token(&json!({"sub": "urn:a:b"}));
    let refused = app.client().with_authorization(Some(&format!("Bearer {no_login}")));
    refused.who(&[]).expect(401);
}

/// CONTRACT O8, 14, 16, 17: every member, in SuperOffice's order, in every type and language. `$select` limits them to
/// the named ones.
#[test]
fn the_principal_is_superoffices_carrier() {
    let app = TestApp::new();
    let client = app.client();
    // In the order of the answer's text.
    let members = |answer: &Answer| -> Vec<&str> {
        let mut members: Vec<(usize, &str)> = Vec::new();
        for name in MEMBERS {
            members.extend(answer.body.find(&format!("\"{name}\":")).map(|at| (at, name)));
        }
        let count = answer.json().as_object().expect("an object").len();
        assert_eq!(count, members.len(), "{answer:?}");
        members.sort_unstable();
        members.into_iter().map(|(_, name)| name).collect()
    };
    for accept in [
        "application/json",
        "text/json",
        "application/json-patch+json",
        "application/merge-patch+json",
    ] {
        for culture in ["", "nb-NO", "de-AT"] {
            let headers = [("Accept", accept), ("Accept-Language", "nb"), ("SO-Culture", culture)];
            let answer = client.who(&headers).expect(200);
            assert_eq!(answer.header("Content-Type"), format!("{accept}; charset=utf-8"));
            assert_eq!(members(&answer), MEMBERS);
            assert_eq!(answer.json(), principal(&json!({})));
        }
    }
    for accept in ["application/xml", "text/xml"] {
        let xml = client.who(&[("Accept", accept)]).expect(200).body;
        assert!(
            xml.contains(
                "?><SoPrincipalCarrier><UserType>InternalAssociate</UserType><Associate>tje0"
            ),
            "{xml}"
        );
        let at = |name: &&str| xml.find(&format!("<{name}>"));
        let found: Vec<usize> = MEMBERS[..27].iter().filter_map(at).collect();
        assert!(found.len() == 27 && found.is_sorted(), "{xml}");
    }
    let path = "/api/v1/User/currentPrincipal?$select=personid,Licenses,userName";
    let selected = client.request("GET", path, &[], b"").expect(200);
    assert_eq!(members(&selected), MEMBERS);
    let selected = selected.json();
    let empty = [json!(null), json!(0), json!(false), json!([])];
    let kept: Vec<_> = MEMBERS.iter().filter(|name| !empty.contains(&selected[**name])).collect();
    assert_eq!(kept, [&"UserName"], "numbers, truth values and lists are never null");
    assert_eq!((&selected["PersonId"], &selected["Licenses"]), (&json!(0), &json!([])));
    app.add_user("ann");
    let ann = client.with_password("ann", "CANARY-password").who(&[]).expect(200).json();
    assert_eq!((&ann["RoleName"], &ann["IsAdministrator"]), (&json!("User"), &json!(false)));

    let document = client.request("GET", "/api/openapi.json", &[], b"").expect(200).json();
    let schema = &document["components"]["schemas"]["SoPrincipalCarrier"]["properties"];
    let documented = schema.as_object().expect("properties");
    assert_eq!(documented.len(), MEMBERS.len());
    assert!(MEMBERS.iter().all(|name| documented.contains_key(*name)), "{schema:#}");
    assert_eq!(schema["PersonId"], json!({"type": "integer", "format": "int32"}));
    assert_eq!(schema["SecondaryGroups"]["items"], json!({"type": "integer", "format": "int32"}));
}

/// CONTRACT O8, 25, 28: by default, both onsite and online accept this server's own tokens and reject every JWT.
#[rstest]
#[case("onsite", &["Basic", "SoTicket", "Bearer", "Session"])]
#[case("online", &["SoTicket", "Bearer", "Session"])]
fn own_tokens_are_accepted_by_default(#[case] installation: &str, #[case] schemes: &[&str]) {
    let app = Setup::new().with("INSTALLATION", installation).start();
    let visitor = app.client().with_authorization(None);
    let session = app.client().sign_in("tje0", "Tje0");
    let token = visitor.request("GET", CURRENT_TOKEN, &session.headers(), b"").expect(200).key();
    let bearer = app.client().with_authorization(Some(&format!("Bearer {token}")));
    bearer.who(&[]).expect(200);
    let jwt = format!("Bearer {}", Issuer::new("1").token(&json!({})));
    let refused = app.client().with_authorization(Some(&jwt)).who(&[]);
    let refused = refused.expect_error(401, "SoSessionException", "auth.bearer");
    assert_eq!(refused.challenges(), schemes);
    let challenges = format!("{:?}", refused.headers.get_all("WWW-Authenticate"));
    assert!(challenges.contains("invalid_token"), "{challenges}");
    assert_eq!(visitor.who(&[]).expect(401).challenges(), schemes);
}

/// CONTRACT O8, 28: the log-in flows of AspNet.Security.OAuth.SuperOffice and of next-auth end with this request. They
/// read these members of its answer.
#[rstest]
#[case::asp_net(&[("Accept", "application/json")])]
#[case::next_auth(&[("Accept", "*/*"), ("Accept-Language", "*"), ("Sec-Fetch-Mode", "cors"), ("User-Agent", "next-auth")])]
fn log_in_flows_read_who_is_calling(#[case] headers: &[(&str, &str)]) {
    let issuer = Issuer::new("1");
    let app = issuer::trusting(Setup::new(), &[&issuer]).start();
    let own = app.client().request("GET", CURRENT_TOKEN, &[], b"").expect(200).key();
    let prefix = "http://schemes.superoffice.net/identity/";
    let jwt = issuer.token(&json!({
        format!("{prefix}ctx"): "default", format!("{prefix}email"): "tje0@example.com"
    }));
    for token in [own, jwt] {
        let bearer = app.client().with_authorization(Some(&format!("Bearer {token}")));
        let answer = bearer.who(headers).expect(200);
        assert_eq!(answer.header("Content-Type"), "application/json; charset=utf-8");
        let caller = answer.json();
        for id in ["AssociateId", "ContactId", "PersonId", "GroupId", "RoleId"] {
            let number = caller[id].as_i64().unwrap_or_else(|| panic!("{id}: {caller}"));
            assert!(i32::try_from(number).is_ok(), "{id}: {caller}");
        }
        for text in ["FullName", "UserName", "RoleName", "DatabaseContextIdentifier"] {
            let text = caller[text].as_str().unwrap_or_else(|| panic!("{text}: {caller}"));
            assert!(!text.is_empty(), "{caller}");
        }
        assert!(caller["EMailAddress"].is_string(), "{caller}");
    }
}

fn get_access_token(client: &Client, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers = [&[("Content-Type", "application/json")], headers].concat();
    let path = "/api/v1/Agents/User/GetAccessToken";
    client.request("POST", path, &headers, body.to_string().as_bytes())
}

/// CONTRACT O5, O16, 9–12, 16, 35: the agent's form of `currentToken`, in every type. A GET describes it, and an error
/// names a property of the wrong type.
#[test]
fn the_agent_has_a_token() {
    let app = TestApp::new();
    let client = app.client();
    let current = client.request("GET", CURRENT_TOKEN, &[], b"").expect(200).key();
    let path = "/api/v1/Agents/User/GetAccessToken";
    for (content_type, body) in [
        ("application/json", r#"{"AppToken":"","IncludeCsSession":false}"#),
        ("text/json", r#"{"appToken":null,"includeCsSession":true}"#),
        ("application/json", "{}"),
        (
            "application/xml",
            "<GetAccessToken><AppToken/><IncludeCsSession>true</IncludeCsSession></GetAccessToken>",
        ),
        ("text/xml", "<a/>"),
        ("application/x-www-form-urlencoded", "AppToken=&IncludeCsSession=false"),
        (
            "application/json-patch+json",
            r#"[{"op":"add","path":"/IncludeCsSession","value":false}]"#,
        ),
        ("application/merge-patch+json", r#"{"IncludeCsSession":false}"#),
    ] {
        let answer =
            client.request("POST", path, &[("Content-Type", content_type)], body.as_bytes());
        let token = answer.expect(200).key();
        // The period of a token may have ended in between.
        assert!(token.starts_with("8A:default."), "{token}");
        let bearer = client.with_authorization(Some(&format!("Bearer {token}")));
        bearer.who(&[]).expect(200);
        assert_eq!(get_access_token(&bearer, &[], &json!({})).expect(200).key(), token);
    }
    let xml = get_access_token(&client, &[("Accept", "application/xml")], &json!({})).expect(200);
    assert!(xml.body.contains("?><string>8A:default."), "{xml:?}");
    assert_eq!(current.len(), get_access_token(&client, &[], &json!({})).key().len());
    for (body, named) in [
        (json!({ "AppToken": 7 }), "AppToken must be a string"),
        (json!({ "IncludeCsSession": "perhaps" }), "IncludeCsSession must be a boolean"),
    ] {
        get_access_token(&client, &[], &body).expect_error(400, "ArgumentException", named);
    }
    let visitor = client.with_authorization(None);
    get_access_token(&visitor, &[], &json!({ "AppToken": 7 })).expect(401);
    let described = visitor.request("GET", path, &[("Accept", "application/json")], b"");
    let described = described.expect(200).json();
    let properties = described["Request"]["properties"].as_object().expect("properties");
    assert_eq!(properties.len(), 2, "{described:#}");
    assert!(["AppToken", "IncludeCsSession"].iter().all(|name| properties.contains_key(*name)));
    assert_eq!(described["Answer"]["type"], "string");
}

/// CONTRACT O16, 30, 31: `AppToken` has the same effect as `SO-AppToken`: the token is bound to its application.
#[test]
fn an_application_may_be_named_in_the_body() {
    let setup = Setup::new().with("INSTALLATION", "online").with("TENANTS", "path");
    let app = setup.with("ONLINE__USER_AGENT", "default/sync, default/former").start();
    let add = |name: &str, tenant| app.admin(&["app", "add", name, "--tenant", tenant]);
    let (sync, foreign, former) =
        (add("sync", "default"), add("foreign", "others"), add("former", "default"));
    let closed = add("closed", "default");
    app.admin(&["app", "disable", "former"]);
    let ticket = format!("SoTicket {}", app.ticket("tje0"));
    let client = app.client().with_authorization(Some(&ticket));
    let body = |token: &str| json!({ "AppToken": token, "IncludeCsSession": false });

    let token = get_access_token(&client, &[], &body(&sync)).expect(200).key();
    let bearer = app.client().with_authorization(Some(&format!("Bearer {token}")));
    assert_eq!(bearer.who(&[]).expect(200).json()["Application"], "sync");
    // The caller is the same, so the header yields the same token.
    let by_header = client.request("GET", CURRENT_TOKEN, &[("SO-AppToken", &sync)], b"");
    assert_eq!(by_header.expect(200).key().len(), token.len());
    let upper = sync.to_uppercase();
    let both = [("SO-AppToken", sync.as_str())];
    get_access_token(&client, &both, &body(&format!(" {upper} "))).expect(200);
    get_access_token(&client, &both, &body("")).expect(200);
    get_access_token(&bearer, &[], &body(&sync)).expect(200);
    get_access_token(&bearer, &[], &body("")).expect(200);

    let unknown = "0".repeat(32);
    for (token, status, said) in [
        ("", 401, "SO-AppToken is required"),
        (unknown.as_str(), 401, "registered, enabled application"),
        ("CANARY", 401, "registered, enabled application"),
        (&former, 401, "registered, enabled application"),
        (&foreign, 403, "not allowed for this tenant"),
        (&closed, 403, "online.user_agent"),
    ] {
        let refused = get_access_token(&client, &[], &body(token));
        let kind = if status == 401 { "SoSessionException" } else { "SoSentryException" };
        refused.expect_error(status, kind, said);
    }
    let two = get_access_token(&client, &both, &body(&unknown));
    two.expect_error(400, "ArgumentException", "SO-AppToken or AppToken");
    // A token that is bound to another application.
    get_access_token(&bearer, &[], &body(&closed)).expect(401);
    // Other calls ignore an `AppToken` in the body.
    client.post("GetExternalTokens", &body(&sync)).expect(401);

    // Onsite, applications have no effect.
    let onsite = TestApp::new();
    get_access_token(&onsite.client(), &[], &body("CANARY")).expect(200);
}

/// CONTRACT 1, O8: the server shows a tenant's name as it was first given. Another spelling by the path, by another
/// user or at a later start does not change it. Tickets and tokens have that name, too.
#[test]
fn a_tenant_is_called_as_it_was_first_given() {
    let setup = issuer::trusting(Setup::new().with("TENANTS", "path"), &[]);
    let issuer = Issuer::new("1");
    issuer::write_keys(&setup, &[&issuer]);
    let app = setup.start();
    let add = |login: &str, tenant: &str| {
        app.admin(&["user", "add", login, "--tenant", tenant, "--password-stdin"]);
    };
    add("ann", "Cust26759");
    add("bob", "CUST26759");
    // Users that were added before the server stored the name have none.
    assert_eq!(app.sql("UPDATE users SET tenant_name = NULL WHERE login = 'bob'"), 1);
    add("cai", "cust26759");
    let ticket = app.admin(&["ticket", "issue", "bob", "--tenant", "cust26759"]);
    let listed = app.admin(&["ticket", "list", "--output", "json"]);
    assert!(listed.contains("\"Cust26759\""), "{listed}");
    let prefix = "http://schemes.superoffice.net/identity/";
    let jwt = |claims: Value| format!("Bearer {}", issuer.token(&claims));
    let of_user = jwt(json!({ "sub": "ann", format!("{prefix}ctx"): "CUST26759" }));
    let of_nobody = jwt(json!({ "sub": "dan", format!("{prefix}ctx"): "CuSt26759" }));
    let check = |app: &TestApp| {
        let root = app.url.strip_suffix("/default").expect("the tenant").to_owned();
        for spelled in ["Cust26759", "cust26759", "CUST26759"] {
            let client = Client::new(&format!("{root}/{spelled}"));
            let name = |client: Client| {
                client.who(&[]).expect(200).json()["DatabaseContextIdentifier"].clone()
            };
            for login in ["ann", "bob", "cai"] {
                assert_eq!(name(client.with_password(login, "CANARY-password")), "Cust26759");
            }
            let by_ticket = client.with_authorization(Some(&format!("SoTicket {ticket}")));
            assert_eq!(name(by_ticket.clone()), "Cust26759");
            assert_eq!(name(client.with_authorization(Some(&of_user))), "Cust26759");
            assert_eq!(name(client.with_authorization(Some(&of_nobody))), "CuSt26759");
            let token = by_ticket.request("GET", CURRENT_TOKEN, &[], b"").expect(200).key();
            assert!(token.starts_with("8A:Cust26759."), "{token}");
            assert_eq!(
                name(client.with_authorization(Some(&format!("Bearer {token}")))),
                "Cust26759"
            );
            let lower = token.replace("Cust", "cust");
            assert_eq!(
                name(client.with_authorization(Some(&format!("Bearer {lower}")))),
                "Cust26759"
            );
        }
    };
    check(&app);
    check(&app.stop().start());
}

/// CONTRACT 1, 28: the only tenant has the configured name. Records that were stored before are still there, and a JWT
/// of another tenant is rejected.
#[test]
fn the_only_tenant_has_a_name() {
    let issuer = Issuer::new("1");
    let before = issuer::trusting(Setup::new(), &[&issuer]).start();
    let key = before.client().save(&json!({"Provider": "et", "AccessToken": "fugit"}));
    let old_token = before.client().request("GET", CURRENT_TOKEN, &[], b"").expect(200).key();
    let app = before.stop().with("TENANT", "Cust26759").start();
    assert_eq!(app.client().access_token(&key).as_deref(), Some("fugit"));
    let name =
        |client: &Client| client.who(&[]).expect(200).json()["DatabaseContextIdentifier"].clone();
    assert_eq!(name(&app.client()), "Cust26759");
    let token = app.client().request("GET", CURRENT_TOKEN, &[], b"").expect(200).key();
    assert!(token.starts_with("8A:Cust26759."), "{token}");
    for token in [&token, &old_token] {
        assert_eq!(
            name(&app.client().with_authorization(Some(&format!("Bearer {token}")))),
            "Cust26759"
        );
    }
    let ticket = app.admin(&["ticket", "issue", "tje0", "--tenant", "CUST26759"]);
    assert_eq!(
        name(&app.client().with_authorization(Some(&format!("SoTicket {ticket}")))),
        "Cust26759"
    );
    let context = "http://schemes.superoffice.net/identity/ctx";
    let jwt = |claims: Value| {
        let jwt = format!("Bearer {}", issuer.token(&claims));
        app.client().with_authorization(Some(&jwt))
    };
    for claims in [json!({ context: "Cust26759" }), json!({ context: "cUST26759" }), json!({})] {
        let client = jwt(claims);
        assert_eq!(name(&client), "Cust26759");
        assert_eq!(client.access_token(&key).as_deref(), Some("fugit"));
    }
    for other in ["Cust1", "default", "a b"] {
        jwt(json!({ context: other })).who(&[]).expect_error(
            403,
            "SoSentryException",
            "another tenant",
        );
    }
    let session = app.client().sign_in("tje0", "Tje0");
    let page = app.client().with_authorization(None);
    let page = page.request("GET", "/account", &session.headers(), b"").expect(200).body;
    assert!(page.contains("Cust26759"), "{page}");
    for (tenant, said) in [("a b", "tenant must be like"), ("api", "tenant must be like")] {
        let refusal = Setup::new().with("TENANT", tenant).refusal();
        assert!(refusal.contains(said), "{refusal}");
    }
    let both = Setup::new().with("TENANT", "Cust26759").with("TENANTS", "path").refusal();
    assert!(both.contains("does not go with tenants = \"path\""), "{both}");
    // `online.user_agent` may name the tenant, too.
    let setup = Setup::new().with("INSTALLATION", "online").with("TENANT", "Cust26759");
    let online = setup.with("ONLINE__USER_AGENT", "cust26759/*").start();
    let session = online.client().sign_in("tje0", "Tje0");
    let visitor = online.client().with_authorization(None);
    get_access_token(&visitor, &session.headers(), &json!({})).expect(200);
}
