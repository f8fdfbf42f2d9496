//! The id of a request, and the trace that it belongs to.
//!
//! Invariant: an id or a trace in a header counts only if a trusted proxy sent the request. It has only characters that
//! are safe in a header, in the log and on a page.

use actix_web::{
    HttpMessage as _, HttpRequest, dev::ServiceRequest, http::header::HeaderName, web::Data,
};
use tracing_actix_web::RequestId;

use super::client::peer;
use crate::state::App;

/// The header of a request's id, in requests of trusted proxies and in every answer.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The maximum length of an id.
const LONGEST: usize = 128;

/// The names of a request in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestIdentity {
    /// The id that a trusted proxy gave the request in `X-Request-Id`, or else a new one. Answers have it, too.
    pub(crate) id: String,
    /// The id of the trace, if a trusted proxy named one in `traceparent` (W3C Trace Context).
    pub(crate) trace: Option<String>,
}

impl RequestIdentity {
    /// Returns the identity of a request.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let extensions = request.extensions();
        extensions.get::<Self>().expect("the request's span was made with it").clone()
    }

    /// Reads the identity from a request's head, and keeps it with the request.
    pub(super) fn read(request: &ServiceRequest) -> Self {
        let made = request.extensions().get::<RequestId>().map(ToString::to_string);
        let app = request.app_data::<Data<App>>();
        let is_trusted =
            app.is_some_and(|app| app.proxy_trust.trusts_peer(peer(request.request())));
        let header = |name| is_trusted.then(|| only(request.request(), &name)).flatten();
        let identity = Self {
            id: header(REQUEST_ID)
                .filter(|id| is_id(id))
                .map_or(made.unwrap_or_default(), str::to_owned),
            trace: header(TRACEPARENT).and_then(trace_id).map(str::to_owned),
        };
        request.extensions_mut().insert(identity.clone());
        identity
    }
}

/// Returns the value of a header that occurs once.
fn only<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    let mut lines = request.headers().get_all(name);
    let line = lines.next()?;
    if lines.next().is_some() { None } else { line.to_str().ok() }
}

fn is_id(text: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(&byte);
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(is_safe)
}

/// Returns the trace id in a `traceparent` (W3C Trace Context §3.2). A later version may have more at its end.
fn trace_id(text: &str) -> Option<&str> {
    let is_hex = |part: &str, length: usize| {
        part.len() == length
            && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_used = |part: &str| part.bytes().any(|byte| byte != b'0');
    let mut parts = text.splitn(5, '-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_well_formed = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2);
    (is_well_formed && is_used(trace) && is_used(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn an_id_has_safe_characters() {
        for id in ["a", "3f335c93-a6ed-4b8a", "Root=1-67891233:abc", &"x".repeat(LONGEST)] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", "a b", "a\"", "<b>", "a,b", "a\u{1b}[31m", "ø", &"x".repeat(LONGEST + 1)] {
            assert!(!is_id(id), "{id}");
        }
    }

    #[test]
    fn a_trace_id_is_read() {
        let of = |version: &str, rest: &str| format!("{version}-{TRACE}-{rest}");
        for text in [of("00", "00f067aa0ba902b7-01"), of("cc", "00f067aa0ba902b7-01-more")] {
            assert_eq!(trace_id(&text), Some(TRACE), "{text}");
        }
        for text in [
            of("00", "00f067aa0ba902b7-01-more"),
            of("ff", "00f067aa0ba902b7-01"),
            of("00", "0000000000000000-01"),
            of("00", "00f067aa0ba902b7"),
            of("00", "00f067aa0ba902b7-1"),
            of("0", "00f067aa0ba902b7-01"),
            of("00", "00f067aa0ba902b7-01").to_uppercase(),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", &TRACE[1..]),
            String::new(),
        ] {
            assert_eq!(trace_id(&text), None, "{text}");
        }
    }
}
