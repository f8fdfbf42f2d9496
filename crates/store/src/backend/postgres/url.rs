//! The URL of a PostgreSQL database, and connecting to it.
//!
//! Invariant: no part of a URL that is displayed contains a password. Every connection that leaves this machine is
//! encrypted unless the URL says otherwise.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use percent_encoding::percent_decode_str;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{
    CancelToken, Client, Config, Connection, NoTls, Socket,
    config::{Host, SslMode},
};

use crate::{
    OpenError,
    backend::postgres::{
        passfile::Passfile,
        tls::{Check, Files, Tls},
    },
};

/// How long a host may take to accept a connection, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Parameters that tokio-postgres reads.
const PASSED_ON: [&str; 17] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslnegotiation",
    "tcp_user_timeout",
    "user",
];

/// A URL such as `postgres://user:password@host:5432/latchkey`, also with several hosts and `target_session_attrs`
/// (PostgreSQL's documentation, 32.1.1.2 and 32.1.2).
#[derive(Clone, Debug)]
pub struct PostgresUrl {
    /// One configuration for each host. Debug output shows `_` in place of a password.
    hosts: Vec<Config>,
    tls: Option<Arc<Tls>>,
}

/// A new session.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) driver: Driver,
}

/// The task that moves a session's bytes. Its result says why the session ended.
pub(crate) type Driver = JoinHandle<Result<(), tokio_postgres::Error>>;

/// The parameters after the `?` of a URL.
#[derive(Default)]
struct Parameters {
    ssl_mode: Option<Mode>,
    root_certificate: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    passfile: Option<PathBuf>,
    /// Parameters passed to tokio-postgres unchanged.
    others: Vec<String>,
}

/// `sslmode`.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Disable,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, OpenError> {
        let mut parsed = Self::default();
        for parameter in query.split('&') {
            let (name, written) = parameter.split_once('=').unwrap_or((parameter, ""));
            // An empty parameter counts as unset, as in libpq.
            if written.is_empty() {
                continue;
            }
            let value = percent_decode_str(written)
                .decode_utf8()
                .map_err(|_error| refused(format!("{} is not UTF-8", shown(name))))?;
            let path = || Some(PathBuf::from(&*value));
            match name {
                "sslmode" => parsed.ssl_mode = Some(Mode::parse(&value)?),
                "sslrootcert" => parsed.root_certificate = path(),
                "sslcert" => parsed.certificate = path(),
                "sslkey" => parsed.key = path(),
                "passfile" => parsed.passfile = path(),
                // Neither has an effect here: names are sent as SNI, text is UTF-8.
                "gssencmode" if matches!(&*value, "disable" | "prefer") => {}
                "sslsni" if &*value == "1" => {}
                "client_encoding" if matches!(&*value, "UTF8" | "utf8" | "UTF-8" | "auto") => {}
                "fallback_application_name" => {}
                "keepalives_count" => parsed.others.push(format!("keepalives_retries={written}")),
                "target_session_attrs" => {
                    let attributes = if &*value == "primary" { "read-write" } else { written };
                    parsed.others.push(format!("{name}={attributes}"));
                }
                name if PASSED_ON.contains(&name) => parsed.others.push(parameter.to_owned()),
                name => return Err(refused(format!("{} is not read here", shown(name)))),
            }
        }
        Ok(parsed)
    }

    /// Returns the TLS settings. `is_here`: all hosts are on this machine.
    fn tls(&self, is_here: bool) -> Result<Option<Tls>, OpenError> {
        let is_plain =
            self.root_certificate.is_none() && self.certificate.is_none() && self.key.is_none();
        let by_default = if is_here && is_plain { Mode::Disable } else { Mode::VerifyFull };
        let mode = self.ssl_mode.unwrap_or(by_default);
        if mode == Mode::Disable {
            return Ok(None);
        }
        let is_system = self.root_certificate.as_deref() == Some(Path::new("system"));
        let roots = match &self.root_certificate {
            Some(_) if is_system => None,
            Some(path) => Some(path.clone()),
            None => of_this_user(".postgresql/root.crt").filter(|path| path.exists()),
        };
        let check = match (mode, &roots) {
            (Mode::VerifyFull, _) => Check::ChainAndName,
            // Without a check of the name, any certificate signed by a public authority would pass.
            (_, None) if is_system => {
                return Err(refused("sslrootcert=system needs sslmode=verify-full"));
            }
            (Mode::VerifyCa, None) => {
                return Err(refused(
                    "sslmode=verify-ca needs sslrootcert, a PEM file of certificates",
                ));
            }
            (_, Some(_)) => Check::Chain,
            (_, None) => Check::Nothing,
        };
        let client = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some((certificate.as_path(), key.as_path())),
            (None, None) => None,
            _ => return Err(refused("sslcert and sslkey are files that go together")),
        };
        Tls::new(check, &Files { roots: roots.as_deref(), client }).map(Some)
    }
}

