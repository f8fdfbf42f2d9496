//! Passwords and their Argon2id hashes.
//!
//! Invariant: verification costs the same for known and unknown users, and uses the parameters of the hash. Passwords
//! are hashed in Unicode NFC, so the keyboard does not matter.

use std::{borrow::Cow, fmt};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{PasswordHasher as _, phc},
};
use aws_lc_rs::constant_time;
use model::{Login, PasswordHash, SecretText, wiping_stack};
use unicode_normalization::{UnicodeNormalization as _, is_nfc};

use crate::random::random;

/// The hash for unknown users. It has the current parameters, so that its verification costs as much as for a known
/// user. No password fits it.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bGF0Y2hrZXktZGVjb3k$\
                     AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

const GENERATED_CHARS: usize = 20;

/// The most common passwords, in lower case. `common-passwords.LICENSE` names their source.
const COMMON: &str = include_str!("../common-passwords.txt");
/// The names of the service, which attackers try too (NIST SP 800-63B §5.1.1.2).
const SERVICE: [&str; 2] = ["latchkey", "superoffice"];

/// A password in plain text. Drop it as soon as possible.
#[derive(Clone)]
pub struct Password(SecretText);

impl Password {
    /// Generates a password of 20 letters and digits (100 bits).
    pub fn generate() -> Self {
        // 32 characters, so there is no modulo bias. Characters that look alike are left out.
        const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
        let text: String = random::<GENERATED_CHARS>()
            .iter()
            .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
            .collect();
        Self(text.into())
    }

    /// The text of the password, not normalized.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The password in NFC; `None` if it already is.
    fn composed(&self) -> Option<Self> {
        let text = self.expose();
        if is_nfc(text) { None } else { Some(Self(text.nfc().collect::<String>().into())) }
    }
}

/// Why a password is too weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// The password is too short, too long, or has control characters.
    #[error(
        "a password has 8 to 1024 characters, none of them a control character; spaces before and after \
         it do not count"
    )]
    Characters,
    /// The password is one of the most common ones.
    #[error("this password is too common; choose one that is not a word or a row of keys")]
    Common,
    /// The password is the user's login.
    #[error("a password must not be the login")]
    Login,
}

impl Password {
    /// Checks a password that a user chose. It has 8 to 1024 characters that RFC 7617 can carry. There are no rules of
    /// composition (NIST SP 800-63B §5.1.1.2).
    ///
    /// # Errors
    /// The password has the wrong length or a control character, or is common, or is the login. Case and spaces around
    /// it are ignored for the latter two.
    pub fn choose(text: &str, login: &Login) -> Result<Self, WeakPassword> {
        let text: Cow<'_, str> =
            if is_nfc(text) { Cow::Borrowed(text) } else { text.nfc().collect() };
        let core = text.trim();
        if core.chars().count() < 8
            || text.chars().count() > 1024
            || text.contains(char::is_control)
        {
            return Err(WeakPassword::Characters);
        }
        let core = core.to_lowercase();
        if core == login.as_str().to_lowercase() {
            return Err(WeakPassword::Login);
        }
        if SERVICE.contains(&core.as_str()) || COMMON.lines().any(|common| common == core) {
            return Err(WeakPassword::Common);
        }
        Ok((&*text).into())
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(redacted)")
    }
}

/// Hashes a password in NFC with Argon2id (19 MiB, 2 passes, 1 lane) and a random salt. It is slow on purpose.
pub fn hash(password: &Password) -> PasswordHash {
    let composed = password.composed();
    let password = composed.as_ref().unwrap_or(password);
    let salt = random::<16>();
    let text = password.expose().as_bytes();
    let hash = || Argon2::default().hash_password_with_salt(text, salt.as_slice());
    let hash: phc::PasswordHash = wiping_stack(hash).expect("the default parameters are valid");
    PasswordHash::from_phc(hash.to_string())
}

/// The memory for hashing, 19 MiB after the first use. Reuse it for the next hash, and drop it when no hash is waiting.
#[derive(Default)]
pub struct HashMemory(Vec<Block>);

/// The capacity that is allocated, in blocks. Above 32 MiB glibc always uses `mmap`, so the memory returns to the system
/// when it is dropped (mallopt(3), M_MMAP_THRESHOLD). Untouched pages take no memory.
const ROOM: usize = (33 << 20) / Block::SIZE;

/// Verifies a password against a hash. Pass `None` for an unknown user: the answer is then false after the same work. A
/// malformed hash rejects every password.
///
/// A password that is not in NFC is verified in NFC first and then as it is, because an earlier version hashed it so.
/// That takes twice as long, for known and unknown users.
pub fn verify(password: &Password, hash: Option<&PasswordHash>, memory: &mut HashMemory) -> bool {
    let phc = hash.map_or(DECOY, PasswordHash::expose);
    let mut is_right = |password: &Password| {
        wiping_stack(|| matches(password, phc, memory)).unwrap_or(false) && hash.is_some()
    };
    password.composed().is_some_and(|composed| is_right(&composed)) || is_right(password)
}

