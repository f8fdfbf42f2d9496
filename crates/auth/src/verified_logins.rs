//! A cache of verified passwords, because Argon2id is slow on purpose.
//!
//! Invariant: the cache holds MACs, never passwords, under a key of the process. The MAC also covers the stored hash and
//! the version of the user, so a changed user misses the cache at once. The cache is bounded and evicts one login at a
//! time.

use std::{
    net::IpAddr,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use lru::LruCache;
use model::{User, wiping_stack};

use crate::{Password, random::random};

/// The maximum time since the last use of a cached login.
const IDLE_FOR: Duration = Duration::from_secs(300);
/// The maximum age of a cached login.
const AT_MOST: Duration = Duration::from_secs(12 * 3600);
/// The maximum number of cached logins. Above it the least recently used one is evicted.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(10_000).expect("not 0");

type Mac = [u8; 32];

/// A cache of verified logins. It does not check whether a user is disabled.
pub struct VerifiedLogins {
    key: hmac::Key,
    logins: Mutex<LruCache<Mac, Verified>>,
}

struct Verified {
    at: Instant,
    used: Instant,
}

impl VerifiedLogins {
    /// An empty cache with a random key.
    pub fn new() -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, random::<32>().as_slice());
        Self { key, logins: Mutex::new(LruCache::new(CAPACITY)) }
    }

    /// Whether this password of this user, from this network, is cached. It was then verified less than 12 hours ago and
    /// used less than five minutes ago. A hit counts as a use. For `None` the same work is done.
    pub fn recalls(
        &self,
        user: Option<&User>,
        password: &Password,
        network: Option<IpAddr>,
        now: Instant,
    ) -> bool {
        let mac = self.mac(user, password, network);
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(login) = logins.get_mut(&mac) else { return false };
        let is_remembered = now < login.used + IDLE_FOR && now < login.at + AT_MOST;
        if is_remembered {
            login.used = now;
        } else {
            logins.pop(&mac);
        }
        is_remembered
    }

    /// Caches a password that was just verified.
    pub fn remember(
        &self,
        user: &User,
        password: &Password,
        network: Option<IpAddr>,
        now: Instant,
    ) {
        let mac = self.mac(Some(user), password, network);
        let mut logins = self.logins.lock().unwrap_or_else(PoisonError::into_inner);
        logins.put(mac, Verified { at: now, used: now });
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

    /// CONTRACT 26.
    #[test]
    fn only_the_same_password_of_the_same_user_is_remembered() {
        let logins = VerifiedLogins::new();
        let now = Instant::now();
        let recalls = |user: &User, password: &str, network| {
            logins.recalls(Some(user), &password.into(), network, now)
        };
        assert!(!recalls(&user("h"), "Tje0", HERE));
        logins.remember(&user("h"), &"Tje0".into(), HERE, now);
        assert!(recalls(&user("h"), "Tje0", HERE));
        assert!(!recalls(&user("h"), "other", HERE));
        assert!(!recalls(&user("new hash"), "Tje0", HERE), "password changed");
        let changed = User { version: 2, ..user("h") };
        assert!(!recalls(&changed, "Tje0", HERE), "user changed");
        let elsewhere = Some(IpAddr::V4(Ipv4Addr::BROADCAST));
        assert!(!recalls(&user("h"), "Tje0", elsewhere), "from another network");
        assert!(!recalls(&user("h"), "Tje0", None));
        assert!(!logins.recalls(None, &"Tje0".into(), HERE, now));
    }

    /// CONTRACT 26: a use extends a cached login, up to 12 hours.
    #[test]
    fn a_login_in_use_is_remembered_but_not_without_end() {
        let logins = VerifiedLogins::new();
        let began = Instant::now();
        let recalls = |after| logins.recalls(Some(&user("h")), &"Tje0".into(), HERE, began + after);
        let remember = |after| {
            logins.remember(&user("h"), &"Tje0".into(), HERE, began + after);
        };
        remember(Duration::ZERO);
        assert!(recalls(IDLE_FOR - Duration::from_secs(1)));
        assert!(recalls(2 * IDLE_FOR - Duration::from_secs(2)), "it was used");
        assert!(!recalls(3 * IDLE_FOR), "it was idle");
        remember(Duration::ZERO);
        let uses = (1..=u32::MAX).map(|number| number * (IDLE_FOR / 2));
        let used = uses.take_while(|after| recalls(*after)).count();
        assert_eq!(used, 12 * 24 - 1, "each 150 seconds, and less than 12 hours");
        assert!(!recalls(Duration::ZERO), "what ended does not come back");
    }

    /// One more login evicts the least recently used one.
    #[test]
    fn the_memory_is_bounded_and_evicts_one_by_one() {
        let logins = VerifiedLogins::new();
        let now = Instant::now();
        let recalls = |number: usize| {
            logins.recalls(Some(&user("h")), &number.to_string().as_str().into(), HERE, now)
        };
        let remember = |number: usize| {
            logins.remember(&user("h"), &number.to_string().as_str().into(), HERE, now);
        };
        (0..CAPACITY.get()).for_each(remember);
        assert!(recalls(0), "used");
        remember(CAPACITY.get());
        assert_eq!(logins.logins.lock().expect("lock").len(), CAPACITY.get());
        assert!(!recalls(1), "the least recently used");
        assert!(recalls(0) && (2..=CAPACITY.get()).all(recalls), "all others are there");
    }
}
