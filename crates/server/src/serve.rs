//! `latchkey serve`: from the configuration to a running server, and down again.
//!
//! Invariant: the server accepts no request before every check has passed. When it gets a signal to stop, it accepts no
//! new request, finishes those under way, and commits the queued writes.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use actix_web::dev::{Server, ServerHandle};
use anyhow::{Context as _, anyhow, bail};
use auth::{Lifetime, PasswordTokens};
use jiff::Timestamp;
use model::{RecordId, TenantId};
use negotiate::TimeZone;
use store::{Counter, Store, StoreError};
use tracing::{info, warn};

use crate::{
    audit::{Audit, Details, Event},
    callers::{
        authenticate::Authenticator, issuer::Issuer, logins::Logins, proxy_trust::ProxyTrust,
        renewals::Renewals,
    },
    certificates::Certificates,
    config::{Config, online::AgentAccessRule},
    error_text::error_chain,
    exposure, first_user,
    grants::{Grants, providers::Providers},
    greeting::greet,
    http::{
        hosts::Hosts,
        mount::Paths,
        origins::Origins,
        routes::ROUTES,
        server::{self, Site},
    },
    jobs::{Backups, Jobs, Retention, Schedule},
    metrics::{Metrics, calls::Calls, refreshes::Refreshes, sign_ins::SignIns},
    reload::Reload,
    scrape::{self, Counting, Watched},
    signals::{ReloadSignals, StopSignals},
    state::App,
    telemetry::LogFilter,
    webhooks::Receivers,
};

/// The parts of the server that are built from the configuration without creating or opening the database.
pub(crate) struct Checked {
    certificates: Option<Arc<Certificates>>,
    site: Site,
    base_time_zone: TimeZone,
    callers: Callers,
    pub(crate) providers: Arc<Providers>,
    receivers: Arc<Receivers>,
}

/// The settings that decide which callers are accepted.
struct Callers {
    proxy_trust: ProxyTrust,
    only_tenant: Option<TenantId>,
    issuer: Option<Arc<Issuer>>,
    session_lifetime: Lifetime,
    agent_access_rules: Vec<AgentAccessRule>,
}

/// The server as clients see it; each field is that of `App`.
struct Seen {
    base_time_zone: TimeZone,
    scheme: &'static str,
    sends_hsts: bool,
}

/// Checks the configuration.
///
/// # Errors
/// The error in it, and the remedy.
pub(crate) fn check(config: &Config) -> anyhow::Result<Checked> {
    let database = config.database()?;
    config.keys()?.check()?;
    config.backup.check_database(&database)?;
    config.server.refuse_plain_exposure()?;
    if config.policy().schemes().next().is_none() {
        bail!("auth.schemes switches every scheme off, so that no user could call; switch one on");
    }
    first_user::check(config, &database)?;
    let certificates = config.server.tls.as_ref().map(Certificates::load).transpose()?;
    let prefix = config.server.path_prefix()?.to_owned();
    let only_tenant = config.only_tenant()?;
    let path_tenant = only_tenant.clone().unwrap_or_else(TenantId::single);
    Ok(Checked {
        certificates,
        base_time_zone: config.base_time_zone()?,
        site: Site {
            paths: Paths {
                prefix,
                tenants: config.tenants,
                only_tenant: path_tenant,
                has_token_endpoint: config.grants.token_endpoint,
            },
            hosts: Hosts::new(config.server.hosts.items(), !config.server.is_exposed())?,
            cors_origins: Origins::parse(config.server.cors_origins.items())?,
        },
        callers: Callers {
            proxy_trust: ProxyTrust::new(&config.server)?,
            issuer: Issuer::new(&config.auth.bearer)?.map(Arc::new),
            session_lifetime: config.auth.session_lifetime()?,
            agent_access_rules: config.online.agent_access_rules(only_tenant.as_ref())?,
            only_tenant,
        },
        providers: Arc::new(Providers::new(config)?),
        receivers: Arc::new(Receivers::new(config)?),
    })
}

/// The listeners: of calls, and of metrics if they are on.
struct Listeners {
    calls: TcpListener,
    metrics: Option<TcpListener>,
}

