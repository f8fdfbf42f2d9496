//! The host that a request names, and the hosts of this server (CONTRACT 1, RFC 9110 §7.2).
//!
//! Invariant: a server that is reachable only from this machine, or whose hosts are configured, rejects every request
//! for another host. Otherwise a web page could point its own name at this address (DNS rebinding). It could then
//! call the server from the browser of a user who can reach it.

use actix_web::{
    HttpMessage as _,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::HOST,
    middleware::Next,
    web::Data,
};
use anyhow::bail;

use super::{
    client::{self, Target},
    paths::PROBES,
    problem::Problem,
};
use crate::{host::Host, state::App};

/// The hosts that a server answers for.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    /// The configured hosts, each without a port.
    named: Vec<String>,
    /// Whether the server is reachable only from this machine.
    is_local: bool,
}

impl Hosts {
    /// Creates the hosts of this list. A server that is reachable only from this machine also has the loopback names.
    ///
    /// # Errors
    /// An item of the list is not a host, or has a port.
    pub(crate) fn new(named: &[String], is_local: bool) -> anyhow::Result<Self> {
        let is_host =
            |name: &String| Host::parse(name.as_bytes()).is_some_and(|host| host.name == name);
        if !named.iter().all(is_host) {
            bail!(
                "server.hosts must have names and addresses without a port, such as \
                 \"latchkey.example.com\", \"192.0.2.1\" and \"[2001:db8::1]\""
            );
        }
        Ok(Self { named: named.to_vec(), is_local })
    }

    fn admit(&self, host: &Host<'_>) -> bool {
        match self {
            Self { is_local: false, named } if named.is_empty() => true,
            Self { is_local, named } => {
                *is_local && host.is_loopback() || named.iter().any(|name| host.is_named(name))
            }
        }
    }
}

/// Middleware: rejects requests for a host of another server.
pub(crate) async fn check<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    match judge(&request) {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(problem) => Ok(request.error_response(problem).map_into_right_body()),
    }
}

fn judge(request: &ServiceRequest) -> Result<(), Problem> {
    let app = request.app_data::<Data<App>>().expect("the app is set up with its state");
    let hosts = request.app_data::<Data<Hosts>>().expect("the app is set up with its hosts");
    let mut lines = request.headers().get_all(HOST);
    let line = lines.next().map(|line| line.as_bytes());
    if lines.next().is_some() {
        return Err(Problem::many_headers("Host"));
    }
    let extensions = request.request().extensions();
    let own = match extensions.get::<Target>() {
        Some(Target { is_absolute: false, .. }) => return Err(Problem::no_host()),
        Some(Target { authority, .. }) => Some(authority.as_str().as_bytes()),
        None => line,
    };
    let parse = |text| Host::parse(text).ok_or_else(Problem::no_host);
    line.filter(|line| !line.is_empty()).map(parse).transpose()?;
    let own = own.filter(|own| !own.is_empty()).map(parse).transpose()?;
    let is_probe = PROBES.contains(&request.path());
    let forwarded = client::forwarded_headers(app, request.request());
    let forwarded = forwarded.origin(client::peer(request.request()), &app.proxy_trust);
    match forwarded.host.or(own) {
        Some(host) if !is_probe && !hosts.admit(&host) => Err(Problem::other_host()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONTRACT 1: a server reachable only from this machine has the loopback names and the configured hosts. Other
    /// servers have the configured hosts, or accept any host.
    #[test]
    fn a_server_has_its_hosts() {
        let admits = |named: &[&str], is_local, host: &str| {
            let named: Vec<_> = named.iter().map(ToString::to_string).collect();
            let hosts = Hosts::new(&named, is_local).expect("hosts");
            hosts.admit(&Host::parse(host.as_bytes()).expect("a host"))
        };
        for host in ["localhost", "LOCALHOST.:1", "127.0.0.1:8080", "127.0.0.2", "[::1]"] {
            assert!(admits(&[], true, host) && admits(&["a.example"], true, host), "{host}");
            assert!(!admits(&["a.example"], false, host), "{host}");
        }
        for host in ["a.example", "A.Example.:443", "192.0.2.1", "[::ffff:192.0.2.1]:80"] {
            assert!(!admits(&[], true, host) && admits(&[], false, host), "{host}");
            assert!(admits(&["a.example", "192.0.2.1"], true, host), "{host}");
            assert!(admits(&["A.EXAMPLE.", "192.0.2.1"], false, host), "{host}");
            assert!(!admits(&["b.a.example", "example"], false, host), "{host}");
        }
        for bad in ["", "*", "a.example:80", "https://a.example", "a/b"] {
            assert!(Hosts::new(&[bad.to_owned()], true).is_err(), "{bad}");
        }
    }
}
