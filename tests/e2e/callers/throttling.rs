//! Rate limits of passwords (CONTRACT 33).

use std::{
    io::Write as _,
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::support::{
    app::{Setup, TestApp, until},
    client::Client,
    raw::{reset, who_request},
};

/// Tries up to 30 wrong passwords; returns the number that were verified before the first 429.
fn verified(client: &Client, login: &str, headers: &[(&str, &str)]) -> usize {
    let wrong = client.with_password(login, "wrong");
    (0..30).take_while(|_| wrong.who(headers).status == 401).count()
}

/// CONTRACT 33, 35: past the limit the answer is a 429 with the time to retry. It is the same for an existing and an
/// unknown user, and also for the right password.
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

/// CONTRACT 33: an attack on one user from one address does not lock out other users at that address. The user itself
/// can still sign in elsewhere, and use a ticket or a session. At that address the right password is rejected too, even
/// if it was verified recently, because otherwise an attacker could recognize it.
#[test]
fn a_storm_on_one_user_locks_out_no_other() {
    let app = Setup::new().with("SERVER__TRUSTED_PROXIES", "127.0.0.1").start();
    app.add_user("ann");
    let (here, elsewhere) =
        ([("X-Forwarded-For", "192.0.2.1")], [("X-Forwarded-For", "198.51.100.1")]);
    let ticket = format!("SoTicket {}", app.ticket("tje0"));
    let session = app.client().sign_in("tje0", "Tje0");
    for address in [&here, &elsewhere] {
        app.client().who(address).expect(200);
    }
    let wrong = app.client().with_password("tje0", "wrong");
    let refused = (0..200).filter(|_| wrong.who(&here).status == 429).count();
    assert!(refused >= 185, "{refused}");
    app.client().who(&here).expect(429);
    app.client().who(&elsewhere).expect(200);
    app.client().with_authorization(Some(&ticket)).who(&here).expect(200);
    let visitor = app.client().with_authorization(None);
    visitor.who(&[session.headers().to_vec(), here.to_vec()].concat()).expect(200);
    app.client().with_password("ann", "CANARY-password").who(&here).expect(200);
    app.client().with_password("ann", "CANARY-password").who(&elsewhere).expect(200);
}

/// CONTRACT 33: many addresses together cannot guess either. During such an attack only users that were verified
/// recently at an address can sign in there.
#[test]
fn a_storm_from_everywhere_is_throttled() {
    let setup = Setup::new().with("SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let app = setup.with("AUTH__THROTTLE__PER_USER", "2").start();
    let known = [("X-Forwarded-For", "192.0.2.1")];
    app.client().who(&known).expect(200);
    let wrong = app.client().with_password("tje0", "wrong");
    let tried = (0..40).map(|number| {
        wrong.who(&[("X-Forwarded-For", format!("198.51.100.{number}").as_str())]).status
    });
    let verified = tried.filter(|status| *status == 401).count();
    // Ten times the limit of one address, and one more for every three seconds that this takes.
    assert!((20..=24).contains(&verified), "{verified}");
    app.client().who(&[("X-Forwarded-For", "203.0.113.1")]).expect(429);
    app.client().who(&known).expect(200);
}

/// CONTRACT 33: a user that signed in from a network recently can do so again while others exceed the limits. This
/// holds even if its password has to be hashed again. Only its own wrong passwords from there end that.
#[test]
fn a_user_that_is_known_in_a_network_is_not_locked_out_there() {
    let setup = Setup::new().with("SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let setup = setup.with("AUTH__THROTTLE__PER_ADDRESS", "8");
    let app = setup.with("AUTH__THROTTLE__PER_USER", "3").start();
    app.add_user("ann");
    let known = [("X-Forwarded-For", "192.0.2.1")];
    let ann = app.client().with_password("ann", "CANARY-password");
    ann.who(&known).expect(200);
    // After this its password has to be hashed again.
    app.admin(&["user", "disable", "ann"]);
    app.admin(&["user", "enable", "ann"]);
    let others = (0..20).map(|number| {
        app.client().with_password(&format!("other{number}"), "wrong").who(&known).status
    });
    assert!(others.into_iter().any(|status| status == 429), "the network is refused");
    let wrong = app.client().with_password("ann", "wrong");
    let from_everywhere = (0..60).map(|number| {
        wrong.who(&[("X-Forwarded-For", format!("198.51.100.{number}").as_str())]).status
    });
    assert!(from_everywhere.into_iter().any(|status| status == 429), "the user is refused");
    ann.who(&known).expect(200);
    let own = verified(&app.client(), "ann", &known);
    assert!((3..=4).contains(&own), "{own}");
    ann.who(&known).expect(429);
}

/// CONTRACT 33, 35: while one network fills all places in the queue, sign-ins from others are served.
#[test]
fn a_flood_from_one_network_leaves_places_to_others() {
    let setup = Setup::new().with("SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let setup = setup.with("AUTH__THROTTLE__PER_USER", "100000");
    let app = setup.with("AUTH__THROTTLE__PER_ADDRESS", "100000").start();
    let (is_over, refused) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..300 {
            let (client, is_over, refused) = (app.client(), &is_over, &refused);
            let client = client.with_password(&format!("user{number}"), "wrong");
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    if client.who(&[("X-Forwarded-For", "192.0.2.1")]).status == 503 {
                        refused.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(Duration::from_millis(20));
                    }
                }
            });
        }
        until("no place is left", || refused.load(Ordering::Relaxed) > 100);
        let first = |number: usize| {
            app.client().who(&[("X-Forwarded-For", format!("203.0.113.{number}").as_str())]).status
        };
        let statuses: Vec<u16> = (0..5).map(first).collect();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(statuses, [200; 5]);
    });
}