/// Runs the server until SIGTERM or SIGINT. SIGHUP reads `config_file`, and the files that it names, again. `lost_lines`
/// counts the lines that the log lost.
///
/// # Errors
/// The reason why the server cannot start, and the remedy.
pub(crate) fn run(
    mut config: Config,
    config_file: Option<&Path>,
    log_filter: LogFilter,
    lost_lines: Arc<Counter>,
) -> anyhow::Result<()> {
    let address = config.resolve_listen()?;
    let config = &config;
    let checked = check(config)?;
    let system = actix_web::rt::System::new();
    // A start may take long, for example during a migration, and SIGHUP must not end it.
    let signals = system.block_on(async { ReloadSignals::listen() })?;
    let metrics_address = config.metrics_address()?;
    let listeners = Listeners {
        calls: listen("cannot listen on server.listen", address)?,
        metrics: metrics_address
            .map(|address| listen("cannot listen on metrics.listen", address))
            .transpose()?,
    };
    let metrics = Arc::new(Metrics {
        calls: Calls::new(ROUTES.len()),
        sign_ins: SignIns::default(),
        refreshes: Refreshes::new(checked.providers.all().map(|provider| provider.name.clone())),
        lost_lines,
        started: Timestamp::now(),
    });
    let options = config.open_options()?;
    let store = Store::open(&options)
        .with_context(|| format!("cannot use the database {}", options.database))?;
    exposure::warn(config);
    warn_of_clock();
    let outcome = system.block_on(async {
        let audit = Audit::start(&config.audit, config.audit.target(), &store).await?;
        let reload = Reload {
            config_file: config_file.map(Path::to_owned),
            log_filter,
            certificates: checked.certificates.clone(),
            issuer: checked.callers.issuer.clone(),
            providers: Arc::clone(&checked.providers),
            receivers: Arc::clone(&checked.receivers),
            audit: audit.clone(),
        };
        actix_web::rt::spawn(reload.run(signals));
        serve(config, listeners, checked, &store, metrics, audit).await
    });
    store.close();
    outcome
}

/// Runs from the first user to the last commit.
async fn serve(
    config: &Config,
    listeners: Listeners,
    checked: Checked,
    store: &Store,
    metrics: Arc<Metrics>,
    audit: Audit,
) -> anyhow::Result<()> {
    let signals = StopSignals::listen()?;
    let sample_works = first_user::ensure(store, config).await?;
    let Checked { certificates, site, base_time_zone, callers, providers, receivers } = checked;
    let address = listeners.calls.local_addr()?;
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}{}", site.paths.first_base());

    if let Some(issuer) = &callers.issuer {
        issuer.fetch_soon();
    }
    tend_keys(store).await?;
    if providers.all().next().is_some() {
        warn_of_pause(store).await?;
    }
    let tls = certificates.as_ref().map(Certificates::server_config).transpose()?;
    // On a developer's own machine, HSTS would make the browser reject other local servers without TLS.
    let sends_hsts = tls.is_some() && !address.ip().is_loopback();
    let scheme = if config.server.behind_proxy { "https" } else { scheme };
    if providers.all().next().is_some()
        && let Err(error) = store.probe_unsaved()
    {
        warn!(error = error_chain(&error), "new tokens cannot be kept while the database is away");
    }
    let counting_providers = Arc::clone(&providers);
    let grants = Grants::new(config, store.clone(), providers, audit.clone(), Arc::clone(&metrics));
    let event = Event::done("server.start", Details::default());
    audit.record(event).await?;
    let seen = Seen { base_time_zone, scheme, sends_hsts };
    let app = app(config, store, callers, seen, &grants, &metrics);
    let (server, acceptor) = server::start(&config.server, listeners.calls, tls, app, site)?;
    let backups = backups(config)?;
    let jobs = start_jobs(config, store, certificates.clone(), &receivers, &audit, backups.clone());
    let scraped = listeners.metrics.map(|listener| {
        let every = Duration::from_secs(config.metrics.count_seconds.into());
        let counting = Counting::new(store.clone(), counting_providers, every);
        let unsaved = config.unsaved_directory();
        let (store, jobs) = (store.clone(), jobs.handles());
        let watched = Watched {
            metrics,
            store,
            counting,
            acceptor,
            certificates,
            jobs,
            audit: audit.clone(),
            backups,
            unsaved,
        };
        start_scrapes(listener, watched)
    });
    let scraped = scraped.transpose()?;
    greet(config, &url, sample_works)?;
    info!(%address, profile = config.profile, "serving");
    let outcome = stop(server, signals, &grants, jobs, store).await;
    end_audit(&audit, store).await;
    if let Some(scraped) = scraped {
        scraped.stop(false).await;
    }
    info!("stopped");
    outcome
}

/// Records the stop, and anchors the last line of the audit log.
async fn end_audit(audit: &Audit, store: &Store) {
    let event = Event::done("server.stop", Details::default());
    if let Err(error) = audit.record(event).await {
        warn!(%error, "the stop of the server is missing in the audit log");
    }
    if let Some(last) = audit.synced().await
        && let Err(error) = store.anchor_audit(last).await
    {
        warn!(error = error_chain(&error), "the last lines of the audit log were not anchored");
    }
}

