//! Lists and descriptions of records (CONTRACT O9, O10, 37, 38, 39).
//!
//! Invariant: no answer contains a token, a claim or the secret part of a key, for any caller.

use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    app::{Setup, TestApp},
    client::{Answer, Client, to_save},
};

const AGENT: &str = "/api/v1/Agents/ExternalTokens";

/// The id in a key.
fn id_of(key: &str) -> &str {
    &key[3..14]
}

fn by_key(key: &str) -> Value {
    json!({ "Key": key })
}

fn by_id(key: &str) -> Value {
    json!({ "Id": id_of(key) })
}

fn client_of(app: &TestApp, login: &str) -> Client {
    app.client().with_password(login, "CANARY-password")
}

fn save(client: &Client, provider: &str) -> String {
    client.save(&json!({"Provider": provider, "AccessToken": "CANARY", "Claims": "CANARY"}))
}

fn list(client: &Client, body: &Value) -> Value {
    let answer = client.post_records("List", body).expect(200);
    assert!(!answer.body.contains("CANARY"), "{answer:?}");
    answer.json()
}

/// The ids on a page.
fn ids(page: &Value) -> Vec<String> {
    let items = page["Items"].as_array().expect("items").iter();
    items.map(|item| item["Id"].as_str().expect("an id").to_owned()).collect()
}

/// The items of all pages of a list; calls `meanwhile` before each page but the first.
fn walk(client: &Client, body: &Value, mut meanwhile: impl FnMut()) -> Vec<Value> {
    let (mut items, mut body) = (Vec::new(), body.clone());
    loop {
        let mut page = list(client, &body);
        items.append(page["Items"].as_array_mut().expect("items"));
        if page["Cursor"].is_null() {
            return items;
        }
        body["Cursor"] = page["Cursor"].take();
        meanwhile();
    }
}

/// CONTRACT 3, 37, O9, O10: exactly these properties, and nothing that is sealed.
#[test]
fn a_record_is_described_without_what_is_sealed_in_it() {
    let app = TestApp::new();
    let client = app.client();
    let key = save(&client, "et");
    let page = client.post_records("List", &json!({})).expect(200);
    let item = page.json()["Items"][0].clone();
    let date = item["Created"].as_str().expect("a date");
    let expected = json!({
        "Id": id_of(&key), "Provider": "et", "Owner": "tje0", "Created": date, "Updated": date,
        "LastUsed": null, "Expires": null, "Ended": null, "GrantState": "None",
        "AccessTokenExpires": null, "Refreshed": null, "RefreshBy": null, "RetryAt": null,
        "Cause": null, "Since": null, "Generation": 1,
        "TableRight": {"Mask": "FULL", "Reason": ""}
    });
    assert_eq!(item, expected);
    assert_eq!(page.json(), json!({"Items": [expected], "Cursor": null}));
    assert_eq!(date.len(), "2026-11-03T14:05:00".len());
    for which in [by_key(&key), by_id(&key), by_key(&format!(" {key}\n"))] {
        let answer = client.post_records("Describe", &which).expect(200);
        assert_eq!(answer.json(), item);
        assert!(!answer.body.contains(&key[14..]) && !answer.body.contains("CANARY"));
    }
    assert!(!page.body.contains(&key[14..]) && !page.body.contains("CANARY"));
}

/// The view of a caller on `ann`'s record: the number of listed records, and the masks by key and by id.
fn seen(client: &Client, key: &str) -> (usize, Value, Value) {
    let listed = ids(&list(client, &json!({}))).len();
    assert_eq!(ids(&list(client, &json!({"Owner": "ann"}))).len(), listed);
    let mask = |which| client.describe(&which)["TableRight"]["Mask"].take();
    (listed, mask(by_key(key)), mask(by_id(key)))
}

