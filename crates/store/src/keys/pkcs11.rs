//! Master keys sealed by a hardware module, through PKCS#11.
//!
//! Invariant: the module's own key never leaves it. The module opens a master key when the database is opened, and is
//! not used for calls. A rejected PIN is never tried again, because otherwise the token would lock itself.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use model::SecretText;

/// A token of a hardware module, and its key that seals master keys.
#[derive(Clone)]
#[cfg_attr(not(feature = "pkcs11"), expect(dead_code, reason = "this build asks no module"))]
pub struct Module {
    library: PathBuf,
    token: String,
    key: String,
    pin: SecretText,
    is_pin_refused: Arc<AtomicBool>,
}

impl Module {
    /// Describes a module: the vendor's library, the token's label, the label of its AES-256 key, and the PIN of the
    /// token's user. The key is made when it is first needed. Does not contact the module yet.
    pub fn new(library: PathBuf, token: String, key: String, pin: SecretText) -> Self {
        Self { library, token, key, pin, is_pin_refused: Arc::default() }
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module({})", self.library.display())
    }
}

#[cfg(not(feature = "pkcs11"))]
mod absent {
    use zeroize::Zeroizing;

    use super::Module;
    use crate::OpenError;

    impl Module {
        pub(crate) fn seal(&self, _id: &str, _kek: &[u8]) -> Result<Vec<u8>, OpenError> {
            Err(OpenError::NoPkcs11)
        }

        pub(crate) fn open(
            &self,
            _id: &str,
            _sealed: &[u8],
        ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
            Err(OpenError::NoPkcs11)
        }
    }
}

#[cfg(feature = "pkcs11")]
mod module {
    use std::sync::atomic::Ordering;

    use cryptoki::{
        context::{CInitializeArgs, CInitializeFlags, Pkcs11},
        error::{Error, RvError},
        mechanism::{Mechanism, aead::GcmParams},
        object::{Attribute, KeyType, ObjectClass, ObjectHandle},
        session::{Session, UserType},
        slot::Slot,
        types::AuthPin,
    };
    use zeroize::Zeroizing;

    use super::Module;
    use crate::{
        OpenError,
        seal::{format::Format, random},
    };

    const NONCE_LEN: usize = 12;
    const TAG_BITS: u64 = 128;
    const KEY_BYTES: u64 = 32;

    impl Module {
        /// Seals a master key under the module's key, which is made if it is missing. Blocks.
        ///
        /// # Errors
        /// The message names the problem with the module, the token or its PIN, and a remedy.
        pub(crate) fn seal(&self, id: &str, kek: &[u8]) -> Result<Vec<u8>, OpenError> {
            let session = self.log_in(Pkcs11::open_rw_session)?;
            let key = match self.keys(&session)?.first() {
                Some(key) => *key,
                None => self.make_key(&session)?,
            };
            // A module may choose its own nonce and write it here.
            let mut nonce: Zeroizing<[u8; NONCE_LEN]> = random();
            let sealed = {
                let aad = aad(id);
                let gcm = GcmParams::new(nonce.as_mut_slice(), &aad, TAG_BITS.into());
                let gcm = gcm.map_err(|error| self.failed(error))?;
                session.encrypt(&Mechanism::AesGcm(gcm), key, kek)
            };
            let sealed = sealed.map_err(|error| self.failed(error))?;
            Ok([&Format::V1.header(), nonce.as_slice(), &sealed].concat())
        }

        /// Opens a sealed master key. Blocks.
        ///
        /// # Errors
        /// As `seal`, and `KeyWrong`: the token's key did not seal it.
        pub(crate) fn open(
            &self,
            id: &str,
            sealed: &[u8],
        ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
            let wrong = || OpenError::KeyWrong(format!("the key `{}` of the token", self.key));
            let body = sealed.strip_prefix(&Format::V1.header()).ok_or_else(wrong)?;
            let (nonce, body) = body.split_first_chunk::<NONCE_LEN>().ok_or_else(wrong)?;
            let session = self.log_in(Pkcs11::open_ro_session)?;
            // Two servers that started at once may each have made a key.
            let keys = self.keys(&session)?;
            if keys.is_empty() {
                let key = self.key.clone();
                return Err(OpenError::ModuleKey { token: self.token.clone(), key });
            }
            for key in keys {
                if let Some(kek) = self.try_open(&session, key, *nonce, &aad(id), body)? {
                    return Ok(kek);
                }
            }
            Err(wrong())
        }

