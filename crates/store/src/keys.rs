//! Sources of master keys (KEKs): files in a folder, secrets in the configuration, or rows sealed by a hardware module.
//!
//! Invariant: every new key is completely on disk before anything is sealed under it. If several keys are possible,
//! none is chosen.

pub(crate) mod keyring;
pub(crate) mod live;
pub(crate) mod pkcs11;
pub(crate) mod wrap_budget;

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::SecretText;
use rustix::{fs::OFlags, process::geteuid};
use tracing::warn;
use zeroize::Zeroizing;

use crate::{
    OpenError,
    files::{self, Exposure, failed},
    keys::{keyring::KekRow, pkcs11::Module},
    seal::{self, Kek},
};

const PREFIX: &str = "kek-";
const SUFFIX: &str = ".key";
const KEK_BYTES: usize = 32;
/// The age from which an unfinished file counts as left by a killed process.
const LEFT: Duration = Duration::from_secs(3600);

/// A place that keys are kept in and that the next key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file for each key.
    Directory,
    /// A secret in the configuration.
    Secret,
    /// The database, sealed by a hardware module.
    Pkcs11,
}

impl KeySource {
    /// All sources.
    pub const ALL: [Self; 3] = [Self::Directory, Self::Secret, Self::Pkcs11];

    /// Returns the source's name in the configuration and the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Secret => "secret",
            Self::Pkcs11 => "pkcs11",
        }
    }

    /// Returns the source with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The places to look for a database's keys.
#[derive(Clone, Debug)]
pub struct KekSources {
    /// Source of the next key. Each existing key is looked up in the source that its row names.
    pub source: KeySource,
    /// The folder of key files; created with the first file.
    pub directory: PathBuf,
    /// 32-byte keys in Base64, separated by commas or white space, the current key first.
    pub secret: Option<SecretText>,
    /// The hardware module.
    pub module: Option<Module>,
}

/// A key that no database has yet.
pub(crate) struct CandidateKek {
    pub(crate) kek: Kek,
    pub(crate) source: KeySource,
    /// The key sealed by a hardware module.
    pub(crate) sealed: Option<Vec<u8>>,
    /// Whether the key was newly generated.
    pub(crate) is_made: bool,
}

impl KekSources {
    /// Finds the key of a row by its id. The caller checks the sentinel.
    pub(crate) fn find(&self, row: &KekRow) -> Result<Kek, OpenError> {
        let id = row.id.clone();
        if !is_id(&id) {
            return Err(OpenError::KeyId);
        }
        match KeySource::of_name(&row.source) {
            Some(KeySource::Directory) => read(&self.file_of(&id), id),
            Some(KeySource::Secret) => {
                let found = self.secrets()?.into_iter().find(|kek| kek.id() == id);
                found.ok_or(OpenError::SecretMissing(id))
            }
            Some(KeySource::Pkcs11) => {
                let opened = self.module()?.open(&id, row.sealed.as_deref().unwrap_or_default())?;
                let bytes =
                    key_bytes(&opened).ok_or_else(|| OpenError::KeyWrong(self.place_of(row)))?;
                Ok(Kek::new(id, bytes))
            }
            None => Err(OpenError::KeySource { id, place: row.source.clone() }),
        }
    }

    /// Describes the place of a row's key for people.
    pub(crate) fn place_of(&self, row: &KekRow) -> String {
        match KeySource::of_name(&row.source) {
            Some(KeySource::Directory) => self.file_of(&row.id).display().to_string(),
            _ => format!("{} of keys.{}", row.id, row.source),
        }
    }

    /// Returns the first key of a database: the only key in the folder, put there by an operator or an interrupted
    /// start, or a new key.
    pub(crate) fn first(&self) -> Result<CandidateKek, OpenError> {
        if self.source != KeySource::Directory {
            return self.next();
        }
        files::create_folder(&self.directory)?;
        let mut ids = self.ids_of_files()?;
        match (ids.pop(), ids.pop()) {
            (None, _) => self.next(),
            (Some(id), None) => Ok(CandidateKek {
                kek: read(&self.file_of(&id), id)?,
                source: KeySource::Directory,
                sealed: None,
                is_made: false,
            }),
            (Some(_), Some(_)) => Err(OpenError::KeyAmbiguous(self.directory.clone())),
        }
    }

