//! The server's texts of errors, for its log and for standard error.
//!
//! Invariant: only this module names a setting or a command as the remedy of an error of the store, because the store
//! does not know how it is configured.

use std::{error::Error, iter::successors};

use store::{CopyError, KeyError, OpenError, StoreError};

/// Formats an error with its causes, each after a colon.
pub(crate) fn error_chain(error: &(dyn Error + 'static)) -> String {
    let chain = successors(Some(error), |&error| error.source());
    chain.map(text).collect::<Vec<_>>().join(": ")
}

/// Says what happened, and which setting or command helps.
fn text(error: &(dyn Error + 'static)) -> String {
    let with_remedy = if let Some(error) = error.downcast_ref() {
        of_store(error)
    } else if let Some(error) = error.downcast_ref() {
        of_open(error)
    } else if let Some(error) = error.downcast_ref() {
        of_keys(error)
    } else if let Some(error) = error.downcast_ref::<CopyError>() {
        of_copy(error)
    } else if let Some(error) = error.downcast_ref::<Box<CopyError>>() {
        of_copy(error)
    } else {
        None
    };
    with_remedy.unwrap_or_else(|| error.to_string())
}

fn of_store(error: &StoreError) -> Option<String> {
    Some(match error {
        StoreError::KeyUsedUp(id) => format!(
            "the master key {id} has wrapped as often as it may; run `latchkey keys rotate` \
             (the log says why the server could not)"
        ),
        _ => return None,
    })
}

fn of_open(error: &OpenError) -> Option<String> {
    Some(match error {
        OpenError::UnsupportedUrl => {
            "database.url must be `sqlite:` and the path of a file, such as \
             `sqlite:data/latchkey.db`, or like \
             `postgres://user:password@host:5432/database`"
                .to_owned()
        }
        OpenError::PostgresUrl(_) => {
            "database.url cannot be read as the URL of a PostgreSQL database".to_owned()
        }
        OpenError::NoTls => {
            "database.url asks for TLS, which this build does not have; build it with the \
             feature `postgres-tls`, or add `sslmode=disable` where the network is trusted"
                .to_owned()
        }
        OpenError::Pooler => {
            "database.url leads to a pooler that gives each transaction or statement \
             another connection; let it pool sessions (PgBouncer: pool_mode = session), or \
             name PostgreSQL itself"
                .to_owned()
        }
        OpenError::InUse(path) => format!(
            "another server is using the database {path}; stop it, or set data_directory to \
             another place",
            path = path.display()
        ),
        OpenError::OtherUser { action, path, owner, .. } => format!(
            "cannot {action} {path}, which belongs to another user; run this command as \
             that user: `sudo -u '{owner}' latchkey …`",
            path = path.display()
        ),
        OpenError::Foreign => {
            "it is no database of this server; set database.url to another file, or move it \
             away"
                .to_owned()
        }
        OpenError::Behind(name) => format!(
            "the database lacks the migration {name}; run `latchkey migrate`, or set \
             database.auto_migrate = true"
        ),
        OpenError::KeyNotNeeded(id) => format!(
            "the master key {id} is missing, but no record is under it; run `latchkey keys \
             retire {id}`"
        ),
        OpenError::Exposed(path) => format!(
            "every user of this machine can read {path}, or could replace it; run `chmod \
             600` on it, as its owner. If its file system ignores `chmod`, keep the master \
             key in a secret: keys.source = \"secret\", with keys.secret_file, whose rights \
             the platform sets",
            path = path.display()
        ),
        OpenError::OtherVersion(path) => format!(
            "a server is running on the database {path}, and its schema is not of this \
             version; use the `latchkey` of the version that is running",
            path = path.display()
        ),
        OpenError::SecretMissing(id) => format!(
            "the database is sealed under the master key {id}, which is not in keys.secret; \
             add it after the others, because without it no stored token can be opened"
        ),
        OpenError::SecretEmpty => {
            "keys.source is \"secret\", but keys.secret has no key; set it to what `openssl \
             rand -base64 32` prints"
                .to_owned()
        }
        OpenError::SecretMalformed => {
            "keys.secret must have keys of 32 random bytes in Base64, as `openssl rand \
             -base64 32` prints them, with commas between"
                .to_owned()
        }
        OpenError::NoKeyFile(path) => format!(
            "there is no {path}; `latchkey keys new` makes such a file, and prints its id",
            path = path.display()
        ),
        OpenError::ModuleMissing => {
            "keys.source is \"pkcs11\", or a master key of the database is sealed so; set \
             keys.pkcs11 to its library, the token, the key and the PIN"
                .to_owned()
        }
        OpenError::ModuleToken(token) => format!(
            "no token of the PKCS#11 module is called `{token}`; see that it is there, and \
             check keys.pkcs11.token"
        ),
        OpenError::ModuleKey { token, key } => format!(
            "the token `{token}` has no AES key called `{key}`; check keys.pkcs11.token and \
             keys.pkcs11.key, or restore the token from its backup"
        ),
        OpenError::ModulePin => {
            "keys.pkcs11.pin is not the PIN of the token's user; mind that a token locks \
             itself after some wrong ones"
                .to_owned()
        }
        OpenError::KeyId => {
            "the id of a master key has 1 to 32 digits and lower-case letters; `keys new` \
             prints it"
                .to_owned()
        }
        OpenError::ModuleLibrary { path, .. } => {
            format!(
                "the PKCS#11 module {} cannot be used; check keys.pkcs11.module",
                path.display()
            )
        }
        _ => return None,
    })
}

fn of_keys(error: &KeyError) -> Option<String> {
    Some(match error {
        KeyError::Key(error) => return of_open(error),
        KeyError::Store(error) => return of_store(error),
        KeyError::Known(id) => format!(
            "the database knows the master key {id} already; put a new key in front of it \
             in keys.secret, where keys are in a secret, or name another file with --key"
        ),
        KeyError::Unfinished(id) => format!(
            "records are still to be moved to the master key {id}; let `latchkey keys \
             rotate` finish that first"
        ),
        KeyError::Unconfirmed { id, servers } => format!(
            "the master key {id} is not in use yet, because these running servers lack it: \
             {servers}; the log of each says why (is the key's file there, and can the \
             server's user read it?); give them the key, or stop them, and run `latchkey \
             keys rotate` again; `latchkey keys retire {id}` gives the key up",
            servers = servers.join(", ")
        ),
        KeyError::Unknown(id) => {
            format!("the database knows no master key {id}; `latchkey keys status` lists them")
        }
        KeyError::Active(id) => format!(
            "the master key {id} is in use; `latchkey keys rotate` puts another in its \
             place"
        ),
        KeyError::InUse { id, records } => format!(
            "{records} records are still under the master key {id}; `latchkey keys rotate` \
             moves them, and names those that it cannot open"
        ),
        KeyError::Unsaved { id, tokens } => format!(
            "{tokens} new tokens wait in grants.unsaved_directory for the database, and are under the \
             master key {id}; a running server commits them, so start it, and retire the key after that"
        ),
        _ => return None,
    })
}

fn of_copy(error: &CopyError) -> Option<String> {
    Some(match error {
        CopyError::Open(error) => return of_open(error),
        CopyError::Store(error) => return of_store(error),
        CopyError::OnServer => {
            "a database on PostgreSQL is backed up and restored by PostgreSQL's own tools, \
             such as pg_dump; run `latchkey verify` on what they restored"
                .to_owned()
        }
        CopyError::Occupied(path) => format!(
            "there is a database: {path}; if it is not needed, stop its server and move it \
             away with its files ending in -wal and -shm, or else set database.url to \
             another place",
            path = path.display()
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A remedy is found at every place in the chain.
    #[test]
    fn a_remedy_names_the_setting_or_the_command() {
        let behind = || OpenError::Behind("add_users".to_owned());
        let remedy = "run `latchkey migrate`, or set database.auto_migrate = true";
        let chain = error_chain(&CopyError::Side("source", Box::new(behind().into())));
        assert!(chain.starts_with("the source cannot be used: the database lacks"), "{chain}");
        assert!(chain.ends_with(remedy), "{chain}");
        assert!(error_chain(&KeyError::from(behind())).ends_with(remedy));
        let wrapped = anyhow::Error::from(behind()).context("no start");
        assert!(error_chain(wrapped.as_ref()).ends_with(remedy));
        assert_eq!(error_chain(&StoreError::Closed), StoreError::Closed.to_string());
    }
}