        /// Returns `None` if another key sealed it.
        fn try_open(
            &self,
            session: &Session,
            key: ObjectHandle,
            mut nonce: [u8; NONCE_LEN],
            aad: &[u8],
            body: &[u8],
        ) -> Result<Option<Zeroizing<Vec<u8>>>, OpenError> {
            let gcm = GcmParams::new(&mut nonce, aad, TAG_BITS.into());
            let gcm = gcm.map_err(|error| self.failed(error))?;
            match session.decrypt(&Mechanism::AesGcm(gcm), key, body) {
                Ok(kek) => Ok(Some(Zeroizing::new(kek))),
                // Modules return different errors for a wrong tag.
                Err(Error::Pkcs11(
                    RvError::EncryptedDataInvalid
                    | RvError::EncryptedDataLenRange
                    | RvError::GeneralError
                    | RvError::FunctionFailed,
                    _,
                )) => Ok(None),
                Err(error) => Err(self.failed(error)),
            }
        }

        fn log_in(
            &self,
            open: fn(&Pkcs11, Slot) -> cryptoki::error::Result<Session>,
        ) -> Result<Session, OpenError> {
            if self.is_pin_refused.load(Ordering::Relaxed) {
                return Err(OpenError::ModulePin);
            }
            let module = Pkcs11::new(&self.library).map_err(|error| self.failed(error))?;
            match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
                Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
                Err(error) => return Err(self.failed(error)),
            }
            let slots = module.get_slots_with_token().map_err(|error| self.failed(error))?;
            let is_ours = |slot: &Slot| {
                module.get_token_info(*slot).is_ok_and(|token| token.label() == self.token)
            };
            let slot = slots.into_iter().find(is_ours);
            let slot = slot.ok_or_else(|| OpenError::ModuleToken(self.token.clone()))?;
            let session = open(&module, slot).map_err(|error| self.failed(error))?;
            let pin = AuthPin::from(self.pin.expose());
            match session.login(UserType::User, Some(&pin)) {
                Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
                Err(Error::Pkcs11(
                    RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
                    _,
                )) => {
                    self.is_pin_refused.store(true, Ordering::Relaxed);
                    Err(OpenError::ModulePin)
                }
                Err(error) => Err(self.failed(error)),
            }
        }

        fn keys(&self, session: &Session) -> Result<Vec<ObjectHandle>, OpenError> {
            session.find_objects(&self.template()).map_err(|error| self.failed(error))
        }

        fn make_key(&self, session: &Session) -> Result<ObjectHandle, OpenError> {
            let mut template = self.template();
            template.extend([
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
                Attribute::ValueLen(KEY_BYTES.into()),
            ]);
            session
                .generate_key(&Mechanism::AesKeyGen, &template)
                .map_err(|error| self.failed(error))
        }

        fn template(&self) -> Vec<Attribute> {
            vec![
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::AES),
                Attribute::Label(self.key.clone().into_bytes()),
            ]
        }

        fn failed(&self, error: Error) -> OpenError {
            let path = self.library.clone();
            let remedy = match &error {
                Error::LibraryLoading(_) => {
                    return OpenError::ModuleLibrary { path, source: error.into() };
                }
                Error::Pkcs11(RvError::PinLocked, _) => {
                    "the token has locked itself after wrong PINs; its security officer can unlock it"
                }
                _ => "see that the token is there and that this user may use it",
            };
            OpenError::Module { path, remedy, source: error.into() }
        }
    }

    fn aad(id: &str) -> Vec<u8> {
        [b"latchkey master key v1\0", id.as_bytes()].concat()
    }
}