/// CONTRACT 6, 38, 39: the owner, an administrator, another user of the tenant, and another tenant. Both if keys are
/// enough to get tokens, and if only owners get them.
#[rstest]
#[case("key", json!("Select"))]
#[case("owner", json!("None"))]
fn who_sees_a_record(#[case] retrieval: &str, #[case] of_others: Value) {
    let setup = Setup::new().with("AUTH__RETRIEVAL", retrieval).with("TENANTS", "path");
    let app = setup.start();
    app.add_user("ann");
    app.add_user("bob");
    for login in ["ann", "boss"] {
        let administrator: &[&str] = if login == "boss" { &["--administrator"] } else { &[] };
        let add = ["user", "add", login, "--tenant", "others", "--password-stdin"];
        app.admin(&[&add, administrator].concat());
    }
    let others_url = app.url.replace("/default", "/others");
    let other = |login: &str| Client::new(&others_url).with_password(login, "CANARY-password");
    let (ann, bob) = (client_of(&app, "ann"), client_of(&app, "bob"));
    let key = save(&ann, "et");
    let full = json!("FULL");
    assert_eq!(seen(&ann, &key), (1, full.clone(), full.clone()));
    assert_eq!(seen(&app.client(), &key), (1, full.clone(), full));
    assert_eq!(seen(&bob, &key), (0, of_others.clone(), Value::Null));
    assert_eq!(seen(&other("ann"), &key), (0, Value::Null, Value::Null));
    assert_eq!(seen(&other("boss"), &key), (0, Value::Null, Value::Null));

    let told = bob.describe(&by_key(&key));
    let is_shown = retrieval == "key";
    for name in ["Id", "Provider", "Owner", "Created", "Updated"] {
        assert_eq!(told[name].is_string(), is_shown, "{name}: {told}");
    }
    let reason = told["TableRight"]["Reason"].as_str().expect("a reason");
    assert_eq!(reason, if is_shown { "[SR_NOT_OWNER]" } else { "[SR_ONLY_OWNER]" });
    // A cursor of another user's list reveals nothing.
    save(&ann, "et");
    let cursor = list(&app.client(), &json!({"Limit": 1}))["Cursor"].take();
    assert!(cursor.is_string());
    for client in [&bob, &other("boss")] {
        assert!(ids(&list(client, &json!({ "Cursor": cursor }))).is_empty());
    }
}

/// CONTRACT 38: every record that existed before is on exactly one page, in order, even if others are saved meanwhile.
#[test]
fn pages_follow_each_other_while_records_are_saved() {
    let app = TestApp::new();
    app.add_user("ann");
    app.add_user("zoe");
    let clients = [client_of(&app, "ann"), app.client(), client_of(&app, "zoe")];
    let before: BTreeSet<String> = (0..27)
        .map(|number| id_of(&save(&clients[number % 3], ["et", "b", "c"][number % 2])).to_owned())
        .collect();
    for limit in [1, 4, 9, 27, 1000] {
        let mut saves = 0..20;
        let items = walk(&app.client(), &json!({ "Limit": limit }), || {
            if saves.next().is_some() {
                clients.iter().for_each(|client| drop(save(client, "new")));
            }
        });
        let place = |item: &Value| {
            let text = |name: &str| item[name].as_str().expect("text").to_owned();
            (text("Owner"), text("Id"))
        };
        let places: Vec<_> = items.iter().map(place).collect();
        assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
        let found: BTreeSet<String> = places.into_iter().map(|(_, id)| id).collect();
        assert!(before.is_subset(&found), "{limit}");
    }
    let own = walk(&clients[0], &json!({"Limit": 4, "Provider": "et"}), || ());
    assert_eq!(own.len(), 5, "of nine saves in turn");
    assert!(own.iter().all(|item| item["Owner"] == "ann" && item["Provider"] == "et"));
    let of_zoe = walk(&app.client(), &json!({"Limit": 4, "Owner": "zoe", "Provider": "b"}), || ());
    assert_eq!(of_zoe.len(), 4);
    assert!(ids(&list(&app.client(), &json!({"Provider": "ET"}))).is_empty(), "exactly");
}

/// CONTRACT 38: a page has 100 items by default. A search that finds few records ends its page early.
#[test]
fn a_page_may_be_short_while_there_is_more() {
    let app = TestApp::new();
    let client = app.client();
    let first = save(&client, "rare");
    let copied = app.sql(
        "INSERT INTO external_tokens (id, tenant, owner, provider, generation, key_digest, kek_id, \
         wrapped_dek, sealed, created, updated) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT \
         i + 1 FROM n WHERE i < 25000) SELECT id + i, tenant, owner, \
         CASE i WHEN 24999 THEN 'rare' ELSE 'et' END, 1, key_digest, kek_id, wrapped_dek, sealed, \
         created, updated FROM external_tokens, n",
    );
    assert_eq!(copied, 25_000);
    assert_eq!(ids(&list(&client, &json!({}))).len(), 100);
    assert_eq!(ids(&list(&client, &json!({"Limit": 1000}))).len(), 1000);
    let page = list(&client, &json!({"Provider": "rare"}));
    assert_eq!(ids(&page), [id_of(&first)]);
    assert!(page["Cursor"].is_string());
    let mut pages = 1;
    let rare = walk(&client, &json!({"Provider": "rare"}), || pages += 1);
    assert_eq!((rare.len(), pages), (2, 13));
}

