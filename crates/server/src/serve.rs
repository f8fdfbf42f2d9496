//! `latchkey serve`: from the configuration to a running server, and down again.
//!
//! Invariant: it takes no request before everything is in order, and when it is told to stop it
//! takes no new one, finishes those it has, and commits what is queued.

use std::{
    fs::File,
    io::{self, Write as _},
    net::{SocketAddr, TcpListener},
    path::Path,
};

use actix_web::{App as ActixApp, HttpServer, dev::ServerHandle, middleware::from_fn, web};
use anyhow::Context as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use store::{OpenOptions, Store};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_actix_web::TracingLogger;

use crate::{
    app::{self, App},
    config::{Config, Tls},
    first_user::{self, FirstUser, SAMPLE},
    problem,
    telemetry::RequestSpan,
};

/// How long requests that are under way may take once the server was told to stop.
const SHUTDOWN_SECONDS: u64 = 30;

/// Runs the server until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// Why it cannot start, and what to do.
pub(crate) fn run(config: &Config) -> anyhow::Result<()> {
    config.refuse_plain_exposure()?;
    let tls = config.server.tls.as_ref().map(load_tls).transpose()?;
    let listener = TcpListener::bind(config.server.listen).with_context(|| {
        let address = config.server.listen;
        format!("cannot listen on {address}; stop what is using it, or set server.listen")
    })?;
    let store = Store::open(&OpenOptions {
        database: config.database()?,
        keys_directory: config.keys_directory(),
        auto_migrate: config.database.auto_migrate,
    })?;
    let outcome = actix_web::rt::System::new().block_on(serve(config, listener, tls, &store));
    store.close();
    outcome
}

async fn serve(
    config: &Config,
    listener: TcpListener,
    tls: Option<rustls::ServerConfig>,
    store: &Store,
) -> anyhow::Result<()> {
    let first_user = first_user::ensure(store, config).await?;
    let address = listener.local_addr()?;
    let scheme = if tls.is_some() { "https" } else { "http" };

    let state = web::Data::new(App::new(store.clone(), config.limits));
    let server = HttpServer::new(move || {
        ActixApp::new()
            .app_data(state.clone())
            .wrap(from_fn(problem::finish))
            .wrap(TracingLogger::<RequestSpan>::new())
            .configure(app::configure)
    })
    .disable_signals()
    .shutdown_timeout(SHUTDOWN_SECONDS);
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls)?,
        None => server.listen(listener)?,
    }
    .run();

    greet(config, scheme, address, &first_user)?;
    info!(%address, profile = config.profile, "serving");
    let stopper = actix_web::rt::spawn(stop_on_signal(server.handle())?);
    server.await?;
    stopper.abort();
    info!("stopped");
    Ok(())
}

/// Waits for SIGTERM or SIGINT in the background; listens from the moment it is called.
fn stop_on_signal(server: ServerHandle) -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("stopping: finishing the requests under way");
        server.stop(true).await;
    })
}

/// Tells whoever started the server where it is, and how to use it.
fn greet(
    config: &Config,
    scheme: &str,
    address: SocketAddr,
    first_user: &FirstUser,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Latchkey is running on {scheme}://{address}")?;
    writeln!(out, "Data: {}", config.data_directory.display())?;
    match first_user {
        FirstUser::Existing => {}
        FirstUser::Generated(login, password) => {
            writeln!(out, "First user: {login}, password: {}", password.expose())?;
            writeln!(out, "The password is shown only this once.")?;
        }
        FirstUser::Sample => {
            let (login, password) = SAMPLE;
            let trust = match &config.server.tls {
                Some(tls) => format!("--cacert {} ", tls.certificate.display()),
                None => String::new(),
            };
            writeln!(
                out,
                "User: {login}, password: {password} (the sample login, for development)"
            )?;
            writeln!(out, "Save tokens and get a key back:")?;
            writeln!(
                out,
                "curl {trust}-u {login}:{password} -H 'Content-Type: application/json' \
                 -d '{{\"TokenManagementInfo\":{{\"Provider\":\"et\",\"AccessToken\":\"fugit\",\
                 \"RefreshToken\":\"odit\"}}}}' \
                 {scheme}://{address}/api/v1/Agents/User/SaveExternalTokens"
            )?;
        }
    }
    writeln!(out)?;
    out.flush()
}

fn load_tls(files: &Tls) -> anyhow::Result<rustls::ServerConfig> {
    let open = |path: &Path| {
        File::open(path).with_context(|| format!("cannot read server.tls: {}", path.display()))
    };
    let chain = CertificateDer::pem_reader_iter(open(&files.certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{} is no PEM certificate", files.certificate.display()))?;
    let key = PrivateKeyDer::from_pem_reader(open(&files.key)?)
        .with_context(|| format!("{} is no PEM private key", files.key.display()))?;
    rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("server.tls: the certificate and the key do not go together")
}
