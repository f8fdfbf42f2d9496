//! `latchkey serve`: from the configuration to a running server, and down again.
//!
//! Invariant: it takes no request before everything is in order, and when it is told to stop it
//! takes no new one, finishes those it has, and commits what is queued.

use std::{
    io::{self, ErrorKind, Write as _},
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use actix_cors::Cors;
use actix_http::HttpService;
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::{
    App as ActixApp,
    dev::{AppConfig, Server, ServerHandle},
    http::header::{RETRY_AFTER, WWW_AUTHENTICATE},
    middleware::{Condition, from_fn},
    web,
};
use anyhow::{Context as _, anyhow, bail};
use auth::{Lifetime, PasswordTokens, Scheme};
use jiff::Timestamp;
use model::{RecordId, TenantId};
use negotiate::TimeZone;
use store::{Store, StoreError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};
use tracing_actix_web::TracingLogger;

use crate::{
    callers::{
        authenticate::Authenticator, issuer::Issuer, logins::Logins, proxy_trust::ProxyTrust,
        renewals::Renewals,
    },
    certificates::Certificates,
    config::{Config, online::AgentAccessRule},
    exposure,
    first_user::{self, SAMPLE},
    http::{
        self,
        connections::Acceptor,
        extract::BodyBudget,
        hosts::{self, Hosts},
        origins::Origins,
        paths::{self, Paths, SAVE_EXTERNAL_TOKENS, SIGN_IN},
        preferences::SO_TIME_ZONE,
        problem::{self, REQUEST_ID},
        single_headers::refuse_repeated_headers,
    },
    jobs::{self, Upkeep},
    reload::{Hangups, Reload},
    state::App,
    telemetry::{LogFilter, RequestSpan},
};

/// How long a connection stays half open for what a client still sends that was refused.
const LINGER: Duration = Duration::from_secs(1);

/// What the configuration asks for, as far as it can be told without making or opening anything.
pub(crate) struct Checked {
    http: Http,
    callers: Callers,
}

/// Who may call.
struct Callers {
    proxy_trust: ProxyTrust,
    issuer: Option<Arc<Issuer>>,
    session_lifetime: Lifetime,
    agent_access_rules: Vec<AgentAccessRule>,
}

/// How requests come in, and what they mean.
struct Http {
    certificates: Option<Arc<Certificates>>,
    paths: Paths,
    base_time_zone: TimeZone,
    hosts: Hosts,
    cors_origins: Origins,
}

/// Checks the configuration.
///
/// # Errors
/// What is wrong with it, and what to do.
pub(crate) fn check(config: &Config) -> anyhow::Result<Checked> {
    let database = config.database()?;
    config.keys()?.check()?;
    config.server.refuse_plain_exposure()?;
    if config.policy().schemes().next().is_none() {
        bail!("auth.schemes switches every scheme off, so that nobody could call; switch one on");
    }
    first_user::check(config, &database)?;
    let only_tenant = config.only_tenant()?;
    let http = Http {
        certificates: config.server.tls.as_ref().map(Certificates::load).transpose()?,
        paths: Paths {
            prefix: config.server.path_prefix()?.to_owned(),
            tenants: config.tenants,
            only_tenant: only_tenant.clone().unwrap_or_else(TenantId::single),
        },
        base_time_zone: config.base_time_zone()?,
        hosts: Hosts::new(config.server.hosts.items(), !config.server.is_exposed())?,
        cors_origins: Origins::parse(config.server.cors_origins.items())?,
    };
    let callers = Callers {
        proxy_trust: ProxyTrust::new(&config.server)?,
        issuer: Issuer::new(&config.auth.bearer)?.map(Arc::new),
        session_lifetime: config.auth.session_lifetime()?,
        agent_access_rules: config.online.agent_access_rules(only_tenant.as_ref())?,
    };
    Ok(Checked { http, callers })
}

/// Runs the server until SIGTERM or SIGINT. SIGHUP reads `config_file`, and what it names, again.
///
/// # Errors
/// Why it cannot start, and what to do.
pub(crate) fn run(
    mut config: Config,
    config_file: Option<&Path>,
    log_filter: LogFilter,
) -> anyhow::Result<()> {
    let address = config.resolve_listen()?;
    let config = &config;
    let Checked { http, callers } = check(config)?;
    let system = actix_web::rt::System::new();
    // A start may take long, as when it migrates, and SIGHUP must not end it.
    let hangups = system.block_on(async { Hangups::listen() })?;
    let reload = Reload {
        config_file: config_file.map(Path::to_owned),
        log_filter,
        certificates: http.certificates.clone(),
        issuer: callers.issuer.clone(),
    };
    let listener = listen(address)?;
    let options = config.open_options()?;
    let store = Store::open(&options)
        .with_context(|| format!("cannot use the database {}", options.database))?;
    exposure::warn(config);
    warn_of_clock();
    let outcome = system.block_on(async {
        actix_web::rt::spawn(reload.run(hangups));
        serve(config, listener, http, callers, &store).await
    });
    store.close();
    outcome
}

/// Ids of records hold the time, and what expires does so by it.
fn warn_of_clock() {
    let now = Timestamp::now();
    if !RecordId::TIMES.contains(&now.as_microsecond()) {
        warn!(%now, "the clock is wrong; set it (NTP), or what expires ends at a wrong time");
    }
}

async fn serve(
    config: &Config,
    listener: TcpListener,
    http: Http,
    callers: Callers,
    store: &Store,
) -> anyhow::Result<()> {
    let signals = Signals::listen()?;
    let sample_works = first_user::ensure(store, config).await?;
    let address = listener.local_addr()?;
    let Http { certificates, paths, base_time_zone, hosts, cors_origins } = http;
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}{}", paths.first_base());

    let seen_scheme = if config.server.behind_proxy { "https" } else { scheme };
    let Callers { proxy_trust, issuer, session_lifetime, agent_access_rules } = callers;
    if let Some(issuer) = &issuer {
        issuer.fetch_soon();
    }
    let authenticator = Authenticator {
        store: store.clone(),
        policy: config.policy(),
        only_tenant: config.only_tenant()?,
        session_lifetime,
        logins: Logins::new(config.auth.throttle),
        renewals: Renewals::default(),
        password_tokens: PasswordTokens::new(),
        issuer,
    };
    let app = App {
        store: store.clone(),
        authenticator,
        limits: config.limits,
        base_time_zone,
        scheme: seen_scheme,
        // What else listens on the developer's own machine must not be shut off from the browser.
        is_strict: certificates.is_some() && !address.ip().is_loopback(),
        proxy_trust,
        retrieval: config.auth.retrieval,
        agent_access_rules,
    };
    // Before the first save, so that none waits for it. If the disk is full, records can still be got, and upkeep
    // tries it again.
    match store.tend_keys().await {
        Err(error @ StoreError::Unavailable(_)) => {
            warn!(error = problem::chain(&error), "nothing can be saved yet");
        }
        tended => drop(tended?),
    }
    let tls = certificates.as_ref().map(Certificates::server_config).transpose()?;
    let acceptor =
        Acceptor::new(&config.server, &config.limits, app.proxy_trust.trusted.clone(), tls)?;
    acceptor.watch();
    let (head_time, idle_time) = (config.limits.head_time(), config.limits.idle_time());
    let (app, paths, hosts) = (web::Data::new(app), web::Data::new(paths), web::Data::new(hosts));
    let body_budget = web::Data::new(BodyBudget::new(config.limits.bodies_bytes));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let server = Server::build()
        .disable_signals()
        .workers(workers)
        .max_concurrent_connections(acceptor.most_per_worker(workers))
        .shutdown_timeout(config.server.drain_seconds);
    let drain = server.graceful_shutdown_signal();
    let server = server
        .listen("http", listener, move || {
            let app = ActixApp::new()
                .app_data(app.clone())
                .app_data(paths.clone())
                .app_data(hosts.clone())
                .app_data(body_budget.clone())
                .wrap(from_fn(refuse_repeated_headers))
                .wrap(Condition::new(!cors_origins.is_empty(), cors(&cors_origins)))
                .wrap(from_fn(hosts::check))
                .wrap(from_fn(problem::finish))
                .wrap(TracingLogger::<RequestSpan>::new())
                .wrap(from_fn(paths::normalize))
                .configure(http::routes::configure)
                .into_factory()
                .map_err(|error: actix_web::Error| error.error_response());
            let (acceptor, drain) = (acceptor.clone(), drain.clone());
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let drain = drain.clone();
                    async move { drain.notified().await }
                })
                .client_request_timeout(head_time)
                .keep_alive(idle_time)
                .client_disconnect_timeout(LINGER)
                .h1(map_config(app, |()| AppConfig::default()));
            let admit = move |tcp| {
                let acceptor = acceptor.clone();
                async move { acceptor.admit(tcp).await.map_err(drop) }
            };
            fn_service(admit).and_then(http.map_err(drop))
        })?
        .run();

    if let Some(certificates) = certificates {
        let every = Duration::from_secs(config.server.tls_reload_seconds);
        actix_web::rt::spawn(certificates.watch(every));
    }
    Upkeep {
        store: store.clone(),
        keep_ended: config.records.keep_ended(),
        sweep_every: config.records.sweep_every(),
        rotate_after_wraps: config.keys.rotate_after_wraps,
    }
    .start();
    greet(config, &url, sample_works)?;
    info!(%address, profile = config.profile, "serving");
    let handle = server.handle();
    tokio::select! {
        outcome = server => outcome?,
        () = signals.stop(handle) => warn!("stopping at once"),
    }
    jobs::finish(store).await;
    if let Err(error) = store.sign_off().await {
        warn!(error = problem::chain(&error), "rotations wait some seconds for this server");
    }
    info!("stopped");
    Ok(())
}