/// CONTRACT 35, 38, 39: a 400 that names the property, and never its value.
#[rstest]
#[case("List", json!({"Limit": 0}), "Limit must be from 1 to 1000")]
#[case("List", json!({"Limit": 1001}), "Limit must be from 1 to 1000")]
#[case("List", json!({"Limit": -1}), "Limit must be from 1 to 1000")]
#[case("List", json!({"Limit": 1e300}), "Limit must be from 1 to 1000")]
#[case("List", json!({"Limit": u64::MAX}), "Limit must be from 1 to 1000")]
#[case("List", json!({"Limit": 5.5}), "not a number with a fraction")]
#[case("List", json!({"Limit": 1.5}), "Limit must be a whole number, not a number")]
#[case("List", json!({"Limit": "CANARY"}), "Limit must be a whole number, not a string")]
#[case("List", json!({"IncludeEnded": "CANARY"}), "IncludeEnded must be a boolean, not a string")]
#[case("List", json!({"Cursor": "CANARY"}), "Cursor is not a value that List returned")]
#[case("List", json!({"Cursor": 7}), "Cursor must be a string, not a number")]
#[case("List", json!({"Owner": "CANARY:"}), "Owner is not a user name")]
#[case("List", json!({"Owner": {}}), "Owner must be a string, not an object")]
#[case("List", json!({"Provider": ["CANARY"]}), "Provider must be a string, not an array")]
#[case("List", json!([]), "The body must be an object, not an array")]
#[case("Describe", json!({}), "Key or Id is required")]
#[case("Describe", json!({"Key": " ", "Id": null}), "Key or Id is required")]
#[case("Describe", json!({"Key": "CANARY", "Id": "CANARY"}), "Give Key or Id, not both")]
#[case("Describe", json!({"Key": "lk_CANARY"}), "Key is not a key of this server")]
#[case("Describe", json!({"Id": "CANARY"}), "Id is not the id of a record")]
#[case("Describe", json!({"Id": 7}), "Id must be a string, not a number")]
#[case("Revoke", json!({}), "Key or Id is required")]
#[case("Revoke", json!({"Key": "CANARY", "Id": "CANARY"}), "Give Key or Id, not both")]
#[case("Revoke", json!({"Id": "zzzzzzzzzzz"}), "Id is not the id of a record")]
#[case("Revoke", json!({"Key": 7}), "Key must be a string, not a number")]
fn what_is_wrong_is_named(#[case] operation: &str, #[case] body: Value, #[case] message: &str) {
    let app = TestApp::new();
    let answer = app.client().post_records(operation, &body);
    let answer = answer.expect_error(400, "ArgumentException", message);
    assert!(!answer.body.contains("CANARY"), "{}", answer.body);
}