    /// Returns the next key: a new one, or the first one of the secret.
    pub(crate) fn next(&self) -> Result<CandidateKek, OpenError> {
        let source = self.source;
        match source {
            KeySource::Directory => {
                Ok(CandidateKek { kek: self.make_file()?, source, sealed: None, is_made: true })
            }
            KeySource::Secret => {
                let kek = self.secrets()?.into_iter().next().ok_or(OpenError::SecretEmpty)?;
                Ok(CandidateKek { kek, source, sealed: None, is_made: false })
            }
            KeySource::Pkcs11 => {
                let (id, bytes) = generate();
                let sealed = Some(self.module()?.seal(&id, bytes.as_slice())?);
                Ok(CandidateKek { kek: Kek::new(id, &bytes), source, sealed, is_made: true })
            }
        }
    }

    /// Checks the settings without a database, a folder or a module.
    ///
    /// # Errors
    /// The secret or the module is missing where one is needed, or the secret contains something other than keys.
    pub fn check(&self) -> Result<(), OpenError> {
        let secrets = self.secrets()?;
        match self.source {
            KeySource::Directory => Ok(()),
            KeySource::Secret if secrets.is_empty() => Err(OpenError::SecretEmpty),
            KeySource::Secret => Ok(()),
            KeySource::Pkcs11 => self.module().map(|_module| ()),
        }
    }

    /// Reads the key in a file of the folder.
    pub(crate) fn take_up(&self, id: &str) -> Result<CandidateKek, OpenError> {
        if !is_id(id) {
            return Err(OpenError::KeyId);
        }
        if !self.file_of(id).exists() {
            return Err(OpenError::NoKeyFile(self.file_of(id)));
        }
        let kek = read(&self.file_of(id), id.to_owned())?;
        Ok(CandidateKek { kek, source: KeySource::Directory, sealed: None, is_made: false })
    }

    /// Creates the file of a key that no database has yet, and returns the key's id.
    pub fn make(&self) -> Result<String, OpenError> {
        self.make_file().map(|kek| kek.id().to_owned())
    }

    /// Returns the path of a key's file.
    pub fn file_of(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{PREFIX}{id}{SUFFIX}"))
    }

    /// Removes the file of a key that was generated but not used.
    pub(crate) fn discard(&self, new: &CandidateKek) -> Result<(), OpenError> {
        if new.is_made && new.source == KeySource::Directory {
            let path = self.file_of(new.kek.id());
            fs::remove_file(&path).map_err(failed("remove", &path))?;
        }
        Ok(())
    }

    fn make_file(&self) -> Result<Kek, OpenError> {
        files::create_folder(&self.directory)?;
        let like = self.youngest_file()?.unwrap_or_else(|| self.directory.clone());
        let (id, bytes) = generate();
        let path = self.file_of(&id);
        refuse_for_others(&path, &like)?;
        files::write_secret(&path, bytes.as_slice(), &like)?;
        Ok(Kek::new(id, &bytes))
    }

    /// Returns the newest key file, which shows the owner of the key files. Removes files left by killed processes.
    fn youngest_file(&self) -> Result<Option<PathBuf>, OpenError> {
        let mut youngest = None;
        for (name, path) in self.files()? {
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let Ok(modified) = metadata.modified() else { continue };
            if id_of(&name).is_some() && metadata.is_file() {
                youngest = youngest.max(Some((modified, path)));
            } else if name.starts_with(PREFIX)
                && name.ends_with(files::UNFINISHED)
                && modified.elapsed().is_ok_and(|age| age > LEFT)
            {
                let _ = fs::remove_file(path);
            }
        }
        Ok(youngest.map(|(_modified, path)| path))
    }

    fn module(&self) -> Result<&Module, OpenError> {
        self.module.as_ref().ok_or(OpenError::ModuleMissing)
    }

    fn ids_of_files(&self) -> Result<Vec<String>, OpenError> {
        let mut ids = Vec::new();
        for (name, path) in self.files()? {
            if let Some(id) = id_of(&name) {
                ids.push(id.to_owned());
            } else if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
                return Err(OpenError::KeyName(path));
            }
        }
        Ok(ids)
    }

    /// Returns the names and paths of the folder's files.
    fn files(&self) -> Result<Vec<(String, PathBuf)>, OpenError> {
        let named = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.path()))
        };
        let entries = fs::read_dir(&self.directory).and_then(|all| all.map(named).collect());
        entries.map_err(failed("read", &self.directory))
    }

    /// Returns the keys of the secret. A key's id is a hash of the key.
    fn secrets(&self) -> Result<Vec<Kek>, OpenError> {
        let text = self.secret.as_ref().map_or("", SecretText::expose);
        let words = text.split([',', ' ', '\t', '\r', '\n']).filter(|word| !word.is_empty());
        let kek = |word: &str| {
            let decoded = STANDARD.decode(word).map_err(|_error| OpenError::SecretMalformed)?;
            let decoded = Zeroizing::new(decoded);
            let bytes = key_bytes(&decoded).ok_or(OpenError::SecretMalformed)?;
            Ok(Kek::new(seal::kek_id(bytes), bytes))
        };
        words.map(kek).collect()
    }
}

