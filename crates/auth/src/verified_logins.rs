//! Remembers which passwords were verified lately, because Argon2id is slow on purpose.
//!
//! Invariant: no password is kept, only a MAC over it, under a key that lives as long as the process.
//! The MAC covers the stored hash and the version of the user too, so a changed user is forgotten at
//! once.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use model::{User, wiping_stack};

use crate::{Password, random::random};

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
        let key = hmac::Key::new(hmac::HMAC_SHA256, random::<32>().as_slice());
        Self { key, expiries: Mutex::default() }
    }

    /// Whether this password was verified for this very state of the user, coming from this network, less
    /// than five minutes ago. For no user the same work is done.
    pub fn contains(
        &self,
        user: Option<&User>,
        password: &Password,
        network: Option<IpAddr>,
        now: Instant,
    ) -> bool {
        let mac = self.mac(user, password, network);
        let expiries = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        expiries.get(&mac).is_some_and(|expiry| now < *expiry)
    }

    /// Remembers that this password was verified just now.
    pub fn remember(
        &self,
        user: &User,
        password: &Password,
        network: Option<IpAddr>,
        now: Instant,
    ) {
        let mac = self.mac(Some(user), password, network);
        let mut expiries = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        if expiries.len() >= CAPACITY {
            expiries.retain(|_, expiry| now < *expiry);
        }
        if expiries.len() >= CAPACITY {
            expiries.clear();
        }
        expiries.insert(mac, now + REMEMBERED_FOR);
    }

    fn mac(&self, user: Option<&User>, password: &Password, network: Option<IpAddr>) -> Mac {
        wiping_stack(|| self.sign(user, password, network))
    }

    fn sign(&self, user: Option<&User>, password: &Password, network: Option<IpAddr>) -> Mac {
        let version = user.map_or(0, |user| user.version).to_string();
        let network = network.map(|network| network.to_string()).unwrap_or_default();
        let mut context = hmac::Context::with_key(&self.key);
        for part in [
            user.map_or("", |user| user.tenant.as_str()),
            user.map_or("", |user| user.login.as_str()),
            user.map_or("", |user| user.password_hash.expose()),
            &version,
            &network,
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
    use std::net::Ipv4Addr;

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

    const HERE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));

    #[test]
    fn only_the_same_password_of_the_same_user_is_remembered_and_only_for_minutes() {
        let logins = VerifiedLogins::new();
        let now = Instant::now();
        let contains = |user: &User, password: &str, network, now| {
            logins.contains(Some(user), &password.into(), network, now)
        };
        assert!(!contains(&user("h"), "Tje0", HERE, now));
        logins.remember(&user("h"), &"Tje0".into(), HERE, now);
        assert!(contains(&user("h"), "Tje0", HERE, now));
        assert!(!contains(&user("h"), "other", HERE, now));
        assert!(!contains(&user("new hash"), "Tje0", HERE, now), "password changed");
        let changed = User { version: 2, ..user("h") };
        assert!(!contains(&changed, "Tje0", HERE, now), "user changed");
        let elsewhere = Some(IpAddr::V4(Ipv4Addr::BROADCAST));
        assert!(!contains(&user("h"), "Tje0", elsewhere, now), "from another network");
        assert!(!contains(&user("h"), "Tje0", None, now));
        assert!(!contains(&user("h"), "Tje0", HERE, now + REMEMBERED_FOR));
        assert!(!logins.contains(None, &"Tje0".into(), HERE, now));
    }

    #[test]
    fn the_memory_is_bounded() {
        let logins = VerifiedLogins::new();
        let now = Instant::now();
        for number in 0..=CAPACITY {
            logins.remember(&user("h"), &number.to_string().as_str().into(), HERE, now);
        }
        assert!(logins.expiries.lock().expect("lock").len() <= CAPACITY);
        let last = CAPACITY.to_string();
        assert!(logins.contains(Some(&user("h")), &last.as_str().into(), HERE, now));
    }
}
