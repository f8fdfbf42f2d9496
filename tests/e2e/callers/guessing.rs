//! Guessing: answers do not reveal whether a user exists, and repeated attempts are stopped (CONTRACT 26, 33).
//!
//! Invariant: work is measured as the server's processor time, never as wall time.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::support::{
    app::{Setup, TestApp},
    client::Answer,
};

const TRIES: usize = 12;
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// An answer without the parts that differ between requests: its id and the time.
fn without_id(answer: &Answer) -> String {
    let id = answer.header("X-Request-Id");
    let is_same = |name: &str| !["date", "x-request-id"].contains(&name);
    let headers = answer.headers.iter().filter(|(name, _)| is_same(name.as_str()));
    let mut headers: Vec<_> = headers.map(|(name, value)| format!("{name}: {value:?}")).collect();
    headers.sort();
    format!("{} {headers:?} {}", answer.status, answer.body.replace(id, "ID"))
}

/// The processor time that the server has used, in ticks of 10 ms.
fn ticks(app: &TestApp) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", app.process_id())).expect("Linux");
    let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace();
    // The state is field 3 of proc(5). Fields 14 and 15 are the times in user and system mode.
    fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}

/// CONTRACT 26: an unknown user, a disabled user and a wrong password get the same answer, byte for byte, after the
/// same work. This holds for the header and for the page. The time of `==` is not measured: credentials are compared by
/// the library's constant-time function, and `cargo xtask tidy` checks that.
#[test]
fn an_unknown_user_and_a_wrong_password_are_answered_alike() {
    let setup = Setup::new().with("AUTH__THROTTLE__PER_USER", "10000");
    let app = setup.with("AUTH__THROTTLE__PER_ADDRESS", "10000").start();
    app.add_user("anna-q");
    app.add_user("gone-q");
    app.admin(&["user", "disable", "gone-q"]);
    let guesses = [("anna-q", "wrong"), ("none-q", "wrong"), ("gone-q", "CANARY-password")];
    let by_header = |login: &str, password: &str| {
        app.client().with_password(login, password).who(&[]).expect(401)
    };
    let by_page = |login: &str, password: &str| {
        let visitor = app.client().with_authorization(None);
        let form = format!("login={login}&password={password}");
        visitor.request("POST", "/sign-in", &[FORM], form.as_bytes())
    };
    let mut work = Vec::new();
    let (first_by_header, first_by_page) =
        (by_header("anna-q", "wrong"), by_page("anna-q", "wrong"));
    for (login, password) in guesses {
        assert_eq!(
            without_id(&by_header(login, password)),
            without_id(&first_by_header),
            "{login}"
        );
        let page = without_id(&by_page(login, password)).replace(login, "anna-q");
        assert_eq!(page, without_id(&first_by_page), "{login}");
        let before = ticks(&app);
        (0..TRIES).for_each(|_| drop(by_header(login, password)));
        work.push(ticks(&app) - before);
    }
    let (least, most) = (work.iter().min().expect("three"), work.iter().max().expect("three"));
    assert!(*most > 0 && least * 2 >= *most, "{TRIES} tries each: {work:?} ticks");
}

/// CONTRACT 33, 35: of a thousand guesses at one user's password, all but the first few get a 429 with the time to
/// retry. Meanwhile that user's ticket and another user's password work.
#[test]
fn a_thousand_guesses_get_nowhere_and_stop_no_caller() {
    const GUESSERS: usize = 4;
    const GUESSES: usize = 1000;
    let app = Setup::new().with("LOG__FILTER", "warn").start();
    app.add_user("ann");
    let ticket = format!("SoTicket {}", app.ticket("tje0"));
    let (verified, served) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let guess = |guesser: usize| {
        for number in 0..GUESSES / GUESSERS {
            let guess = format!("guess-{guesser}-{number}");
            let answer = app.client().with_password("tje0", &guess).who(&[]);
            if answer.status == 401 {
                verified.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let seconds: u64 = answer.expect(429).header("Retry-After").parse().expect("seconds");
            assert!((1..=60).contains(&seconds), "{seconds}");
        }
    };
    thread::scope(|scope| {
        let guess = &guess;
        let guessers: Vec<_> =
            (0..GUESSERS).map(|guesser| scope.spawn(move || guess(guesser))).collect();
        while guessers.iter().any(|guesser| !guesser.is_finished()) {
            app.client().with_authorization(Some(&ticket)).who(&[]).expect(200);
            app.client().with_password("ann", "CANARY-password").who(&[]).expect(200);
            served.fetch_add(1, Ordering::Relaxed);
        }
    });
    // Ten at once, then one every six seconds.
    let verified = verified.load(Ordering::Relaxed);
    assert!(verified < GUESSES / 10, "{verified} of {GUESSES} guesses were verified");
    assert!(served.load(Ordering::Relaxed) > 0);
}
