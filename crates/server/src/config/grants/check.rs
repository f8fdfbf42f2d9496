//! Checks of the settings of grants.
//!
//! Invariant: an error names the setting and the provider.

use anyhow::{Context as _, bail};
use provider::ClientAuth;
use secrecy::ExposeSecret as _;
use ureq::http::{Uri, uri::Scheme};

use super::{
    super::{
        check_range,
        tenants::{self, ANY},
        url,
    },
    Grants, ProviderSettings,
};

const DAY: u32 = 86_400;
/// Ten years, the longest that a token's life is believed.
const MOST_SECONDS: u32 = 3650 * DAY;
/// A hundred years; a longer limit is a mistake.
const MOST_DAYS: u32 = 36_500;
const MOST_PROVIDERS: usize = 1000;
const MOST_BYTES_OF_NAME: usize = 255;

impl Grants {
    /// Checks every bound.
    ///
    /// # Errors
    /// Names the setting and the provider.
    pub(in crate::config) fn check(&self, allow_plain_loopback: bool) -> anyhow::Result<()> {
        for (key, value, range) in [
            ("deadline_seconds", self.deadline_seconds, 1..=60),
            ("wait_seconds", self.wait_seconds, 1..=300),
            ("concurrent", self.concurrent, 1..=400),
            ("concurrent_per_provider", self.concurrent_per_provider, 1..=400),
            ("refreshes_per_owner", self.refreshes_per_owner, 1..=1_000_000),
        ] {
            check_range(key, value, range).map_err(|error| error.context("grants"))?;
        }
        if self.unsaved_directory.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            bail!("grants.unsaved_directory must not be empty; leave it out for the default");
        }
        if let Some(proxy) = &self.egress_proxy
            && !is_proxy(proxy)
        {
            bail!(
                "grants.egress_proxy must be like \"http://proxy.internal:3128\": http, a host and a \
                 port, without a user name and a path"
            );
        }
        if self.providers.0.len() > MOST_PROVIDERS {
            bail!("grants.providers must have at most {MOST_PROVIDERS} items");
        }
        for (place, provider) in self.providers.named() {
            provider.check(allow_plain_loopback).context(place)?;
        }
        self.check_names()
    }

    /// Checks that no tenant has two providers of one name, or of names that differ in case alone.
    fn check_names(&self) -> anyhow::Result<()> {
        let providers: Vec<_> = self.providers.named().collect();
        for (index, (place, provider)) in providers.iter().enumerate() {
            for (other_place, other) in &providers[..index] {
                let is_alike = other.name.to_lowercase() == provider.name.to_lowercase();
                if !is_alike || !other.shares_a_tenant_with(provider) {
                    continue;
                }
                if other.name == provider.name {
                    bail!(
                        "{place}: name is that of {other_place}, for the same tenant; give one of them \
                         another name, or tenants that are not the other's"
                    );
                }
                bail!(
                    "{place}: name differs only in case from that of {other_place}, which is likely a \
                     mistake, because names are compared exactly; give one of them another name, or \
                     tenants that are not the other's"
                );
            }
        }
        Ok(())
    }
}

impl ProviderSettings {
    fn shares_a_tenant_with(&self, other: &Self) -> bool {
        let is_shared = |name: &String| {
            let is_same = |named: &String| named == ANY || named.eq_ignore_ascii_case(name);
            name == ANY || other.tenants.iter().any(is_same)
        };
        self.tenants.iter().any(is_shared)
    }

