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

use actix_web::dev::Server;
use anyhow::{Context as _, anyhow, bail};
use auth::{Lifetime, PasswordTokens};
use jiff::Timestamp;
use model::{RecordId, TenantId};
use negotiate::TimeZone;
use store::{Store, StoreError};
use tracing::{info, warn};

use crate::{
    audit::{Action, Audit, Details, Event, Outcome},
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
        server::{self, Site},
    },
    jobs::{Jobs, Schedule},
    reload::Reload,
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

/// Checks the configuration.
///
/// # Errors
/// The error in it, and the remedy.
pub(crate) fn check(config: &Config) -> anyhow::Result<Checked> {
    let database = config.database()?;
    config.keys()?.check()?;
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

/// Runs the server until SIGTERM or SIGINT. SIGHUP reads `config_file`, and the files that it names, again.
///
/// # Errors
/// The reason why the server cannot start, and the remedy.
pub(crate) fn run(
    mut config: Config,
    config_file: Option<&Path>,
    log_filter: LogFilter,
) -> anyhow::Result<()> {
    let address = config.resolve_listen()?;
    let config = &config;
    let checked = check(config)?;
    let system = actix_web::rt::System::new();
    // A start may take long, for example during a migration, and SIGHUP must not end it.
    let signals = system.block_on(async { ReloadSignals::listen() })?;
    let listener = listen(address)?;
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
        serve(config, listener, checked, &store, audit).await
    });
    store.close();
    outcome
}

/// Runs from the first user to the last commit.
async fn serve(
    config: &Config,
    listener: TcpListener,
    checked: Checked,
    store: &Store,
    audit: Audit,
) -> anyhow::Result<()> {
    let signals = StopSignals::listen()?;
    let sample_works = first_user::ensure(store, config).await?;
    let Checked { certificates, site, base_time_zone, callers, providers, receivers } = checked;
    let address = listener.local_addr()?;
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
    let grants = Grants::new(config, store.clone(), providers, audit.clone());
    let event = Event::now(Action::change("server.start"), Outcome::Success, Details::default());
    audit.record(event).await?;
    let app = app(config, store, callers, &grants, base_time_zone, scheme, sends_hsts);
    let server = server::start(&config.server, listener, tls, app, site)?;
    let jobs = start_jobs(config, store, certificates, &receivers, &audit);
    greet(config, &url, sample_works)?;
    info!(%address, profile = config.profile, "serving");
    stop(server, signals, &grants, jobs, store).await?;
    let event = Event::now(Action::change("server.stop"), Outcome::Success, Details::default());
    audit.record(event).await?;
    if let Some(last) = audit.synced().await
        && let Err(error) = store.anchor_audit(last).await
    {
        warn!(error = error_chain(&error), "the last lines of the audit log were not anchored");
    }
    info!("stopped");
    Ok(())
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
    grants: &Arc<Grants>,
    base_time_zone: TimeZone,
    scheme: &'static str,
    sends_hsts: bool,
) -> App {
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
    }
}

fn start_jobs(
    config: &Config,
    store: &Store,
    certificates: Option<Arc<Certificates>>,
    receivers: &Receivers,
    audit: &Audit,
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
    Jobs::start(store, &schedule, receivers, audit)
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
