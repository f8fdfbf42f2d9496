//! The origins whose scripts may call (CONTRACT 32).
//!
//! Invariant: a star stands for a port and never for a part of a host's name, because anyone can register a name that
//! begins like another one.

use actix_web::http::Uri;
use anyhow::bail;

/// The maximum number of digits in a port.
const PORT_DIGITS: usize = 5;

/// A list of origins. An item may allow any port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins(Vec<Allowed>);

/// An allowed origin, or the beginning of one.
#[derive(Clone, Debug)]
enum Allowed {
    /// Exactly this origin.
    Exactly(String),
    /// The origins of this scheme and host, on any port.
    AnyPort { host: String },
    /// The origins of this scheme and host on a port that begins with these digits.
    Port { host: String, digits: String },
}

impl Origins {
    /// Parses a list of origins. Each may end with a star in the place of a port or of its last digits.
    ///
    /// # Errors
    /// An item is not an origin, or its star stands for more than a port.
    pub(crate) fn parse(items: &[String]) -> anyhow::Result<Self> {
        items.iter().map(|item| Allowed::parse(item)).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether the list is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether scripts of this origin may call. The origin is written as browsers write it.
    pub(crate) fn allow(&self, origin: &str) -> bool {
        self.0.iter().any(|allowed| allowed.is(origin))
    }
}

impl Allowed {
    fn parse(item: &str) -> anyhow::Result<Self> {
        if item == "*" {
            bail!(
                "server.cors_origins must not be `*`: the scripts of every site that a user visits could \
                 call this server; list the origins, such as \"https://app.example.com\""
            );
        }
        let allowed = match item.strip_suffix('*') {
            Some(start) => Self::begins(start),
            None => is_origin(item).then(|| Self::Exactly(item.to_owned())),
        };
        match allowed {
            Some(allowed) => Ok(allowed),
            None if item.contains('*') => bail!(
                "server.cors_origins: in \"{item}\" the star must be the end, after a whole host or in its \
                 port, as in \"http://localhost*\" and \"http://localhost:30*\". It stands for a port and \
                 never for a part of a name, because anyone can register a name that begins like another \
                 one, such as good.example.evil.example"
            ),
            None => bail!(
                "server.cors_origins must have origins like \"https://app.example.com\": scheme and \
                 host, and a port that is not the scheme's own, in lower case, without a path"
            ),
        }
    }

    /// Parses the text before a star.
    fn begins(start: &str) -> Option<Self> {
        if is_host(start) {
            return Some(Self::AnyPort { host: start.to_owned() });
        }
        let (host, digits) = start.rsplit_once(':')?;
        let is_port = digits.len() < PORT_DIGITS && is_number(digits);
        let (host, digits) = (host.to_owned(), digits.to_owned());
        (is_host(&host) && is_port).then_some(Self::Port { host, digits })
    }

    fn is(&self, origin: &str) -> bool {
        let port_on = |host: &str| {
            let port = origin.strip_prefix(host)?.strip_prefix(':')?;
            ((1..=PORT_DIGITS).contains(&port.len()) && is_number(port)).then_some(port)
        };
        match self {
            Self::Exactly(allowed) => origin == allowed,
            Self::AnyPort { host } => origin == host || port_on(host).is_some(),
            Self::Port { host, digits } => {
                port_on(host).is_some_and(|port| port.starts_with(digits))
            }
        }
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether the text is a scheme and a complete host name.
fn is_host(text: &str) -> bool {
    let has_port = text.parse::<Uri>().is_ok_and(|uri| uri.port().is_some());
    is_origin(text) && !has_port && !text.ends_with(['.', '-'])
}

/// Returns whether the text is an origin as browsers write it (RFC 6454 §6.1).
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return false;
    };
    let is_default_port =
        matches!((scheme, authority.port_u16()), ("http", Some(80)) | ("https", Some(443)));
    let name_and_port = authority.as_str().rsplit(']').next().unwrap_or_default();
    let has_bad_port = name_and_port.contains(':') && authority.port_u16().is_none();
    matches!(scheme, "http" | "https")
        && !is_default_port
        && !has_bad_port
        && !authority.as_str().contains(['@', '*', '%'])
        && text == format!("{scheme}://{authority}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(item: &str) -> anyhow::Result<Origins> {
        Origins::parse(&[item.to_owned()])
    }

    /// CONTRACT 32: a star stands for a port.
    #[test]
    fn a_star_is_a_port() {
        let checks: [(&str, &[&str], &[&str]); 5] = [
            (
                "http://localhost*",
                &["http://localhost", "http://localhost:3000", "http://localhost:65535"],
                &[
                    "http://localhost.evil.example",
                    "http://localhost:3000.evil.example",
                    "http://localhost:",
                    "http://localhost:123456",
                    "http://localhostess",
                    "https://localhost",
                    "http://localhost:1@evil.example",
                    "null",
                ],
            ),
            (
                "https://good.example*",
                &["https://good.example", "https://good.example:8443"],
                &["https://good.example.evil.com", "https://good.examples"],
            ),
            (
                "http://localhost:*",
                &["http://localhost:3000"],
                &["http://localhost", "http://localhost:x", "http://localhost.evil.example:1"],
            ),
            (
                "http://localhost:30*",
                &["http://localhost:30", "http://localhost:3000"],
                &["http://localhost:4000", "http://localhost:30.evil.example"],
            ),
            (
                "http://[::1]*",
                &["http://[::1]", "http://[::1]:3000"],
                &["http://[::1].evil.example"],
            ),
        ];
        for (item, allowed, refused) in checks {
            let origins = origins(item).expect(item);
            for origin in allowed {
                assert!(origins.allow(origin), "{item}: {origin}");
            }
            for origin in refused {
                assert!(!origins.allow(origin), "{item}: {origin}");
            }
        }
    }

    /// CONTRACT 32: a star that stands for more is rejected, with the reason.
    #[test]
    fn a_star_is_nothing_else() {
        for (item, reason) in [
            ("*", "every site that a user visits"),
            ("http*", "anyone can register a name"),
            ("https://*", "anyone can register a name"),
            ("https://good.*", "anyone can register a name"),
            ("https://*.good.example", "anyone can register a name"),
            ("https://good.example/*", "anyone can register a name"),
            ("http://localhost:x*", "anyone can register a name"),
            ("http://localhost**", "anyone can register a name"),
            ("http://localhost:30000*", "anyone can register a name"),
            ("http://localhost/", "must have origins"),
            ("http://localhost:x", "must have origins"),
            ("http://localhost:", "must have origins"),
        ] {
            let refused = origins(item).expect_err(item).to_string();
            assert!(refused.contains(reason), "{item}: {refused}");
        }
    }
}
