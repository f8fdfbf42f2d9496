//! Where a PostgreSQL database is, and how to get there.
//!
//! Invariant: what is shown of a URL holds no password, and what leaves this machine is encrypted unless
//! the URL says otherwise.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc, time::Duration};

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use percent_encoding::percent_decode_str;
use tokio::time::timeout;
use tokio_postgres::{
    CancelToken, Config, NoTls,
    config::{Host, SslMode},
};

use crate::{OpenError, error::told, postgres_tls::Tls};

/// How long a host may take to let a connection in, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// A URL such as `postgres://user:password@host:5432/latchkey`, also with several hosts and
/// `target_session_attrs` (PostgreSQL's documentation, 32.1.1.2 and 32.1.2).
#[derive(Clone, Debug)]
pub struct PostgresUrl {
    /// Of each host; they show `_` in a password's place.
    hosts: Vec<Config>,
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
                Some(("sslrootcert", path)) => {
                    let path = percent_decode_str(path).decode_utf8();
                    certificates =
                        Some(path.map_err(|error| OpenError::PostgresUrl(error.into()))?);
                }
                _ => others.push(parameter),
            }
        }
        let of_host = |base: String| -> Result<Config, OpenError> {
            let mut config: Config = format!("{base}?{}", others.join("&"))
                .parse()
                .map_err(|error: tokio_postgres::Error| OpenError::PostgresUrl(error.into()))?;
            if config.get_hosts().is_empty() || config.get_dbname().is_none() {
                return Err(OpenError::UnsupportedUrl);
            }
            // What is behind it may be the rest of a password, which must not be shown as a host.
            let is_odd = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
            if config.get_hosts().iter().any(is_odd) {
                let told =
                    "it has more than one @; those of the user's name and password are written %40";
                return Err(OpenError::PostgresUrl(told.into()));
            }
            if config.get_connect_timeout().is_none() {
                config.connect_timeout(CONNECT_TIMEOUT);
            }
            if config.get_application_name().is_none() {
                config.application_name("latchkey");
            }
            Ok(config)
        };
        let mut hosts = one_by_one(base).map(of_host).collect::<Result<Vec<_>, _>>()?;
        let is_here = hosts.iter().all(is_this_machine);
        let by_default = if is_here { SslMode::Disable } else { SslMode::Require };
        let ssl_mode = ssl_mode.unwrap_or(by_default);
        for host in &mut hosts {
            host.ssl_mode(ssl_mode);
        }
        let tls = match ssl_mode {
            SslMode::Disable => None,
            _ => Some(Arc::new(Tls::new(certificates.as_deref())?)),
        };
        Ok(Self { hosts, tls })
    }
}

/// A URL for each of the hosts in it.
fn one_by_one(url: &str) -> impl Iterator<Item = String> {
    let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    hosts.split(',').map(move |host| format!("{scheme}://{user}{host}/{path}"))
}

fn is_this_machine(config: &Config) -> bool {
    let is_named = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
    });
    is_named && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Vec::new();
        for config in &self.hosts {
            let ports = config.get_ports();
            for (index, host) in config.get_hosts().iter().enumerate() {
                let port = ports.get(index).or(ports.first()).unwrap_or(&5432);
                names.push(match host {
                    Host::Tcp(name) => format!("{name}:{port}"),
                    Host::Unix(folder) => format!("{}:{port}", folder.display()),
                });
            }
        }
        let database = self.hosts.first().and_then(Config::get_dbname).unwrap_or_default();
        write!(f, "postgres://{}/{database}", names.join(","))
    }
}

impl PostgresUrl {
    /// Connects to the first of the hosts that is as the URL asks for. Each has its time for all of it:
    /// tokio-postgres counts until there is a connection, and a host that is silent on it would keep the
    /// others from being asked.
    pub(crate) async fn connect(&self) -> ConnectionResult<AsyncPgConnection> {
        let mut refusal = ConnectionError::BadConnection("the URL has no host".to_owned());
        for host in &self.hosts {
            let limit = *host.get_connect_timeout().unwrap_or(&CONNECT_TIMEOUT);
            refusal = match timeout(limit, self.connect_to(host)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error,
                Err(_elapsed) => {
                    ConnectionError::BadConnection("the server did not answer in time".to_owned())
                }
            };
        }
        Err(refusal)
    }

    async fn connect_to(&self, host: &Config) -> ConnectionResult<AsyncPgConnection> {
        match &self.tls {
            None => {
                let (client, connection) = host.connect(NoTls).await.map_err(bad)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            Some(tls) => {
                let (client, connection) = host.connect(tls.connector()).await.map_err(bad)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
        }
    }

    /// Asks the server to end what a session is at.
    pub(crate) async fn cancel(&self, token: CancelToken) -> Result<(), tokio_postgres::Error> {
        match &self.tls {
            None => token.cancel_query(NoTls).await,
            Some(tls) => token.cancel_query(tls.connector()).await,
        }
    }
}

/// With its causes, which diesel's error has no place for.
fn bad(error: tokio_postgres::Error) -> ConnectionError {
    ConnectionError::BadConnection(told(&error))
}
