//! Too many passwords (CONTRACT 33).

use serde_json::json;

use crate::{
    app::{Setup, TestApp},
    client::Client,
};

/// How many of so many wrong passwords were verified before the first 429.
fn verified(client: &Client, login: &str, headers: &[(&str, &str)]) -> usize {
    let wrong = client.with_password(login, "wrong");
    (0..30).take_while(|_| wrong.who(headers).status == 401).count()
}

/// CONTRACT 33, 35: past the limit a 429 that says when to come back, for a user and for nobody alike,
/// and also for the right password.
#[test]
fn too_many_passwords_of_a_user_are_refused() {
    let app = Setup::new().with("AUTH__THROTTLE__PER_USER", "5").start();
    app.add_user("ann");
    for login in ["ann", "nobody"] {
        assert_eq!(verified(&app.client(), login, &[]), 5, "{login}");
        let answer = app.client().with_password(login, "CANARY-password").who(&[]);
        let answer = answer.expect_error(429, "SoLimitException", "Too many passwords were tried");
        let seconds: u64 = answer.header("Retry-After").parse().expect("seconds");
        assert!((1..=13).contains(&seconds), "{seconds}");
        assert!(answer.challenges().is_empty());
    }
}

/// CONTRACT 33: a storm on one user locks out neither another one at the same address, nor who is
/// known already.
#[test]
fn a_storm_on_one_user_locks_out_nobody_else() {
    let app = TestApp::new();
    app.add_user("ann");
    let ticket = format!("SoTicket {}", app.ticket("ann"));
    let session = app.client().sign_in("ann", "CANARY-password");
    app.client().who(&[]).expect(200);
    for login in ["tje0", "ann"] {
        let wrong = app.client().with_password(login, "wrong");
        for _ in 0..200 {
            wrong.who(&[]);
        }
        wrong.who(&[]).expect(429);
    }
    app.client().who(&[]).expect(200);
    app.client().with_authorization(Some(&ticket)).who(&[]).expect(200);
    app.client().with_authorization(None).who(&session.headers()).expect(200);
    app.client().with_password("ann", "CANARY-password").who(&[]).expect(200);
    app.add_user("new");
    app.client().with_password("new", "CANARY-password").who(&[]).expect(200);
}

/// CONTRACT 33: one address cannot try many users; the page to sign in counts as well.
#[test]
fn too_many_passwords_from_an_address_are_refused() {
    let app = Setup::new().with("AUTH__THROTTLE__PER_ADDRESS", "8").start();
    let tries = (0..20).map(|number| {
        app.client().with_password(&format!("user{number}"), "wrong").who(&[]).status
    });
    let refused = tries.filter(|status| *status == 429).count();
    assert_eq!(refused, 12);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let visitor = app.client().with_authorization(None);
    let page = visitor.request("POST", "/sign-in", &form, b"login=tje0&password=Tje0").expect(429);
    assert!(page.body.contains("role=\"alert\"") && !page.header("Retry-After").is_empty());
}

/// CONTRACT 33: what a client says of its address counts only if a trusted proxy says it; of IPv6 the
/// /64 counts.
#[test]
fn an_address_is_believed_of_trusted_proxies() {
    let setup = || Setup::new().with("AUTH__THROTTLE__PER_ADDRESS", "5");
    let trusting = setup().with("SERVER__TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8").start();
    let forwarded = |app: &TestApp, address: &str| {
        let login = format!("user of {}", address.replace(':', "."));
        verified(&app.client(), &login, &[("X-Forwarded-For", address)])
    };
    assert_eq!(forwarded(&trusting, "192.0.2.1"), 5);
    assert_eq!(forwarded(&trusting, "192.0.2.1, 10.1.1.1"), 0, "the same client");
    assert_eq!(forwarded(&trusting, "192.0.2.2"), 5, "another client");
    assert_eq!(forwarded(&trusting, "2001:db8:1:2::1"), 5);
    assert_eq!(forwarded(&trusting, "2001:db8:1:2:ffff::1"), 0, "the same /64");
    assert_eq!(forwarded(&trusting, "2001:db8:1:3::1"), 5, "another /64");
    assert!(trusting.log().contains("client.address=\"192.0.2.2\""), "{}", trusting.log());

    let direct = setup().start();
    assert_eq!(forwarded(&direct, "192.0.2.1"), 5);
    assert_eq!(forwarded(&direct, "192.0.2.2"), 0, "nobody vouches for it");
    let refusal = Setup::new().with("SERVER__TRUSTED_PROXIES", "proxy.local").refusal();
    assert!(refusal.contains("server.trusted_proxies must have addresses"), "{refusal}");
}

/// CONTRACT 26, 33: of many calls that begin at once with the right password, none is refused.
#[test]
fn many_calls_at_once_are_one_try() {
    let app = Setup::new().with("AUTH__THROTTLE__PER_USER", "3").start();
    let calls: Vec<_> = (0..40)
        .map(|_| {
            let client = app.client();
            std::thread::spawn(move || client.post("GetExternalTokens", &json!({})).status)
        })
        .collect();
    let statuses: Vec<u16> = calls.into_iter().map(|call| call.join().expect("call")).collect();
    assert_eq!(statuses, [400; 40], "let in, and told that the key is missing");
}
