//! URLs that the server sends requests to, and those that browsers are sent back to.
//!
//! Invariant: only the host of an accepted URL can read the requests to it. The URL is `https`, or `http` if the host
//! is this machine and the rules allow that. An accepted URL holds no password.

use std::net::IpAddr;

use ureq::http::{Uri, uri::Scheme};

/// A URL that requests may be sent to; the error completes the sentence "the URL …".
///
/// # Errors
/// It is not a URL, is not `https`, or has a user name or a fragment.
pub(crate) fn parse(text: &str, allow_plain_loopback: bool) -> Result<Uri, &'static str> {
    // `Uri` drops a fragment in silence.
    if text.contains('#') {
        return Err("must not hold a fragment");
    }
    let url: Uri = text.parse().map_err(|_no_url| "is not a URL")?;
    let authority =
        url.authority().ok_or("must be absolute, such as \"https://id.example.com/\"")?;
    if authority.as_str().contains('@') {
        return Err("must not hold a user name");
    }
    if host(&url).is_empty() {
        return Err("must name a host");
    }
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if !port.is_empty() && url.port_u16().is_none_or(|port| port == 0) {
        return Err("has an invalid port");
    }
    match url.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => Ok(url),
        Some(scheme) if *scheme == Scheme::HTTP => {
            if !is_here(&url) {
                return Err("must be an https URL");
            }
            if !allow_plain_loopback {
                return Err(
                    "must be an https URL; http is for this machine in the profile `development`",
                );
            }
            Ok(url)
        }
        _ => Err("must be an https URL"),
    }
}

/// The host, without the brackets of an address.
pub(crate) fn host(url: &Uri) -> &str {
    url.host().unwrap_or_default().trim_matches(['[', ']'])
}

/// The port, by default that of the scheme.
pub(crate) fn port(url: &Uri) -> u16 {
    let default = if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    url.port_u16().unwrap_or(default)
}

/// Whether the URL names this machine.
fn is_here(url: &Uri) -> bool {
    let host = host(url);
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_that_keep_secrets_pass() {
        for url in [
            "https://id.example.com/token",
            "HTTPS://id.example.com",
            "https://[::1]:8443/?a=b",
            "https://10.0.0.1/x",
        ] {
            assert!(parse(url, false).is_ok(), "{url}");
        }
        for url in
            ["http://localhost:1/", "http://127.0.0.1/", "http://[::1]:80/", "http://LOCALHOST"]
        {
            assert!(parse(url, true).is_ok(), "{url}");
            assert!(parse(url, false).is_err(), "{url}");
        }
        for url in [
            "",
            "id.example.com",
            "/token",
            "https://",
            "https:///x",
            "ftp://id.example.com/",
            "http://id.example.com/",
            "http://10.0.0.1/",
            "http://localhost.example.com/",
            "https://user@id.example.com/",
            "https://u:p@id.example.com/",
            "https://a.example/#b",
            "https://a.example#",
            "https://a b.example/",
            "https://a.example/\r\nx",
            "https://a.example:99999/",
            "file:///etc/passwd",
            "http://127.1/",
        ] {
            assert!(parse(url, true).is_err(), "{url}");
        }
    }
}
