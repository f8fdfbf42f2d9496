//! Verification of a PostgreSQL server's certificate, as libpq does it with the same files.
//!
//! Invariant: a certificate is trusted if it is valid now, and is one of the trusted ones or is signed by one.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_cert::{
    Certificate, Version,
    der::{
        Decode as _,
        oid::db::{rfc4519::COMMON_NAME, rfc5912::ID_CE_SUBJECT_ALT_NAME},
    },
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// The servers that are trusted.
#[derive(Debug)]
pub(crate) struct Peer {
    /// `None` trusts every server.
    trusted: Option<Trusted>,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct Trusted {
    roots: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
    /// Whether the certificate's name must match the URL.
    is_named: bool,
}

/// A certificate that this TLS implementation cannot use.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server's certificate is of X.509 version 1 or cannot be read; make one of version 3, such as by \
     `openssl req -new -x509 -nodes -days 3650 -newkey rsa:3072 -subj /CN=HOST -addext \
     subjectAltName=DNS:HOST -keyout server.key -out server.crt`, with the server's name for HOST"
)]
struct Unusable;

impl Peer {
    /// Encrypts without verifying the server.
    pub(crate) fn anybody(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { trusted: None, algorithms }
    }

    /// Trusts these certificates and those they signed.
    pub(crate) fn trusted(
        roots: RootCertStore,
        certificates: Vec<CertificateDer<'static>>,
        is_named: bool,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self { trusted: Some(Trusted { roots, certificates, is_named }), algorithms }
    }
}

impl ServerCertVerifier for Peer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        let unusable = || Error::Other(OtherError(Arc::new(Unusable)));
        let read = Certificate::from_der(end_entity).map_err(|_error| unusable())?;
        if read.tbs_certificate.version == Version::V1 {
            return Err(unusable());
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        if trusted.certificates.iter().any(|trusted| trusted.as_ref() == end_entity.as_ref()) {
            check_dates(&read, now)?;
        } else {
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &trusted.roots,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if trusted.is_named && !is_called_by_common_name(&read, server_name) {
            verify_server_name(&parsed, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // A signature proves nothing for an unverified certificate.
        if self.trusted.is_none() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.trusted.is_none() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn check_dates(certificate: &Certificate, now: UnixTime) -> Result<(), Error> {
    let validity = &certificate.tbs_certificate.validity;
    let error = if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        CertificateError::NotValidYet
    } else if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        CertificateError::Expired
    } else {
        return Ok(());
    };
    Err(Error::InvalidCertificate(error))
}

/// Returns whether a certificate has this common name and no alternative names of that kind. PostgreSQL's documentation
/// makes such certificates.
fn is_called_by_common_name(certificate: &Certificate, name: &ServerName<'_>) -> bool {
    let certificate = &certificate.tbs_certificate;
    let extensions = certificate.extensions.iter().flatten();
    let alternatives = extensions
        .filter(|extension| extension.extn_id == ID_CE_SUBJECT_ALT_NAME)
        .filter_map(|extension| SubjectAltName::from_der(extension.extn_value.as_bytes()).ok());
    let is_of_kind = |alternative: &GeneralName| match name {
        ServerName::DnsName(_) => matches!(alternative, GeneralName::DnsName(_)),
        _ => matches!(alternative, GeneralName::IpAddress(_)),
    };
    if alternatives.flat_map(|alternatives| alternatives.0).any(|name| is_of_kind(&name)) {
        return false;
    }
    let attributes = certificate.subject.0.iter().flat_map(|name| name.0.iter());
    let mut names = attributes.filter(|attribute| attribute.oid == COMMON_NAME);
    names.any(|attribute| {
        str::from_utf8(attribute.value.value())
            .is_ok_and(|common| common.eq_ignore_ascii_case(&name.to_str()))
    })
}