const READ: [(&str, &str, &str); 7] = [
    ("application/json", r#"{"provider":"et","limit":2,"INCLUDEENDED":true}"#, r#"{"id":"@"}"#),
    ("text/json", r#"{"Provider":"et","Limit":2,"IncludeEnded":true}"#, r#"{"Id":"@"}"#),
    (
        "application/xml",
        "<x><Provider>et</Provider><Limit>2</Limit><IncludeEnded>true</IncludeEnded></x>",
        "<x><Id>@</Id></x>",
    ),
    (
        "text/xml",
        "<x><Limit> 2 </Limit><IncludeEnded>1</IncludeEnded><Provider>et</Provider></x>",
        "<x><Id>\n@\n</Id></x>",
    ),
    ("application/x-www-form-urlencoded", "Provider=et&Limit=2&IncludeEnded=true", "Id=@"),
    (
        "application/json-patch+json",
        r#"[{"op":"add","path":"/Provider","value":"et"},{"op":"add","path":"/Limit","value":2},
            {"op":"add","path":"/IncludeEnded","value":true}]"#,
        r#"[{"op":"add","path":"/Id","value":"@"}]"#,
    ),
    (
        "application/merge-patch+json",
        r#"{"Provider":"et","Limit":2,"IncludeEnded":true}"#,
        r#"{"Id":"@"}"#,
    ),
];

/// CONTRACT 10, 11, 12, 16, 38, 39, O9–O11: requests in each of the seven types, answers in each of the six.
#[test]
fn records_are_asked_for_in_every_type() {
    let app = TestApp::new();
    let client = app.client();
    let post = |operation: &str, content_type: &str, accept: &str, body: &str| -> Answer {
        let headers = [("Content-Type", content_type), ("Accept", accept)];
        client.request("POST", &format!("{AGENT}/{operation}"), &headers, body.as_bytes())
    };
    let keys: Vec<String> = (0..3).map(|_| save(&client, "et")).collect();
    save(&client, "other");
    assert!(client.revoke(&by_key(&keys[0])));
    let expected = list(&client, &json!({"Provider": "et", "IncludeEnded": true, "Limit": 2}));
    assert_eq!(ids(&expected), [id_of(&keys[0]), id_of(&keys[1])]);
    for (content_type, body, which) in READ {
        let page = post("List", content_type, "*/*", body).expect(200);
        assert_eq!(page.json(), expected, "{content_type}");
        let key = save(&client, "new");
        let which = which.replace('@', id_of(&key));
        let told = post("Describe", content_type, "*/*", &which).expect(200).json();
        assert_eq!(told["Id"], id_of(&key), "{content_type}");
        let revoked = |accept| post("Revoke", content_type, accept, &which).expect(200).body;
        assert_eq!(revoked("text/json"), "true", "{content_type}");
        assert!(revoked("application/xml").ends_with("<boolean>false</boolean>"), "{content_type}");
    }
    for accept in ["text/json", "application/json-patch+json", "application/merge-patch+json"] {
        let page = post("List", READ[0].0, accept, READ[0].1).expect(200);
        assert_eq!(page.json(), expected, "{accept}");
    }
    for accept in ["application/xml", "text/xml"] {
        let page = post("List", READ[0].0, accept, READ[0].1).expect(200);
        assert_eq!(page.header("Content-Type"), format!("{accept}; charset=utf-8"));
        let item = format!("<Items><Item><Id>{}</Id>", id_of(&keys[0]));
        let cursor = format!("<Cursor>{}</Cursor>", expected["Cursor"].as_str().expect("text"));
        assert!(page.body.contains(&item) && page.body.contains(&cursor), "{}", page.body);
        let none = post("Describe", READ[0].0, accept, r#"{"Id":"00000000000"}"#).expect(200);
        assert!(none.body.contains("<ExternalTokenInfo ") && none.body.contains("nil"));
    }
}

/// CONTRACT 22, 23, 37: dates are in the time zone of the request, or of the server. Created and updated are in UTC.
#[test]
fn dates_are_in_the_time_zone_that_is_asked_for() {
    let app = Setup::new().with("BASE_TIME_ZONE", "Europe/Oslo").start();
    let client = app.client();
    let key = save(&client, "et");
    // 2026-07-01T12:00:00Z and an hour, a day, two days later.
    let moment = 1_782_907_200_000_000_i64;
    let (hour, day) = (3_600_000_000, 86_400_000_000);
    app.sql(&format!(
        "UPDATE external_tokens SET created = {moment}, updated = {}, last_used = {}, expires = {}, \
         ended = {}",
        moment + hour,
        moment + 24 * hour,
        moment + 2 * day,
        moment + 2 * day,
    ));
    let dates = |headers: &[(&str, &str)]| {
        let headers = [headers, &[("Content-Type", "application/json")]].concat();
        let body = by_key(&key).to_string();
        let path = format!("{AGENT}/Describe");
        let answer = client.request("POST", &path, &headers, body.as_bytes()).expect(200).json();
        ["Created", "Updated", "LastUsed", "Expires", "Ended"]
            .map(|name| answer[name].as_str().expect("a date").replace("2026-07-", ""))
    };
    let summer = ["01T12:00:00", "01T13:00:00", "02T14:00:00", "03T14:00:00", "03T14:00:00"];
    assert_eq!(dates(&[]), summer);
    assert_eq!(dates(&[("Accept-Language", "nb"), ("SO-Culture", "de")]), summer, "no culture");
    assert_eq!(
        dates(&[("SO-TimeZone", "US-NY, includeTZOffset")]),
        [
            "01T12:00:00Z",
            "01T13:00:00Z",
            "02T08:00:00-04:00",
            "03T08:00:00-04:00",
            "03T08:00:00-04:00"
        ]
    );
    assert_eq!(
        dates(&[("SO-TimeZone", "UTC,includeTZOffset")])[2..],
        ["02T12:00:00Z", "03T12:00:00Z", "03T12:00:00Z"]
    );
}

/// CONTRACT 17, 19, 37: `$select` applies to the properties of the items, and the provider is translated.
#[test]
fn a_list_is_selected_and_translated() {
    let app = TestApp::new();
    let key = save(&app.client(), r#"NO:"Leverandør";US:"Supplier""#);
    let headers = [("Content-Type", "application/json"), ("Accept-Language", "nb")];
    let path = format!("{AGENT}/List?$select=items/id,Items/Provider,items/tableRight/mask");
    let page = app.client().request("POST", &path, &headers, b"{}").expect(200).json();
    let item = json!({
        "Id": id_of(&key), "Provider": "Leverandør", "Owner": null, "Created": null,
        "Updated": null, "LastUsed": null, "Expires": null, "Ended": null, "GrantState": null,
        "AccessTokenExpires": null, "Refreshed": null, "RefreshBy": null, "RetryAt": null,
        "Cause": null, "Since": null, "Generation": 0,
        "TableRight": {"Mask": "FULL", "Reason": null}
    });
    assert_eq!(page, json!({"Items": [item], "Cursor": null}));
    let plain = list(&app.client(), &json!({"Provider": "NO:\"Leverandør\";US:\"Supplier\""}));
    assert_eq!(plain["Items"][0]["Provider"], r#"NO:"Leverandør";US:"Supplier""#);
}

/// CONTRACT 17, 38: a property that typed clients cannot read as null is empty if it is not selected. A limit of 5.0 is
/// read as 5.
#[test]
fn a_list_that_is_not_selected_is_empty() {
    let app = TestApp::new();
    save(&app.client(), "et");
    for select in ["nothing", "Cursor", "items2", "Items/Nothing"] {
        let path = format!("{AGENT}/List?$select={select}");
        let headers = [("Content-Type", "application/json")];
        let body = br#"{"Limit": 5.0}"#;
        let page = app.client().request("POST", &path, &headers, body).expect(200).json();
        let items = page["Items"].as_array().unwrap_or_else(|| panic!("{page}"));
        assert_eq!(items.len(), usize::from(select == "Items/Nothing"), "{page}");
        assert_eq!(page["Cursor"], json!(null));
    }
}

/// CONTRACT 25, 31, O5, O7: the same callers as for the User agent are accepted, and the descriptions of the calls need
/// no login.
#[test]
fn records_are_closed_to_whom_the_user_agent_is() {
    let setup = Setup::new().with("INSTALLATION", "online").with("AUTH__SCHEMES__BASIC", "true");
    let closed = setup.start();
    let open = Setup::new().start();
    for operation in ["List", "Describe", "Revoke"] {
        let path = format!("{AGENT}/{operation}");
        let refused = closed.client().post_records(operation, &json!({"Id": "00000000000"}));
        refused.expect_error(403, "SoSentryException", "The User agent is closed");
        for app in [&closed, &open] {
            let visitor = app.client().with_authorization(None);
            visitor.post_records(operation, &json!({})).expect(401);
            let told = visitor.request("GET", &path, &[], b"").expect(200).json();
            assert_eq!(told["Method"], "POST");
            let properties = &told["Request"]["properties"];
            let name = if operation == "List" { "Cursor" } else { "Id" };
            assert!(properties[name].is_object(), "{told:#}");
        }
        open.client().post_records(operation, &json!({"Id": "00000000000"})).expect(200);
        let put = open.client().request("PUT", &path, &[], b"").expect(405);
        assert_eq!(put.header("Allow"), "POST, GET, HEAD, OPTIONS");
    }
    open.client().post("SaveExternalTokens", &to_save("CANARY")).expect(200);
}