/// Starts the listener of metrics. It runs until it is stopped, so that a stop of the server can be watched.
fn start_scrapes(listener: TcpListener, watched: Watched) -> anyhow::Result<ServerHandle> {
    let address = listener.local_addr()?;
    let server = scrape::start(listener, watched)?;
    let handle = server.handle();
    actix_web::rt::spawn(server);
    info!(%address, "serving metrics");
    Ok(handle)
}

/// Reserves wraps of the master key before the first save, so that no save waits for it. If the disk is full, records
/// can still be read, and the jobs retry.
async fn tend_keys(store: &Store) -> Result<(), StoreError> {
    match store.tend_keys().await {
        Err(error @ StoreError::Unavailable(_)) => {
            warn!(error = error_chain(&error), "nothing can be saved yet");
            Ok(())
        }
        tended => tended.map(drop),
    }
}

/// Warns that no token is refreshed.
async fn warn_of_pause(store: &Store) -> Result<(), StoreError> {
    let reasons = store.pause_reasons().await?;
    if !reasons.is_empty() {
        warn!(
            ?reasons,
            "the grants are paused, and no token is refreshed; run `latchkey grants resume` once the database that \
             this one was made from is not used any more"
        );
    }
    Ok(())
}

fn app(
    config: &Config,
    store: &Store,
    callers: Callers,
    seen: Seen,
    grants: &Arc<Grants>,
    metrics: &Arc<Metrics>,
) -> App {
    let Seen { base_time_zone, scheme, sends_hsts } = seen;
    let Callers { proxy_trust, only_tenant, issuer, session_lifetime, agent_access_rules } =
        callers;
    App {
        store: store.clone(),
        authenticator: Authenticator {
            store: store.clone(),
            policy: config.policy(),
            only_tenant,
            session_lifetime,
            logins: Logins::new(config.auth.throttle),
            renewals: Renewals::default(),
            password_tokens: PasswordTokens::new(),
            issuer,
            metrics: Arc::clone(metrics),
        },
        limits: config.limits,
        base_time_zone,
        scheme,
        sends_hsts,
        proxy_trust,
        retrieval: config.auth.retrieval,
        agent_access_rules,
        audit: grants.audit.clone(),
        grants: Arc::clone(grants),
        metrics: Arc::clone(metrics),
    }
}

/// The backups that the configuration asks for.
fn backups(config: &Config) -> anyhow::Result<Option<Backups>> {
    let backup = &config.backup;
    let Some(directory) = backup.directory.clone() else { return Ok(None) };
    let retention = Retention {
        newest: backup.keep as usize,
        daily: backup.keep_daily as usize,
        weekly: backup.keep_weekly as usize,
        monthly: backup.keep_monthly as usize,
    };
    let (every, retry_every) = (backup.every(), backup.retry_every());
    Ok(Some(Backups::new(directory, every, retry_every, retention, config.keys()?)))
}

fn start_jobs(
    config: &Config,
    store: &Store,
    certificates: Option<Arc<Certificates>>,
    receivers: &Receivers,
    audit: &Audit,
    backups: Option<Backups>,
) -> Jobs {
    if let Some(certificates) = certificates {
        let every = Duration::from_secs(config.server.tls_reload_seconds);
        actix_web::rt::spawn(certificates.watch(every));
    }
    let schedule = Schedule {
        keep_ended: config.records.keep_ended(),
        sweep_every: config.records.sweep_every(),
        rotate_after_wraps: config.keys.rotate_after_wraps,
        keep_events: config.webhooks.keep_us(),
    };
    Jobs::start(store, &schedule, receivers, audit, backups)
}

/// Waits for a signal to stop, and stops the server.
async fn stop(
    server: Server,
    signals: StopSignals,
    grants: &Grants,
    jobs: Jobs,
    store: &Store,
) -> anyhow::Result<()> {
    let handle = server.handle();
    tokio::select! {
        outcome = server => outcome?,
        () = signals.stop(handle) => warn!("stopping at once"),
    }
    grants.finish().await;
    jobs.finish().await;
    if let Err(error) = store.sign_off().await {
        warn!(error = error_chain(&error), "rotations wait some seconds for this server");
    }
    Ok(())
}

/// Warns if the clock is wrong, because ids of records contain the time, and all expiry depends on the clock.
fn warn_of_clock() {
    let now = Timestamp::now();
    if !RecordId::TIMES.contains(&now.as_microsecond()) {
        warn!(%now, "the clock is wrong; set it (NTP), because otherwise records expire at a wrong time");
    }
}

/// Listens on an address. `failure` begins the error.
fn listen(failure: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::AddrInUse => "stop what is using it, or take another port",
            ErrorKind::PermissionDenied => "a port below 1024 needs a privilege; take a higher one",
            ErrorKind::AddrNotAvailable => "it is no address of this machine",
            _ => "take another address",
        };
        anyhow!("{failure} = \"{address}\": {error}; {remedy}")
    })
}
