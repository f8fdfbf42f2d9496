//! Access tokens. A caller that asks again within some minutes gets the same token.
//!
//! Invariant: a token is a MAC under the caller's own credential, which is not in the database. A caller that asks in a
//! loop makes one row for each period. Each token that is returned is valid for an hour.

use aws_lc_rs::hmac;
use model::{ApplicationName, CredentialId, IssuedCredential, User, wiping_stack};
use zeroize::Zeroizing;

use crate::{
    BasicCredentials, Lifetime, Presented,
    random::{hexadecimal, random},
};

/// How long the same token is returned, in microseconds.
const PERIOD: i64 = 10 * 60 * 1_000_000;

/// A request for an access token.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest<'a> {
    /// The user of the token.
    pub user: &'a User,
    /// The credential of the caller, if this server issued it.
    pub parent: Option<&'a CredentialId>,
    /// The application that asks. The token is valid only for that application.
    pub application: Option<&'a ApplicationName>,
    /// The time, in microseconds since 1970 UTC.
    pub now: i64,
}

/// The key for the tokens of callers with a password. It is never stored, because otherwise a token's digest in the
/// database would let an attacker test passwords.
pub struct PasswordTokens {
    key: Zeroizing<[u8; 32]>,
}

impl PasswordTokens {
    /// Makes a random key.
    pub fn new() -> Self {
        Self { key: random() }
    }

    /// The token of a caller with this password.
    pub fn token(&self, caller: &BasicCredentials, request: TokenRequest<'_>) -> Presented {
        request.token(self.key.as_slice(), caller.password.expose())
    }
}

impl Default for PasswordTokens {
    fn default() -> Self {
        Self::new()
    }
}

impl Presented {
    /// The token of a caller with this ticket or session.
    pub fn token(&self, request: TokenRequest<'_>) -> Self {
        request.token(self.secret().expose().as_bytes(), "")
    }
}

impl TokenRequest<'_> {
    fn token(self, key: &[u8], password: &str) -> Presented {
        let mac = Zeroizing::new(wiping_stack(|| self.mac(key, password)));
        let (id, secret) = mac.split_at(16);
        let id = CredentialId::parse(&hexadecimal(id)).expect("16 bytes are 32 digits");
        let tenant = self.user.tenant.clone();
        Presented::access_token(id, hexadecimal(secret).into(), tenant)
    }

    fn mac(self, key: &[u8], password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        for part in [
            "latchkey access token 1",
            self.parent.map_or("", CredentialId::as_str),
            self.user.tenant.as_str(),
            self.user.login.as_str(),
            &self.user.version.to_string(),
            self.application.map_or("", ApplicationName::as_str),
            &self.period().to_string(),
            password,
        ] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }

    fn period(self) -> i64 {
        self.now.div_euclid(PERIOD)
    }

    /// The row for the database.
    pub fn issue(self, token: &Presented) -> IssuedCredential {
        let end = (self.period() + 1) * PERIOD;
        IssuedCredential {
            created: self.now,
            parent: self.parent.cloned(),
            application: self.application.cloned(),
            ..token.issue(self.user, Lifetime::ACCESS_TOKEN, end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{CredentialKind, Login, PasswordHash, TenantId};

    const MINUTE: i64 = 60 * 1_000_000;
    const NOON: i64 = 3_000_000 * PERIOD;

    fn user() -> User {
        User {
            tenant: TenantId::parse("cust1").expect("tenant"),
            login: Login::parse("tje0").expect("login"),
            password_hash: PasswordHash::from_phc("h".to_owned()),
            is_administrator: false,
            is_disabled: false,
            version: 3,
        }
    }

    fn caller(password: &str) -> BasicCredentials {
        BasicCredentials { login: user().login, password: password.into() }
    }

    fn text(token: &Presented) -> String {
        token.text().expose().to_owned()
    }

    /// CONTRACT 28: asked for again it is the same for some minutes, and good for an hour whenever it is
    /// handed out.
    #[test]
    fn a_token_stays_the_same_for_a_period() {
        let (ticket, user) = (Presented::generate(CredentialKind::Ticket, None), user());
        let at = |now| TokenRequest { user: &user, parent: None, application: None, now };
        let first = ticket.token(at(NOON));
        let read = Presented::parse_access_token(&text(&first)).expect("one").expect("well-formed");
        let issued = at(NOON).issue(&first);
        assert_eq!((issued.created, &issued.id), (NOON, first.id()));
        for now in [NOON, NOON + 9 * MINUTE, NOON + PERIOD - 1] {
            assert_eq!(text(&ticket.token(at(now))), text(&first));
            let again = at(now).issue(&first);
            assert_eq!(again.expires, issued.expires);
            let last = now + 60 * MINUTE - 1;
            assert!(read.check(Some((&again, &user)), last).is_ok(), "good for an hour");
        }
        assert!(read.check(Some((&issued, &user)), NOON + PERIOD + 60 * MINUTE).is_err());
        assert_ne!(text(&ticket.token(at(NOON + PERIOD))), text(&first));
    }

    /// CONTRACT 28: every caller, application, state of the user and server process has tokens of its own.
    #[test]
    fn no_two_callers_have_the_same_token() {
        let (before, after) = (user(), User { version: 4, ..user() });
        let other = User { login: Login::parse("ann").expect("login"), ..user() };
        let application = ApplicationName::parse("crm-sync").expect("name");
        let parent = CredentialId::parse(&"0".repeat(32)).expect("id");
        let plain = TokenRequest { user: &before, parent: None, application: None, now: NOON };
        let requests = [
            plain,
            TokenRequest { user: &after, ..plain },
            TokenRequest { user: &other, ..plain },
            TokenRequest { parent: Some(&parent), ..plain },
            TokenRequest { application: Some(&application), ..plain },
        ];
        let (ticket, session) = (
            Presented::generate(CredentialKind::Ticket, None),
            Presented::generate(CredentialKind::Session, None),
        );
        let (here, there) = (PasswordTokens::new(), PasswordTokens::new());
        let mut tokens = Vec::new();
        for request in requests {
            let made = [
                ticket.token(request),
                session.token(request),
                here.token(&caller("one"), request),
                here.token(&caller("two"), request),
                there.token(&caller("one"), request),
            ];
            tokens.extend(made.iter().map(text));
            assert_eq!(text(&here.token(&caller("one"), request)), text(&made[2]));
        }
        let count = tokens.len();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), count);
    }
}
