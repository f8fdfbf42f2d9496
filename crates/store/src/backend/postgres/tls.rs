//! TLS to PostgreSQL, if this build has it (feature `postgres-tls`).
//!
//! Invariant: every server's certificate is verified as far as `sslmode` asks, as in libpq, and fully by default.

use std::path::Path;

#[cfg(feature = "postgres-tls")]
pub(crate) use with::Tls;
#[cfg(not(feature = "postgres-tls"))]
pub(crate) use without::Tls;

/// The checks of a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

/// PEM files.
#[cfg_attr(not(feature = "postgres-tls"), expect(dead_code, reason = "there is no TLS"))]
pub(crate) struct Files<'a> {
    /// Trusted certificates; `None` for those that this machine trusts.
    pub(crate) roots: Option<&'a Path>,
    /// This server's own certificate, and its key.
    pub(crate) client: Option<(&'a Path, &'a Path)>,
}

#[cfg(feature = "postgres-tls")]
mod with {
    use std::{fmt, fs, os::unix::fs::MetadataExt as _, path::Path, sync::Arc};

    use rustls::{
        ClientConfig, RootCertStore,
        client::danger::ServerCertVerifier,
        crypto::CryptoProvider,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    };
    use rustls_platform_verifier::Verifier;
    use tokio_postgres_rustls::MakeRustlsConnect;

    use super::{Check, Files};
    use crate::{OpenError, backend::postgres::certificates::Peer, files::failed};

    /// TLS settings of a connection.
    #[derive(Clone)]
    pub(crate) struct Tls {
        config: ClientConfig,
        check: Check,
    }

    impl fmt::Debug for Tls {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Tls")
        }
    }

    impl Tls {
        /// Reads the files.
        pub(crate) fn new(check: Check, files: &Files<'_>) -> Result<Self, OpenError> {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let verifier = verifier(check, files.roots, &provider)?;
            let builder = ClientConfig::builder_with_provider(provider);
            let builder = builder.with_safe_default_protocol_versions().map_err(refused)?;
            let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
            let config = match files.client {
                None => builder.with_no_client_auth(),
                Some((certificate, key)) => builder
                    .with_client_auth_cert(certificates(certificate, "sslcert")?, private_key(key)?)
                    .map_err(refused)?,
            };
            Ok(Self { config, check })
        }

        /// Returns the connector that adds TLS to a connection.
        pub(crate) fn connector(&self) -> MakeRustlsConnect {
            MakeRustlsConnect::new(self.config.clone())
        }

        /// Returns whether any server is trusted.
        pub(crate) fn trusts_anybody(&self) -> bool {
            self.check == Check::Nothing
        }
    }

    fn verifier(
        check: Check,
        roots: Option<&Path>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, OpenError> {
        let algorithms = provider.signature_verification_algorithms;
        let Some(path) = roots else {
            return Ok(match check {
                Check::Nothing => Arc::new(Peer::anybody(algorithms)),
                _ => Arc::new(Verifier::new(Arc::clone(provider)).map_err(refused)?),
            });
        };
        let trusted = certificates(path, "sslrootcert")?;
        let mut roots = RootCertStore::empty();
        for certificate in &trusted {
            roots.add(certificate.clone()).map_err(refused)?;
        }
        let is_named = check == Check::ChainAndName;
        Ok(Arc::new(Peer::trusted(roots, trusted, is_named, algorithms)))
    }

    fn certificates(
        path: &Path,
        parameter: &str,
    ) -> Result<Vec<CertificateDer<'static>>, OpenError> {
        let pem = fs::read(path).map_err(failed("read", path))?;
        let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| OpenError::PostgresUrl(error.into()))?;
        if certificates.is_empty() {
            return Err(OpenError::PostgresUrl(
                format!("{parameter} has no PEM certificate").into(),
            ));
        }
        Ok(certificates)
    }

    /// Reads a private key. Refuses one that other users can read; as in libpq, root's key may be readable by its
    /// group.
    fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, OpenError> {
        let about = fs::metadata(path).map_err(failed("read", path))?;
        let others = if about.uid() == 0 { 0o037 } else { 0o077 };
        if about.mode() & others != 0 {
            return Err(OpenError::SecretExposed(path.to_owned()));
        }
        let pem = zeroize::Zeroizing::new(fs::read(path).map_err(failed("read", path))?);
        PrivateKeyDer::from_pem_slice(&pem).map_err(|_error| {
            OpenError::PostgresUrl("sslkey has no PEM key, or one that a password shuts".into())
        })
    }

    fn refused(error: rustls::Error) -> OpenError {
        OpenError::PostgresUrl(error.into())
    }
}

#[cfg(not(feature = "postgres-tls"))]
mod without {
    use tokio_postgres::NoTls;

    use super::{Check, Files};
    use crate::OpenError;

    /// TLS that this build does not have.
    #[derive(Clone, Debug)]
    pub(crate) enum Tls {}

    impl Tls {
        /// Returns `NoTls`.
        pub(crate) fn new(_check: Check, _files: &Files<'_>) -> Result<Self, OpenError> {
            Err(OpenError::NoTls)
        }

        /// Is never called.
        pub(crate) fn connector(&self) -> NoTls {
            match *self {}
        }

        /// Is never called.
        pub(crate) fn trusts_anybody(&self) -> bool {
            match *self {}
        }
    }
}