/// Generates a key and its id.
fn generate() -> (String, Zeroizing<[u8; KEK_BYTES]>) {
    (seal::random_name(), seal::random())
}

/// Returns the bytes of a key, or `None` if the length is wrong or all bytes are equal.
fn key_bytes(bytes: &[u8]) -> Option<&[u8; KEK_BYTES]> {
    let is_constant = bytes.iter().all(|byte| Some(byte) == bytes.first());
    bytes.try_into().ok().filter(|_| !is_constant)
}

/// Returns whether `id` is a valid key id, which must be safe as a part of a path.
pub(crate) fn is_id(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    (1..=32).contains(&id.len()) && id.bytes().all(is_plain)
}

/// Returns the id of the key in a file with this name.
fn id_of(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX).filter(|id| is_id(id))
}

/// Refuses to create a file next to those of another user, who could not read it. Root may, because root gives the file
/// to that user, and a server that runs as root reads every file.
fn refuse_for_others(path: &Path, like: &Path) -> Result<(), OpenError> {
    let metadata = fs::metadata(like).map_err(failed("read", like))?;
    let (owner, me) = (metadata.uid(), geteuid());
    if !metadata.is_file() || me.is_root() || [0, me.as_raw()].contains(&owner) {
        return Ok(());
    }
    Err(OpenError::OtherUser {
        action: "create",
        path: path.to_owned(),
        owner: files::user_name(owner),
        source: ErrorKind::PermissionDenied.into(),
    })
}

fn read(path: &Path, id: String) -> Result<Kek, OpenError> {
    let mut options = OpenOptions::new();
    // Opening a pipe would otherwise block until a writer opens it.
    options.read(true).custom_flags(files::flags(OFlags::NONBLOCK));
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(OpenError::KeyMissing { id, path: path.to_owned() });
        }
        Err(error) => return Err(failed("read", path)(error)),
    };
    let metadata = file.metadata().map_err(failed("read", path))?;
    if !metadata.is_file() {
        return Err(failed("read", path)(io::Error::other("it is no regular file")));
    }
    match files::exposure(&metadata) {
        Exposure::Everybody => return Err(OpenError::Exposed(path.to_owned())),
        Exposure::Group => warn!(
            file = %path.display(),
            "the group of this master key's file may use it; `chmod 600` on it prevents that"
        ),
        Exposure::Nobody => {}
    }
    let mut contents = Zeroizing::new(Vec::with_capacity(KEK_BYTES + 1));
    let read = file.take(KEK_BYTES as u64 + 1).read_to_end(&mut contents);
    read.map_err(failed("read", path))?;
    match key_bytes(&contents) {
        Some(bytes) => Ok(Kek::new(id, bytes)),
        None => Err(OpenError::KeyMalformed { path: path.to_owned(), length: metadata.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_no_path() {
        for id in ["0", "0123456789abcdef", &"z".repeat(32)] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", "x/../../y", "..", "A", "å", "a\u{1b}[2J", "a\n", &"z".repeat(33)] {
            assert!(!is_id(id), "{id:?}");
            let row =
                KekRow { id: id.to_owned(), source: "directory".to_owned(), ..KekRow::default() };
            assert!(matches!(of_secret("").find(&row), Err(OpenError::KeyId)));
        }
    }

    fn of_secret(secret: &str) -> KekSources {
        let directory = PathBuf::new();
        KekSources {
            source: KeySource::Secret,
            directory,
            secret: Some(secret.into()),
            module: None,
        }
    }

    #[test]
    fn keys_of_a_secret_are_found_by_what_they_are() {
        let one = STANDARD.encode((0..32).collect::<Vec<u8>>());
        let two = STANDARD.encode((1..33).collect::<Vec<u8>>());
        let id = of_secret(&one).next().expect("key").kek.id().to_owned();
        assert_eq!(id.len(), 16);
        let both = of_secret(&format!("{two},\n {one}\n"));
        assert_ne!(both.next().expect("key").kek.id(), id, "the first is the current one");
        let row = KekRow { id, source: "secret".to_owned(), ..KekRow::default() };
        assert!(both.find(&row).is_ok());
        assert!(matches!(of_secret(&two).find(&row), Err(OpenError::SecretMissing(_))));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(matches!(of_secret(" ").next(), Err(OpenError::SecretEmpty)));
        for secret in ["x", "AAAA", &STANDARD.encode([7; 32]), &STANDARD.encode([1; 33])] {
            assert!(
                matches!(of_secret(secret).next(), Err(OpenError::SecretMalformed)),
                "{secret}"
            );
        }
    }
}