    fn check(&self, allow_plain_loopback: bool) -> anyhow::Result<()> {
        if model::Provider::parse(&self.name).is_err() {
            bail!("name must be that of a record's provider: 1 to 255 characters");
        }
        check_text("client_id", &self.client_id)?;
        tenants::check(&self.tenants)?;
        self.check_urls(allow_plain_loopback)?;
        self.check_secrets()?;
        for scope in &self.scopes {
            check_text("scopes", scope)?;
        }
        if self.ca.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            bail!(
                "ca must not be empty; leave it out for the certificates that the machine trusts"
            );
        }
        for (key, value, range) in [
            ("refresh_before_seconds", self.refresh_before_seconds, 0..=30 * DAY),
            ("minimum_seconds", self.minimum_seconds, 0..=DAY),
            ("replay_within_seconds", self.replay_within_seconds, 0..=90 * DAY),
            ("assume_expires_in_seconds", self.assume_expires_in_seconds, 0..=MOST_SECONDS),
            ("earliest_seconds", self.earliest_seconds, 0..=DAY),
            ("idle_days", self.idle_days.unwrap_or(1), 1..=MOST_DAYS),
            ("absolute_days", self.absolute_days.unwrap_or(1), 1..=MOST_DAYS),
        ] {
            check_range(key, value, range)?;
        }
        if self.refresh_before_seconds < self.minimum_seconds {
            bail!("refresh_before_seconds must be at least minimum_seconds");
        }
        let statuses = &self.answer.status;
        if statuses.is_empty() || statuses.iter().any(|status| !(200..=299).contains(status)) {
            bail!("answer.status must have only numbers from 200 to 299, at least one");
        }
        Ok(())
    }

    fn check_urls(&self, allow_plain_loopback: bool) -> anyhow::Result<()> {
        let endpoints = [
            ("authorization_endpoint", &self.authorization_endpoint),
            ("token_endpoint", &self.token_endpoint),
            ("refresh_endpoint", &self.refresh_endpoint),
            ("revocation_endpoint", &self.revocation_endpoint),
            ("introspection_endpoint", &self.introspection_endpoint),
            ("jwks", &self.jwks),
        ];
        if self.issuer.is_none() && self.token_endpoint.is_none() {
            bail!("set issuer, where discovery finds the endpoints, or token_endpoint");
        }
        if self.issuer.is_some()
            && let Some((key, _)) = endpoints.iter().find(|(_key, url)| url.is_some())
        {
            bail!(
                "set {} or {}, not both: discovery finds the endpoints of an issuer",
                self.called("issuer"),
                self.called(key)
            );
        }
        let urls = endpoints.into_iter().chain([("issuer", &self.issuer)]);
        let urls: Vec<_> = urls.filter_map(|(key, url)| Some((key, url.as_deref()?))).collect();
        self.parameters.check_templates(urls.iter().copied())?;
        self.check_documents()?;
        let samples = self.parameters.samples();
        for (key, url) in urls {
            if let Err(why) = url::parse(&provider::fill_url(url, &samples), allow_plain_loopback) {
                bail!("{key} {why}");
            }
        }
        let has_place = self.issuer.is_some() || self.revocation_endpoint.is_some();
        if self.revoke_upstream && !has_place {
            bail!("revoke_upstream needs revocation_endpoint, or the issuer, which may name it");
        }
        if self.issuer.as_ref().is_some_and(|issuer| issuer.contains('?')) {
            bail!("issuer must not have a query (RFC 8414 §2)");
        }
        for redirect in &self.redirect_uris {
            if let Err(why) = check_redirect(redirect) {
                bail!("redirect_uris: {} {why}", redirect.escape_debug());
            }
        }
        Ok(())
    }

    /// Refuses a parameter without a value in the URL of a document, because the document is read for all users.
    fn check_documents(&self) -> anyhow::Result<()> {
        for (key, url) in [("issuer", &self.issuer), ("jwks", &self.jwks)] {
            let url = url.as_deref().unwrap_or_default();
            let is_in = |name: &&str| url.contains(&format!("{{{name}}}"));
            if let Some(name) = self.parameters.open().find(is_in) {
                bail!(
                    "{} has {{{name}}}, which needs a value here, as in parameters.{name} = \"…\", because \
                     its document is read for all users",
                    self.called(key)
                );
            }
        }
        Ok(())
    }

    fn check_secrets(&self) -> anyhow::Result<()> {
        let (auth, called) = (self.client_auth.name(), self.called("client_auth"));
        let has_secret = self.client_secret.is_some() || self.next_client_secret.is_some();
        let takes_secret = match self.client_auth {
            ClientAuth::PrivateKeyJwt | ClientAuth::Tls | ClientAuth::None => false,
            ClientAuth::Basic
            | ClientAuth::BasicRaw
            | ClientAuth::BasicSecret
            | ClientAuth::Post => true,
        };
        self.check_keys()?;
        if !takes_secret && has_secret {
            bail!(
                "{called} = \"{auth}\" takes no secret; remove client_secret, or the file of one"
            );
        }
        if takes_secret && self.client_secret.is_none() {
            bail!(
                "{called} = \"{auth}\" needs client_secret or client_secret_file; a client that has none sets \
                 client_auth = \"none\""
            );
        }
        for (key, secret) in [
            ("client_secret", &self.client_secret),
            ("next_client_secret_file", &self.next_client_secret),
        ] {
            if let Some(secret) = secret {
                let secret = secret.expose_secret();
                if secret.is_empty() || secret.contains(char::is_control) {
                    bail!("{key} must be a secret of one line");
                }
            }
        }
        Ok(())
    }

    /// Checks that there are the keys and certificates that `client_auth` needs, and no others.
    fn check_keys(&self) -> anyhow::Result<()> {
        let (auth, called) = (self.client_auth.name(), self.called("client_auth"));
        let has_key = self.private_key_file.is_some();
        match self.client_auth {
            ClientAuth::PrivateKeyJwt if !has_key => {
                bail!("{called} = \"{auth}\" needs private_key_file, which the client signs with");
            }
            ClientAuth::PrivateKeyJwt if self.client_secret.is_some() => {
                bail!(
                    "{called} = \"{auth}\" signs with private_key_file; remove client_secret, or the file of one"
                );
            }
            ClientAuth::Tls if self.tls.is_none() => bail!(
                "{called} = \"{auth}\" needs tls = {{ certificate = \"…\", key = \"…\" }}, the client's own"
            ),
            ClientAuth::PrivateKeyJwt => {}
            _ if has_key || self.next_private_key_file.is_some() => bail!(
                "private_key_file is for client_auth = \"private_key_jwt\", and {called} is \"{auth}\""
            ),
            _ => {}
        }
        for (key, value) in [
            ("key_id", &self.key_id),
            ("next_key_id", &self.next_key_id),
            ("assertion_audience", &self.assertion_audience),
        ] {
            if let Some(value) = value {
                check_text(key, value)?;
            }
        }
        for (next, file, id, certificate) in [
            ("", &self.private_key_file, &self.key_id, &self.certificate_file),
            ("next_", &self.next_private_key_file, &self.next_key_id, &self.next_certificate_file),
        ] {
            if file.is_none() && (id.is_some() || certificate.is_some()) {
                bail!(
                    "{next}key_id and {next}certificate_file are for {next}private_key_file, which is not set"
                );
            }
        }
        if self.assertion_audience.as_deref() == Some("issuer") && self.issuer.is_none() {
            bail!(
                "{} = \"issuer\" needs issuer; without it, write the text that the provider wants",
                self.called("assertion_audience")
            );
        }
        Ok(())
    }
}

fn check_text(key: &str, text: &str) -> anyhow::Result<()> {
    if text.is_empty() || text.trim() != text || text.contains(char::is_control) {
        bail!(
            "{key} must not be empty, and must not have white space around it or control characters"
        );
    }
    if text.len() > MOST_BYTES_OF_NAME {
        bail!("{key} must have at most {MOST_BYTES_OF_NAME} bytes");
    }
    Ok(())
}

/// Browsers may also be sent to a program on the user's own machine (RFC 8252 §7.3).
fn check_redirect(uri: &str) -> Result<(), &'static str> {
    url::parse(uri, true).map(drop)
}

/// Whether the text is the URL of a proxy: a scheme, a host and a port.
fn is_proxy(text: &str) -> bool {
    let Ok(url) = text.parse::<Uri>() else { return false };
    let authority = url.authority().map(|authority| authority.as_str()).unwrap_or_default();
    url.scheme() == Some(&Scheme::HTTP)
        && !url::host(&url).is_empty()
        && url.port_u16().is_some()
        && !authority.contains('@')
        && !text.contains('#')
        && matches!(url.path_and_query().map_or("/", |path| path.as_str()), "/" | "")
}