/// CONTRACT 33: the memory for hashing is released, also if the callers have left.
#[test]
fn callers_that_leave_take_no_memory_with_them() {
    const CALLERS: usize = 4;
    let app = Setup::new().with("AUTH__THROTTLE__PER_USER", "10000").start();
    // Warm-up with the same number of callers, because threads and their arenas stay allocated.
    for _ in 0..2 {
        thread::scope(|scope| {
            for _ in 0..CALLERS {
                let client = app.client().with_password("nobody", "wrong");
                scope.spawn(move || client.who(&[]).expect(401));
            }
        });
    }
    // The minimum of several samples, because the memory of the last password may be released after its answer.
    let before = (0..50).map(|_| {
        thread::sleep(Duration::from_millis(10));
        app.resident_megabytes()
    });
    let before = before.min().expect("fifty numbers");
    for round in 0..6 {
        let callers = (0..CALLERS).map(|_| {
            let mut caller = TcpStream::connect(app.authority()).expect("connect");
            // The password is wrong.
            let request = who_request(app.authority(), "Basic bm9ib2R5Ondyb25n");
            caller.write_all(request.as_bytes()).expect("send");
            caller
        });
        let callers: Vec<_> = callers.collect();
        thread::sleep(Duration::from_millis(5 * round));
        callers.into_iter().for_each(reset);
        until("the memory is back", || app.resident_megabytes() < before + 12);
    }
}

/// CONTRACT 33: the server can distinguish clients behind a proxy, or does not start.
#[test]
fn a_proxy_has_to_be_named() {
    let setup = Setup::new().with("PROFILE", "production").with("SERVER__BEHIND_PROXY", "true");
    let refusal = setup.refusal();
    let expected = "server.behind_proxy needs server.trusted_proxies";
    assert!(refusal.contains(expected), "{refusal}");
    let empty = setup.clone().with("SERVER__TRUSTED_PROXIES", " , ").refusal();
    assert!(empty.contains(expected), "{empty}");
    let check = setup.run(&["config", "check"], "").expect_err("it says so too");
    assert!(check.contains(expected), "{check}");
    assert!(!setup.data().exists(), "a server that does not start made something");
}

/// CONTRACT 33: a right password does not count against the limit.
#[test]
fn only_failures_count() {
    let app = Setup::new().with("AUTH__THROTTLE__PER_ADDRESS", "3").start();
    for number in 0..8 {
        app.add_user(&format!("user{number}"));
    }
    for number in 0..8 {
        let user = app.client().with_password(&format!("user{number}"), "CANARY-password");
        user.who(&[]).expect(200);
    }
}

/// CONTRACT 33: hashing many passwords at once needs memory for one password per core.
#[test]
fn a_flood_of_passwords_is_bounded() {
    let setup = Setup::new().with("AUTH__THROTTLE__PER_USER", "10000");
    let app = setup.with("AUTH__THROTTLE__PER_ADDRESS", "10000").start();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let client = app.client();
            scope.spawn(move || {
                for round in 0..8 {
                    let login = format!("nobody{number}.{round}");
                    client.with_password(&login, "wrong").who(&[]).expect(401);
                }
            });
        }
    });
    let cores = std::thread::available_parallelism().expect("cores").get();
    let limit = 64 + 40 * cores;
    let used = app.resident_megabytes();
    assert!(used < limit, "{used} MB after 128 passwords, on {cores} cores");
}

/// CONTRACT 33: one address cannot try many users. The sign-in page counts as well.
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

/// CONTRACT 33: an address that a client claims counts only if a trusted proxy reports it. For IPv6 the /64 counts.
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
    trusting.logged(&["client.address=\"192.0.2.2\""]);

    let direct = setup().start();
    assert_eq!(forwarded(&direct, "192.0.2.1"), 5);
    assert_eq!(forwarded(&direct, "192.0.2.2"), 0, "nobody vouches for it");
    let refusal = Setup::new().with("SERVER__TRUSTED_PROXIES", "proxy.local").refusal();
    assert!(refusal.contains("server.trusted_proxies must have addresses"), "{refusal}");
}

/// CONTRACT 26, 33: if many calls with the right password begin at once, none is rejected.
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