impl Mode {
    fn parse(mode: &str) -> Result<Self, OpenError> {
        Ok(match mode {
            "disable" => Self::Disable,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            "allow" | "prefer" => {
                return Err(refused(format!(
                    "sslmode={mode} is rejected: an attacker on the network may answer that there is no TLS, and \
                     read everything; use verify-full, verify-ca, require or disable"
                )));
            }
            _ => {
                return Err(refused("sslmode must be verify-full, verify-ca, require or disable"));
            }
        })
    }
}

impl FromStr for PostgresUrl {
    type Err = OpenError;

    fn from_str(url: &str) -> Result<Self, OpenError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        refuse_odd_passwords(base, query)?;
        let parameters = Parameters::parse(query)?;
        let of_host = |base: String| -> Result<Config, OpenError> {
            let mut config: Config = format!("{base}?{}", parameters.others.join("&"))
                .parse()
                .map_err(|error: tokio_postgres::Error| OpenError::PostgresUrl(error.into()))?;
            if config.get_hosts().is_empty() || config.get_dbname().is_none() {
                return Err(OpenError::UnsupportedUrl);
            }
            // Text after a second `@` may be the rest of a password, which must not be shown as a host.
            let is_odd = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
            if config.get_hosts().iter().any(is_odd) {
                return Err(refused(
                    "it has more than one @; those of the user's name and password are written %40",
                ));
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
        let tls = parameters.tls(hosts.iter().all(is_this_machine))?.map(Arc::new);
        for host in &mut hosts {
            // As in libpq, a Unix socket needs no TLS.
            let is_socket = host.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
            let needs_tls = tls.is_some() && !is_socket;
            host.ssl_mode(if needs_tls { SslMode::Require } else { SslMode::Disable });
        }
        if hosts.iter().any(|host| host.get_password().is_none()) {
            let passfile = match &parameters.passfile {
                Some(path) => Some(Passfile::read(path)?),
                None => of_this_user(".pgpass").and_then(|path| Passfile::read_default(&path)),
            };
            if let Some(passfile) = passfile {
                hosts.iter_mut().for_each(|host| passfile.fill_in(host));
            }
        }
        Ok(Self { hosts, tls })
    }
}

/// Refuses a password with `/` or `?`, which would be cut there, so that its end would be shown as something else.
fn refuse_odd_passwords(base: &str, query: &str) -> Result<(), OpenError> {
    let rest = base.split_once("://").map_or("", |(_scheme, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    if !authority.contains('@') && (rest.contains('@') || query.contains('@')) {
        return Err(refused(
            "it has a / or ? before the @; those of the user's name and password are written %2F and %3F",
        ));
    }
    Ok(())
}

fn refused(why: impl Into<String>) -> OpenError {
    OpenError::PostgresUrl(why.into().into())
}

/// Returns the name of a parameter, unless it may be a piece of a password.
fn shown(name: &str) -> &str {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_plain && name.len() <= 32 { name } else { "a parameter" }
}

/// Returns a file in the home folder of this process's user.
fn of_this_user(name: &str) -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(name))
}

/// Splits a URL into one URL for each of its hosts.
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
    /// Connects to the first host that meets the URL's requirements. Each host has its own timeout for the whole
    /// attempt. tokio-postgres applies its timeout only until the connection is made, so a silent host would otherwise
    /// block the rest.
    pub(crate) async fn connect(&self) -> Result<Connected, OpenError> {
        let mut refusal = OpenError::UnsupportedUrl;
        for host in &self.hosts {
            let limit = *host.get_connect_timeout().unwrap_or(&CONNECT_TIMEOUT);
            refusal = match timeout(limit, self.connect_to(host)).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => error,
                Err(_elapsed) => OpenError::server("the server did not answer in time"),
            };
        }
        Err(refusal)
    }

    async fn connect_to(&self, host: &Config) -> Result<Connected, OpenError> {
        match &self.tls {
            None => {
                let (client, connection) = host.connect(NoTls).await.map_err(OpenError::refused)?;
                begin(client, connection)
            }
            Some(tls) => {
                let connected = host.connect(tls.connector()).await;
                let (client, connection) = connected.map_err(OpenError::refused)?;
                begin(client, connection)
            }
        }
    }

    /// Asks the server to cancel a session's current statement.
    pub(crate) async fn cancel(&self, token: CancelToken) -> Result<(), tokio_postgres::Error> {
        match &self.tls {
            None => token.cancel_query(NoTls).await,
            Some(tls) => token.cancel_query(tls.connector()).await,
        }
    }

    /// Returns whether the server's certificate is never verified.
    pub(crate) fn trusts_anybody(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.trusts_anybody())
    }
}

/// Runs a session on this runtime. Refuses a database whose encoding cannot hold every text.
fn begin<S>(client: Client, connection: Connection<Socket, S>) -> Result<Connected, OpenError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if let Some(encoding) = connection.parameter("server_encoding")
        && encoding != "UTF8"
    {
        return Err(OpenError::Encoding(encoding.to_owned()));
    }
    Ok(Connected { client, driver: tokio::spawn(connection) })
}