/// Lets scripts of these origins call (CONTRACT 32). What they send is what the API reads; cookies are
/// not for them.
fn cors(origins: &Origins) -> Cors {
    let origins = origins.clone();
    Cors::default()
        .allowed_methods(["GET", "HEAD", "POST"])
        .allow_any_header()
        .expose_headers([REQUEST_ID, RETRY_AFTER, SO_TIME_ZONE, WWW_AUTHENTICATE])
        .max_age(600)
        .allowed_origin_fn(move |origin, _head| {
            origin.to_str().is_ok_and(|origin| origins.allow(origin))
        })
}

/// SIGTERM and SIGINT, from the moment that they are listened for.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Stops the server in good order at the first signal, and returns at the second.
    async fn stop(mut self, server: ServerHandle) {
        self.next().await;
        info!("stopping: finishing the requests under way");
        actix_web::rt::spawn(server.stop(true));
        self.next().await;
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Tells whoever started the server where it is, and how to use it.
fn greet(config: &Config, url: &str, sample_works: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Latchkey is running on {url}")?;
    writeln!(out, "Database: {}, master key: {}", config.database()?, config.place_of_keys())?;
    let policy = config.policy();
    if sample_works {
        let (login, password) = SAMPLE;
        writeln!(out, "User: {login}, password: {password} (the sample login, for development)")?;
    }
    if sample_works && policy.is_on(Scheme::Basic) && !policy.is_online() {
        let (login, password) = SAMPLE;
        let trust = match &config.server.tls {
            Some(tls) => format!("--cacert {} ", tls.certificate.display()),
            None => String::new(),
        };
        writeln!(out, "Save tokens and get a key back:")?;
        writeln!(
            out,
            "curl {trust}-u {login}:{password} -H 'Content-Type: application/json' \
             -d '{{\"TokenManagementInfo\":{{\"Provider\":\"et\",\"AccessToken\":\"fugit\",\
             \"RefreshToken\":\"odit\"}}}}' \
             {url}{SAVE_EXTERNAL_TOKENS}"
        )?;
    }
    if policy.is_online() && config.online.agent_access_rules(None)?.is_empty() {
        writeln!(out, "The User agent is closed; online.user_agent opens it")?;
    }
    if policy.is_on(Scheme::Session) {
        writeln!(out, "People sign in at {url}{SIGN_IN}")?;
    }
    writeln!(out)?;
    Ok(out.flush()?)
}

fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::AddrInUse => "stop what is using it, or take another port",
            ErrorKind::PermissionDenied => "a port below 1024 needs a privilege; take a higher one",
            ErrorKind::AddrNotAvailable => "it is no address of this machine",
            _ => "take another address",
        };
        anyhow!("cannot listen on server.listen = \"{address}\": {error}; {remedy}")
    })
}