/// Whether the password matches; `None` for a malformed hash.
fn matches(password: &Password, phc: &str, memory: &mut HashMemory) -> Option<bool> {
    let parsed = phc::PasswordHash::new(phc).ok()?;
    let (salt, expected) = (parsed.salt?, parsed.hash?);
    let algorithm = Algorithm::try_from(parsed.algorithm.as_str()).ok()?;
    let version = parsed.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    let params = Params::try_from(&parsed).ok()?;
    memory.0.reserve(ROOM.saturating_sub(memory.0.len()));
    memory.0.resize(params.block_count().max(memory.0.len()), Block::new());
    let mut found = vec![0; expected.len()];
    let text = password.expose().as_bytes();
    let argon2 = Argon2::new(algorithm, version, params);
    argon2.hash_password_into_with_memory(text, &salt, &mut found, &mut memory.0).ok()?;
    Some(constant_time::verify_slices_are_equal(&found, expected.as_bytes()).is_ok())
}

/// Whether the hash has other parameters than the current ones.
pub fn is_outdated(hash: &PasswordHash) -> bool {
    let of_today = phc::PasswordHash::new(DECOY).map(|decoy| (decoy.algorithm, decoy.params));
    let of_hash = phc::PasswordHash::new(hash.expose()).map(|hash| (hash.algorithm, hash.params));
    of_hash.ok() != of_today.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(password: &Password, hash: Option<&PasswordHash>) -> bool {
        super::verify(password, hash, &mut HashMemory::default())
    }

    #[test]
    fn a_password_verifies_against_its_own_hash_only() {
        let hash = hash(&"Tje0".into());
        assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "ASVS 11.4.2");
        assert!(verify(&"Tje0".into(), Some(&hash)));
        assert!(!verify(&"tje0".into(), Some(&hash)));
        assert!(!verify(&"".into(), Some(&hash)));
        let mut memory = HashMemory::default();
        for password in ["Tje0", "tje0", "Tje0"] {
            let is_right = super::verify(&password.into(), Some(&hash), &mut memory);
            assert_eq!(is_right, password == "Tje0", "with memory that was used");
        }
        let damaged = PasswordHash::from_phc("$argon2id$nonsense".to_owned());
        assert!(!verify(&"Tje0".into(), Some(&damaged)));
    }

    /// CONTRACT 26: passwords are normalized as in RFC 8265. Earlier hashes of passwords not in NFC stay valid.
    #[test]
    fn a_password_is_the_same_in_every_form() {
        let (composed, decomposed) = ("Blåbær-1", "Bla\u{30a}bær-1");
        for chosen in [composed, decomposed] {
            let login = Login::parse("ann").expect("login");
            let hash = hash(&Password::choose(chosen, &login).expect("strong"));
            assert!(
                verify(&composed.into(), Some(&hash)) && verify(&decomposed.into(), Some(&hash))
            );
            assert!(!verify(&"Blabær-1".into(), Some(&hash)));
        }
        let old = Argon2::default().hash_password_with_salt(decomposed.as_bytes(), &[7; 16]);
        let old = PasswordHash::from_phc(old.expect("hash").to_string());
        assert!(verify(&decomposed.into(), Some(&old)));
        assert!(!verify(&composed.into(), Some(&old)));
        assert!(!verify(&decomposed.into(), None));
    }

    /// The decoy must have the current parameters, because otherwise the time would show that a user is unknown.
    #[test]
    fn an_unknown_user_costs_a_full_hash() {
        let decoy = phc::PasswordHash::new(DECOY).expect("decoy parses");
        let real = hash(&"x".into());
        let real = phc::PasswordHash::new(real.expose()).expect("hash parses");
        assert_eq!(decoy.params, real.params);
        assert_eq!(decoy.hash.map(|h| h.len()), real.hash.map(|h| h.len()));
        assert_eq!(decoy.salt.map(|s| s.len() > 8), Some(true));
        assert!(!verify(&"x".into(), None));
    }

    #[test]
    fn a_hash_of_other_parameters_is_outdated() {
        assert!(!is_outdated(&hash(&"Tje0".into())));
        for other in [
            "$argon2id$v=19$m=4096,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(is_outdated(&PasswordHash::from_phc(other.to_owned())), "{other}");
        }
    }

    /// ASVS 6.2.1, 6.2.4: at least 8 characters, and none of the common ones.
    #[test]
    fn a_weak_password_cannot_be_chosen() {
        use WeakPassword::{Characters, Common, Login as IsLogin};
        let (login, long) = (Login::parse("Ann.Smith-1974").expect("login"), "x".repeat(1025));
        for good in ["1 2 3 4 5", "blåbær£ø", "a:b c:d e", "password of ann", &"x".repeat(1024)]
        {
            assert!(Password::choose(good, &login).is_ok(), "{good}");
        }
        for (bad, expected) in [
            ("", Characters),
            ("1234567", Characters),
            ("1234567\n8", Characters),
            ("        ", Characters),
            ("\u{3000}\u{a0}  123456  ", Characters),
            (long.as_str(), Characters),
            (" ann.smith-1974", IsLogin),
            ("password", Common),
            ("PassWord", Common),
            (" 12345678 ", Common),
            ("Latchkey", Common),
        ] {
            assert_eq!(Password::choose(bad, &login).err(), Some(expected), "{bad}");
        }
    }

    /// Passwords are compared with the list in lower case and trimmed, so the list must be both.
    #[test]
    fn the_list_of_common_passwords_can_be_matched() {
        assert!(COMMON.lines().count() > 8000);
        for common in COMMON.lines().chain(SERVICE) {
            assert!(common.chars().count() >= 8, "{common}");
            assert!(common == common.trim().to_lowercase(), "{common}");
        }
    }

    #[test]
    fn generated_passwords_are_long_and_differ() {
        let (one, two) = (Password::generate(), Password::generate());
        assert_eq!(one.expose().len(), GENERATED_CHARS);
        assert!(one.expose() != two.expose());
    }
}
