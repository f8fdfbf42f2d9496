//! PostgreSQL's password file (PostgreSQL's documentation, 32.16).
//!
//! Invariant: a file that other users can read provides no password, as in libpq. No part of the file is displayed.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use tokio_postgres::{Config, config::Host};
use tracing::warn;
use zeroize::Zeroizing;

use crate::{OpenError, files::failed};

/// The text of such a file.
pub(crate) struct Passfile(Zeroizing<String>);

impl Passfile {
    /// Reads the file that a URL names.
    ///
    /// # Errors
    /// It is not a file, cannot be read, or other users can read it.
    pub(crate) fn read(path: &Path) -> Result<Self, OpenError> {
        let about = fs::metadata(path).map_err(failed("read", path))?;
        if !about.is_file() {
            return Err(OpenError::PostgresUrl("passfile is no plain file".into()));
        }
        if about.mode() & 0o077 != 0 {
            return Err(OpenError::SecretExposed(path.to_owned()));
        }
        let text = fs::read_to_string(path).map_err(failed("read", path))?;
        Ok(Self(Zeroizing::new(text)))
    }

    /// Reads the file of this user, if there is one.
    pub(crate) fn read_default(path: &Path) -> Option<Self> {
        if !path.exists() {
            return None;
        }
        let read = Self::read(path);
        read.inspect_err(|error| warn!(%error, "the password file of this user is not used")).ok()
    }

    /// Sets a host's password from the first matching line, unless the host has one.
    pub(crate) fn fill_in(&self, config: &mut Config) {
        if config.get_password().is_some() {
            return;
        }
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            // The default folder of libpq counts as `localhost`.
            Some(Host::Unix(folder)) if folder == Path::new("/var/run/postgresql") => {
                "localhost".to_owned()
            }
            Some(Host::Unix(folder)) => folder.display().to_string(),
            None => return,
        };
        let port = config.get_ports().first().unwrap_or(&5432).to_string();
        let database = config.get_dbname().unwrap_or_default().to_owned();
        let user = config.get_user().unwrap_or_default().to_owned();
        let wanted = [host, port, database, user];
        let password = self.0.lines().find_map(|line| password(line, &wanted));
        if let Some(password) = password {
            config.password(&*password);
        }
    }
}

/// Returns the password of a line that matches this host, port, database and user.
fn password(line: &str, wanted: &[String; 4]) -> Option<Zeroizing<String>> {
    if line.starts_with('#') {
        return None;
    }
    let mut rest = line;
    for wanted in wanted {
        let field = next_field(&mut rest)?;
        if field.0 != "*" && *field.1 != *wanted {
            return None;
        }
    }
    // Only the backslash is special in the rest, which may end in a carriage return.
    Some(unescaped(rest))
}

/// Returns the next field, raw and unescaped.
fn next_field<'a>(rest: &mut &'a str) -> Option<(&'a str, Zeroizing<String>)> {
    let mut is_escaped = false;
    let end = rest.bytes().position(|byte| {
        let is_end = byte == b':' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })?;
    let field = &rest[..end];
    *rest = &rest[end + 1..];
    Some((field, unescaped(field)))
}

fn unescaped(field: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(field.len()));
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(characters.next().unwrap_or('\\')),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let text = "# db:5432:latchkey:ann:comment\nother:*:*:*:no\n[::1]:5432:*:*:no\n\
                    \\:\\:1:5432:latchkey:ann:six\ndb:5433:*:*:port\n\
                    db:*:latchkey:ann:pass\\:word\\\\\r\n*:*:*:*:any";
        let passfile = Passfile(Zeroizing::new(text.to_owned()));
        for (url, expected) in [
            ("postgres://ann@db/latchkey", "pass:word\\"),
            ("postgres://ann@db:5433/latchkey", "port"),
            ("postgres://ann@[::1]/latchkey", "six"),
            ("postgres://bob@db/latchkey", "any"),
            ("postgres://ann:own@db/latchkey", "own"),
        ] {
            let mut config: Config = url.parse().expect(url);
            passfile.fill_in(&mut config);
            assert_eq!(config.get_password(), Some(expected.as_bytes()), "{url}");
        }
    }
}
