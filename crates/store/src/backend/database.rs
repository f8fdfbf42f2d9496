//! A database, given by its URL.
//!
//! Invariant: no part of a URL that is displayed is secret.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::{OpenError, backend::postgres::url::PostgresUrl};

/// A database, by the scheme of its URL.
#[derive(Clone, Debug)]
pub enum Database {
    /// An embedded database in one file.
    Sqlite(PathBuf),
    /// A database on a PostgreSQL server.
    Postgres(Box<PostgresUrl>),
}

impl FromStr for Database {
    type Err = OpenError;

    /// Parses a URL such as `sqlite:data/latchkey.db`, `sqlite:///var/lib/latchkey/latchkey.db` or
    /// `postgres://latchkey@localhost/latchkey`.
    fn from_str(url: &str) -> Result<Self, OpenError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return url.parse().map(|url| Self::Postgres(Box::new(url)));
        }
        let rest = url.strip_prefix("sqlite:").ok_or(OpenError::UnsupportedUrl)?;
        let path = rest.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(rest);
        if path.is_empty()
            || path.starts_with("//")
            || path.ends_with('/')
            || path.starts_with(':')
            || path.starts_with("file:")
            || path.contains('?')
        {
            return Err(OpenError::UnsupportedUrl);
        }
        Ok(Self::Sqlite(path.into()))
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl Database {
    /// Returns whether the database exists, as far as this user can see. A PostgreSQL database counts as existing,
    /// because its administrator creates it.
    pub fn exists(&self) -> bool {
        match self {
            Self::Sqlite(path) => path.try_exists().unwrap_or(true),
            Self::Postgres(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_names_a_file() {
        for (url, path) in [
            ("sqlite:data/latchkey.db", "data/latchkey.db"),
            ("sqlite:///var/lib/l.db", "/var/lib/l.db"),
            ("sqlite:/var/lib/l.db", "/var/lib/l.db"),
        ] {
            assert_eq!(url.parse::<Database>().expect(url).to_string(), path);
        }
        for url in [
            "",
            "latchkey.db",
            "sqlite:",
            "sqlite:data/",
            "sqlite://data/latchkey.db",
            "sqlite::memory:",
            "sqlite:file:x.db",
            "sqlite:x.db?mode=memory",
            "mysql://localhost/x",
        ] {
            assert!(url.parse::<Database>().is_err(), "{url}");
        }
    }
}
