//! TLS to PostgreSQL, where this build has it (feature `postgres-tls`).
//!
//! Invariant: a server's certificate is verified, with its name; there is no way around it but no TLS.

#[cfg(feature = "postgres-tls")]
pub(crate) use with::Tls;
#[cfg(not(feature = "postgres-tls"))]
pub(crate) use without::Tls;

#[cfg(feature = "postgres-tls")]
mod with {
    use std::{fmt, path::Path};

    use rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, pem::PemObject as _},
    };
    use rustls_platform_verifier::ConfigVerifierExt as _;
    use tokio_postgres_rustls::MakeRustlsConnect;

    use crate::{OpenError, files};

    /// Whom to trust.
    #[derive(Clone)]
    pub(crate) struct Tls(ClientConfig);

    impl fmt::Debug for Tls {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Tls")
        }
    }

    impl Tls {
        /// Trusts the certificates in a PEM file, or those that this machine trusts.
        pub(crate) fn new(certificates: Option<&str>) -> Result<Self, OpenError> {
            let refused = |error: rustls::Error| OpenError::PostgresUrl(error.into());
            let Some(path) = certificates else {
                return ClientConfig::with_platform_verifier().map(Self).map_err(refused);
            };
            let path = Path::new(path);
            let pem = std::fs::read(path).map_err(files::failed("read", path))?;
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate =
                    certificate.map_err(|error| OpenError::PostgresUrl(error.into()))?;
                roots.add(certificate).map_err(refused)?;
            }
            if roots.is_empty() {
                return Err(OpenError::PostgresUrl("sslrootcert has no PEM certificate".into()));
            }
            let config = ClientConfig::builder().with_root_certificates(roots);
            Ok(Self(config.with_no_client_auth()))
        }

        /// What makes TLS of a connection.
        pub(crate) fn connector(&self) -> MakeRustlsConnect {
            MakeRustlsConnect::new(self.0.clone())
        }
    }
}

#[cfg(not(feature = "postgres-tls"))]
mod without {
    use tokio_postgres::NoTls;

    use crate::OpenError;

    /// Nobody has one.
    #[derive(Clone, Debug)]
    pub(crate) enum Tls {}

    impl Tls {
        /// Refuses.
        pub(crate) fn new(_certificates: Option<&str>) -> Result<Self, OpenError> {
            Err(OpenError::NoTls)
        }

        /// Is never called.
        pub(crate) fn connector(&self) -> NoTls {
            match *self {}
        }
    }
}
