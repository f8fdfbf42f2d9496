//! Where a PostgreSQL database is, and how to get there.
//!
//! Invariant: what is shown of a URL holds no password, and what leaves this machine is encrypted unless
//! the URL says otherwise.

use std::{error::Error as _, fmt, net::IpAddr, str::FromStr, sync::Arc, time::Duration};

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use tokio_postgres::{
    Config, NoTls,
    config::{Host, SslMode},
};

use crate::{OpenError, postgres_tls::Tls};

/// How long a host may take to let a connection in, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A URL such as `postgres://user:password@host:5432/latchkey`, also with several hosts and
/// `target_session_attrs` (PostgreSQL's documentation, 32.1.1.2 and 32.1.2).
#[derive(Clone, Debug)]
pub struct PostgresUrl {
    /// Shows `_` in a password's place.
    config: Config,
    tls: Option<Arc<Tls>>,
}

impl FromStr for PostgresUrl {
    type Err = OpenError;

    fn from_str(url: &str) -> Result<Self, OpenError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut ssl_mode = None;
        let mut certificates = None;
        let mut others = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                // A certificate is always verified, as with `verify-full`.
                Some(("sslmode", mode)) => {
                    ssl_mode = Some(match mode {
                        "disable" => SslMode::Disable,
                        "require" | "verify-ca" | "verify-full" => SslMode::Require,
                        _ => return Err(OpenError::PostgresUrl("sslmode is not known".into())),
                    });
                }
                Some(("sslrootcert", path)) => certificates = Some(path),
                _ => others.push(parameter),
            }
        }
        let rest = format!("{base}?{}", others.join("&"));
        let mut config: Config = rest.parse().map_err(refused)?;
        if config.get_hosts().is_empty() || config.get_dbname().is_none() {
            return Err(OpenError::UnsupportedUrl);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("latchkey");
        }
        let is_here = config.get_hosts().iter().all(is_this_machine);
        let by_default = if is_here { SslMode::Disable } else { SslMode::Require };
        let ssl_mode = ssl_mode.unwrap_or(by_default);
        config.ssl_mode(ssl_mode);
        let tls = match ssl_mode {
            SslMode::Disable => None,
            _ => Some(Arc::new(Tls::new(certificates)?)),
        };
        Ok(Self { config, tls })
    }
}

/// The parser's own words name a part of the URL, never its value.
fn refused(error: tokio_postgres::Error) -> OpenError {
    OpenError::PostgresUrl(error.into())
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        f.write_str("postgres://")?;
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(folder) => write!(f, "{comma}{}", folder.display())?,
            }
            if let Some(port) = ports.get(index).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl PostgresUrl {
    /// Connects to the first of the hosts that is as the URL asks for.
    pub(crate) async fn connect(&self) -> ConnectionResult<AsyncPgConnection> {
        match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(bad)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            Some(tls) => {
                let connector = tls.connector();
                let (client, connection) = self.config.connect(connector).await.map_err(bad)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
        }
    }
}

/// With its causes, which diesel's error has no place for.
fn bad(error: tokio_postgres::Error) -> ConnectionError {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    ConnectionError::BadConnection(told)
}
