//! `latchkey user remove`, `set-role` and `disable`, and `latchkey session`, while the server runs.
//!
//! Invariant: a command that ends the access of a user ends every credential at once.

use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp},
    client::{Client, Session, to_save},
};

fn json_of(app: &TestApp, arguments: &[&str]) -> Value {
    let told = app.admin(&[arguments, &["--output", "json"]].concat());
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

fn refused(setup: &Setup, arguments: &[&str], part: &str) {
    let told = setup.run(arguments, "").expect_err("it is refused");
    assert!(told.contains(part), "{arguments:?}: {told}");
}

fn client_of(app: &TestApp, login: &str) -> Client {
    app.add_user(login);
    app.client().with_password(login, "CANARY-password")
}

fn with_ticket(app: &TestApp, login: &str) -> Client {
    app.client().with_authorization(Some(&format!("SoTicket {}", app.ticket(login))))
}

fn users(app: &TestApp) -> Vec<String> {
    let users = json_of(app, &["user", "list"]);
    let users = users.as_array().expect("a list").iter();
    users.map(|user| user["login"].as_str().expect("a login").to_owned()).collect()
}

/// CONTRACT 26, 27: a removed user has no credential left. A user of the same name who is added later has none of the
/// old ones.
#[test]
fn a_removed_user_leaves_no_credential() {
    let app = TestApp::new();
    let ann = client_of(&app, "ann");
    let ticket = with_ticket(&app, "ann");
    let of_tje0 = with_ticket(&app, "tje0");
    ticket.who(&[]).expect(200);
    // More than a batch.
    let copied = app.sql(
        "INSERT INTO credentials (id, kind, digest, tenant, login, user_version, created, expires) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700) SELECT \
         substr(id, 1, 22) || (1000000000 + i), kind, digest, tenant, login, user_version, created, \
         expires FROM credentials, n WHERE login = 'ann'",
    );
    assert_eq!(copied, 700);
    assert_eq!(app.admin(&["user", "remove", "ann"]), "removed ann of tenant default");
    assert_eq!(users(&app), ["tje0"]);
    ticket.who(&[]).expect(401);
    ann.who(&[]).expect(401);
    app.add_user("ann");
    ticket.who(&[]).expect(401);
    ann.who(&[]).expect(200);
    of_tje0.who(&[]).expect(200);
    assert_eq!(app.number("SELECT count(*) FROM credentials WHERE login = 'ann'"), 0);
    refused(&app.setup, &["user", "remove", "nobody"], "there is no user nobody of tenant default");
}

/// CONTRACT 39: a user with living records is removed only together with them.
#[test]
fn an_owner_of_records_is_removed_only_with_them() {
    let app = TestApp::new();
    let (ann, bob) = (client_of(&app, "ann"), client_of(&app, "bob"));
    let keys: Vec<String> =
        (0..3).map(|_| ann.save(&json!({"Provider": "et", "AccessToken": "fugit"}))).collect();
    let of_bob = bob.post("SaveExternalTokens", &to_save("fugit")).key();
    refused(&app.setup, &["user", "remove", "ann"], "add --revoke-records");
    ann.who(&[]).expect(200);
    assert!(ann.revoke(&json!({ "Key": keys[0] })));
    let removed = json_of(&app, &["user", "remove", "ann", "--revoke-records"]);
    assert_eq!((&removed["login"], &removed["revoked"]), (&json!("ann"), &json!(2)));
    assert_eq!(users(&app), ["bob", "tje0"]);
    for key in &keys {
        assert_eq!(app.client().access_token(key), None);
    }
    assert_eq!(bob.access_token(&of_bob).as_deref(), Some("fugit"));
    assert_eq!(
        app.admin(&["user", "disable", "bob", "--revoke-records"]),
        "disabled bob, and revoked 1 record"
    );
    bob.who(&[]).expect(401);
    assert_eq!(app.client().access_token(&of_bob), None);
    assert_eq!(app.admin(&["user", "remove", "bob"]), "removed bob of tenant default");
}

/// CONTRACT 26: a role counts at once and ends the user's credentials. The last enabled administrator of a tenant keeps
/// the rights, unless the operator insists.
#[test]
fn the_last_administrator_stays_one() {
    let app = TestApp::new();
    let ann = client_of(&app, "ann");
    let ticket = with_ticket(&app, "ann");
    let is_administrator =
        |client: &Client| client.who(&[]).expect(200).json()["IsAdministrator"].clone();
    assert_eq!(is_administrator(&ann), false);
    let reason =
        "tje0 is the last enabled administrator of tenant default. Without one, no caller can list";
    refused(&app.setup, &["user", "set-role", "tje0", "user"], reason);
    refused(&app.setup, &["user", "remove", "tje0"], reason);
    refused(&app.setup, &["user", "remove", "tje0", "--revoke-records"], reason);
    assert_eq!(is_administrator(&app.client()), true);
    assert_eq!(
        app.admin(&["user", "set-role", "ann", "administrator"]),
        "ann is now an administrator"
    );
    assert_eq!(is_administrator(&ann), true);
    ticket.who(&[]).expect(401);
    // A disabled administrator does not count.
    app.admin(&["user", "disable", "ann"]);
    refused(&app.setup, &["user", "set-role", "tje0", "user"], reason);
    app.admin(&["user", "enable", "ann"]);
    let demoted = json_of(&app, &["user", "set-role", "tje0", "user"]);
    assert_eq!((&demoted["login"], &demoted["administrator"]), (&json!("tje0"), &json!(false)));
    assert_eq!(is_administrator(&app.client()), false);
    refused(&app.setup, &["user", "set-role", "ann", "user"], "Add another one first");
    assert_eq!(
        app.admin(&["user", "set-role", "ann", "user", "--force"]),
        "ann is now a user without further rights"
    );
    app.admin(&["user", "set-role", "ann", "administrator"]);
    app.admin(&["user", "remove", "ann", "--force"]);
    refused(&app.setup, &["user", "set-role", "nobody", "user"], "there is no user nobody");
    refused(&app.setup, &["user", "set-role", "tje0", "root"], "invalid value 'root'");
}

/// CONTRACT 29: sessions are listed, and revoked by id, by user and all at once. Access tokens that were made from them
/// end too, and tickets do not.
#[test]
fn sessions_are_listed_and_revoked() {
    let app = TestApp::new();
    for login in ["ann", "bob"] {
        app.add_user(login);
    }
    let visitor = app.client().with_authorization(None);
    let sign_in = |login: &str| app.client().sign_in(login, "CANARY-password");
    let works = |session: &Session| visitor.who(&session.headers()).status == 200;
    let [first, second, third, of_bob] = ["ann", "ann", "ann", "bob"].map(sign_in);
    let ticket = with_ticket(&app, "ann");
    let token = visitor.request("GET", "/api/v1/User/currentToken", &second.headers(), b"").key();
    let bearer = app.client().with_authorization(Some(&format!("Bearer {token}")));
    bearer.who(&[]).expect(200);

    let listed = json_of(&app, &["session", "list", "--user", "ann"]);
    let ids: Vec<&str> =
        listed.as_array().expect("a list").iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(ids.len(), 3);
    assert!(listed[0]["expires"].is_string() && listed[0]["login"] == "ann", "{listed}");
    assert!(!listed.to_string().contains(first.cookie.split(['=', ';']).nth(1).expect("a value")));
    assert_eq!(app.admin(&["session", "list"]).lines().count(), 5, "a head and four");
    // Newest first.
    assert_eq!(app.admin(&["session", "revoke", ids[2]]), format!("revoked {}", ids[2]));
    assert_eq!([&first, &second, &third].map(works), [false, true, true]);
    refused(&app.setup, &["session", "revoke", ids[2]], "there is no session");
    refused(&app.setup, &["session", "revoke", "x"], "`latchkey session list` shows the ids");
    refused(&app.setup, &["session", "revoke"], "required");
    refused(&app.setup, &["session", "revoke", "--user", "ann", "--all"], "cannot be used with");
    assert_eq!(json_of(&app, &["session", "revoke", "--user", "ann"])["revoked"], 2);
    assert_eq!([&second, &third, &of_bob].map(works), [false, false, true]);
    bearer.who(&[]).expect(401);
    ticket.who(&[]).expect(200);
    sign_in("ann");
    assert_eq!(app.admin(&["session", "revoke", "--all"]), "revoked 2 sessions");
    assert!(!works(&of_bob));
    assert_eq!(app.admin(&["session", "list"]).lines().count(), 1, "a head");
}
