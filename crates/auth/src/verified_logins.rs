//! Remembers which passwords were verified lately, because Argon2id is slow on purpose.
//!
//! Invariant: no password is kept, only a MAC over it, under a key that lives as long as the process.
//! The MAC covers the stored hash and the version of the user too, so a changed user is forgotten at
//! once.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use model::User;

use crate::Password;

/// How long a verified login is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);
/// How many are remembered; past that the expired ones go, and if there are none, all.
const CAPACITY: usize = 10_000;

type Mac = [u8; 32];

/// The logins verified in the last minutes. Whether the user is disabled is not its business.
pub struct VerifiedLogins {
    key: hmac::Key,
    expiries: Mutex<HashMap<Mac, Instant>>,
}

impl VerifiedLogins {
    /// An empty memory with a random key.
    pub fn new() -> Self {
        let mut secret = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut secret).expect("the system's random number generator works");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        Self { key, expiries: Mutex::default() }
    }

    /// Whether this password was verified for this very state of the user less than five minutes ago.
    pub fn contains(&self, user: &User, password: &Password, now: Instant) -> bool {
        let mac = self.mac(user, password);
        let expiries = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        expiries.get(&mac).is_some_and(|expiry| now < *expiry)
    }

    /// Remembers that this password was verified just now.
    pub fn remember(&self, user: &User, password: &Password, now: Instant) {
        let mac = self.mac(user, password);
        let mut expiries = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        if expiries.len() >= CAPACITY {
            expiries.retain(|_, expiry| now < *expiry);
        }
        if expiries.len() >= CAPACITY {
            expiries.clear();
        }
        expiries.insert(mac, now + REMEMBERED_FOR);
    }

    fn mac(&self, user: &User, password: &Password) -> Mac {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [
            user.tenant.as_str(),
            user.login.as_str(),
            &user.version.to_string(),
            user.password_hash.expose(),
            password.expose(),
        ] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }
}

impl Default for VerifiedLogins {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Login, PasswordHash, TenantId};

    fn user(hash: &str) -> User {
        User {
            tenant: TenantId::single(),
            login: Login::parse("tje0").expect("login"),
            password_hash: PasswordHash::from_phc(hash.to_owned()),
            is_administrator: false,
            is_disabled: false,
            version: 1,
        }
    }

    #[test]
    fn only_the_same_password_of_the_same_user_is_remembered_and_only_for_minutes() {
        let logins = VerifiedLogins::new();
        let now = Instant::now();
        assert!(!logins.contains(&user("h"), &"Tje0".into(), now));
        logins.remember(&user("h"), &"Tje0".into(), now);
        assert!(logins.contains(&user("h"), &"Tje0".into(), now));
        assert!(!logins.contains(&user("h"), &"other".into(), now));
        assert!(!logins.contains(&user("new hash"), &"Tje0".into(), now), "password changed");
        let changed = User { version: 2, ..user("h") };
        assert!(!logins.contains(&changed, &"Tje0".into(), now), "user changed");
        assert!(!logins.contains(&user("h"), &"Tje0".into(), now + REMEMBERED_FOR));
    }

    #[test]
    fn the_memory_is_bounded() {
        let logins = VerifiedLogins::new();
        let now = Instant::now();
        for number in 0..=CAPACITY {
            logins.remember(&user("h"), &number.to_string().as_str().into(), now);
        }
        assert!(logins.expiries.lock().expect("lock").len() <= CAPACITY);
        assert!(logins.contains(&user("h"), &CAPACITY.to_string().as_str().into(), now));
    }
}
