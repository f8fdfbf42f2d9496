//! Signs a user in by a password, issues a ticket, and signs a webhook.
//!
//! Invariant: no secret is printed.
//!
//! ```text
//! choose 12345678              this password is too common; choose one that is not a word or a row of keys
//! choose correct horse battery Password(redacted)
//! eva, right password          signed in as eva
//! eva, wrong password          the user name or the password is wrong
//! ola, who does not exist      the user name or the password is wrong
//! ticket, at once              valid for eva
//! ticket, after seven hours    the ticket is not valid
//! ticket, after a new password the ticket is not valid
//! webhook                      v1,bPH8E6tHlIv1QzjNQcroe3SuZDsfHITpFEbxcwU3Kg8=
//! ```
//!
//! A wrong password and an unknown user have the same error and take the same time. A ticket ends after six hours
//! without use, and at once when its user changes. A receiver of the webhook computes the same signature.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use auth::{
    AuthError, Authorization, BasicEncoding, HashMemory, Installation, Lifetime, Password, Policy,
    Presented, Switches, WebhookSecret, hash, verify,
};
use model::{CredentialKind, Login, TenantId, User};

const HOUR: i64 = 3_600_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let login = Login::parse("eva")?;
    for text in ["12345678", "correct horse battery"] {
        match Password::choose(text, &login) {
            Ok(password) => println!("{:<28} {password:?}", format!("choose {text}")),
            Err(error) => println!("{:<28} {error}", format!("choose {text}")),
        }
    }
    let mut user = User {
        tenant: TenantId::single(),
        login,
        password_hash: hash(&Password::from("correct horse battery")),
        is_administrator: false,
        is_disabled: false,
        version: 1,
    };

    for (name, header) in [
        ("eva, right password", "Basic ZXZhOmNvcnJlY3QgaG9yc2UgYmF0dGVyeQ=="),
        ("eva, wrong password", "Basic ZXZhOndyb25n"),
        ("ola, who does not exist", "Basic b2xhOndyb25n"),
    ] {
        match sign_in(header, &user) {
            Ok(user) => println!("{name:<28} signed in as {}", user.login),
            Err(error) => println!("{name:<28} {error}"),
        }
    }

    // Times are microseconds since 1970 UTC.
    let now = 1_790_000_000_000_000;
    let ticket = Presented::generate(CredentialKind::Ticket, None);
    let issued = ticket.issue(&user, Lifetime::TICKET, now);
    // The bearer gets `ticket.text()`, and the database gets `issued`, which has no secret.
    let show = |name: &str, user: &User, now| {
        let text = ticket.text();
        match Presented::parse_ticket(text.expose())?.check(Some((&issued, user)), now) {
            Ok((_, user)) => println!("{name:<28} valid for {}", user.login),
            Err(error) => println!("{name:<28} {error}"),
        }
        Ok::<(), AuthError>(())
    };
    show("ticket, at once", &user, now)?;
    show("ticket, after seven hours", &user, now + 7 * HOUR)?;
    user.version += 1;
    show("ticket, after a new password", &user, now)?;

    let secret = WebhookSecret::parse("whsec_bGF0Y2hrZXkgZXhhbXBsZSBzZWNyZXQgbm90IHJlYWw=")?;
    let signature = secret.sign("msg_1", 1_790_000_000, br#"{"type":"grant.dead"}"#);
    println!("{:<28} {signature}", "webhook");
    Ok(())
}

/// Looks the user up and verifies the password. For an unknown user the same work is done.
fn sign_in<'a>(header: &str, known: &'a User) -> Result<&'a User, AuthError> {
    let policy = Policy::new(Installation::Onsite, Switches::default());
    let caller = match Authorization::parse(header.as_bytes(), BasicEncoding::Plain, &policy)? {
        Authorization::Password(caller) => caller,
        Authorization::Issued(_) | Authorization::Jwt(_) => {
            return Err(AuthError::UnsupportedScheme);
        }
    };
    let found = Some(known).filter(|user| user.login == caller.login && !user.is_disabled);
    let hash = found.map(|user| &user.password_hash);
    let is_right = verify(&caller.password, hash, &mut HashMemory::default());
    found.filter(|_| is_right).ok_or(AuthError::Refused)
}
