//! Normalizes the head of a request for routing (CONTRACT 1). A path in any case, with a trailing slash, a prefix or
//! a tenant becomes a path of the list of routes. Secret headers leave the head.
//!
//! Invariant: routing sees only the paths of that list, spelled as there. Every other path becomes one that is not
//! served.

use std::borrow::Cow;

use actix_web::{
    HttpMessage as _,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::uri::{PathAndQuery, Uri},
    middleware::Next,
    web::Data,
};

use super::{
    client::{self, Target},
    mount::{Mount, Paths, StrippedPrefix},
    paths::{DOCS, HOME, NOWHERE, PROBES, SERVER},
    routes::ROUTES,
    secret_headers::take_secrets,
};
use crate::{
    config::tenants::{self, Tenants},
    state::App,
};

impl Paths {
    /// Returns the path by which a request is routed, and the part before it. Consecutive slashes count as one.
    fn route(&self, path: &str) -> Option<(Cow<'static, str>, Mount)> {
        let merged = merge_slashes(path);
        let path = &*merged;
        let single = |base: &str| Mount { base: base.to_owned(), tenant: self.only_tenant.clone() };
        let anywhere = if path == "*" { Some(SERVER) } else { known(PROBES, path) };
        if let Some(route) = anywhere {
            return Some((route.into(), single("")));
        }
        let (prefix, rest) = path.split_at_checked(self.prefix.len())?;
        let is_below = rest.is_empty() || rest.starts_with('/');
        if !prefix.eq_ignore_ascii_case(&self.prefix) || !is_below {
            return None;
        }
        if let Some(probe) = known(PROBES, rest) {
            return Some((probe.into(), single(prefix)));
        }
        let (mount, rest) = match self.tenants {
            Tenants::Single => (single(prefix), rest),
            Tenants::Path => {
                let segment = rest.strip_prefix('/')?.split('/').next().unwrap_or_default();
                let tenant = tenants::parse(segment)?;
                let (base, rest) = path.split_at(prefix.len() + 1 + segment.len());
                (Mount { base: base.to_owned(), tenant }, rest)
            }
        };
        let viewer = rest.split_at_checked(DOCS.len());
        let route = match viewer.filter(|(docs, _)| docs.eq_ignore_ascii_case(DOCS)) {
            // File names are case-sensitive, and the slash before them marks a folder.
            Some((_, file)) if file.starts_with('/') => format!("{DOCS}{file}").into(),
            _ if matches!(rest, "" | "/") => HOME.into(),
            _ => {
                let served = ROUTES.iter().map(|route| route.path).filter(|path| self.serves(path));
                known(served, rest)?.into()
            }
        };
        Some((route, mount))
    }
}

fn merge_slashes(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return path.into();
    }
    let mut merged = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !merged.ends_with('/') {
            merged.push(character);
        }
    }
    merged.into()
}

/// Returns the one of `paths` that matches, in any case and with or without a trailing slash.
fn known(paths: impl IntoIterator<Item = &'static str>, path: &str) -> Option<&'static str> {
    let path = path.strip_suffix('/').unwrap_or(path);
    paths.into_iter().find(|known| known.eq_ignore_ascii_case(path))
}

/// Middleware, outermost: replaces the path by that of the route, and keeps the part before it. Afterwards the
/// request's head holds nothing of the buffer that it was read into, and no secret header.
pub(crate) async fn normalize_head(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let paths = request.app_data::<Data<Paths>>().expect("the app is set up with its paths");
    let app = request.app_data::<Data<App>>().expect("the app is set up with its state");
    let stripped = client::stripped_prefix(app, request.request());
    // Percent-encoded letters are already decoded here.
    let found = paths.route(request.match_info().as_str());
    let route = found.map_or(Cow::Borrowed(NOWHERE), |(route, mut mount)| {
        mount.base.insert_str(0, &stripped);
        request.extensions_mut().insert(mount);
        route
    });
    if !stripped.is_empty() {
        request.extensions_mut().insert(StrippedPrefix(stripped));
    }
    if let Some(target) = Target::of(request.uri()) {
        request.extensions_mut().insert(target);
    }
    // The URI is replaced even if it is equal, because the old one is a part of that buffer.
    let uri = with_path(request.uri(), &route).unwrap_or_else(|| Uri::from_static(NOWHERE));
    request.match_info_mut().get_mut().update(&uri);
    request.head_mut().uri = uri;
    take_secrets(&mut request);
    next.call(request).await
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    Some(Uri::from(path_and_query.ok()?))
}

#[cfg(test)]
mod tests {
    use model::TenantId;

    use super::*;
    use crate::http::paths::{
        API, API_V1, GET_EXTERNAL_TOKENS, HEALTH, LIST_EXTERNAL_TOKENS, READINESS,
        SAVE_EXTERNAL_TOKENS,
    };

    fn check(prefix: &str, tenants: Tenants, path: &str, expected: Option<(&str, &str, &str)>) {
        let only_tenant = TenantId::single();
        let prefix_of_paths = prefix.to_owned();
        let paths =
            Paths { prefix: prefix_of_paths, tenants, only_tenant, has_token_endpoint: false };
        let found = paths.route(path);
        let found = found
            .as_ref()
            .map(|(route, mount)| (&**route, mount.base.as_str(), mount.tenant.as_str()));
        assert_eq!(found, expected, "{prefix} {tenants:?} {path}");
    }

    /// CONTRACT 1: a path matches in any case, with at most one trailing slash.
    #[test]
    fn a_path_has_no_case() {
        for (path, expected) in [
            ("/api/v1/Agents/User/SaveExternalTokens", Some(SAVE_EXTERNAL_TOKENS)),
            ("/API/V1/agents/USER/getexternaltokens/", Some(GET_EXTERNAL_TOKENS)),
            ("/api/v1/agents/externalTokens/LIST/", Some(LIST_EXTERNAL_TOKENS)),
            ("/Api", Some(API)),
            ("/api/", Some(API)),
            ("/api/v1/", Some(API_V1)),
            ("/HealthZ", Some(HEALTH)),
            ("/api/docs", Some(DOCS)),
            ("/API/Docs/", Some("/api/docs/")),
            ("/API/Docs/Index.CSS", Some("/api/docs/Index.CSS")),
            ("*", Some(SERVER)),
            ("/server", None),
            ("/oauth2/token", None),
            ("/api//", Some(API)),
            ("//api", Some(API)),
            ("//api///v1/Agents//User/SaveExternalTokens", Some(SAVE_EXTERNAL_TOKENS)),
            ("/api//docs//x", Some("/api/docs/x")),
            ("/", Some(HOME)),
            ("", Some(HOME)),
            ("//", Some(HOME)),
            ("/nowhere", None),
            ("/api/v2", None),
            ("/api/docsx", None),
            ("/api/v1/Agents/User/SaveExternalTokensX", None),
            ("/SuperOffice/api", None),
            ("/å", None),
        ] {
            let expected = expected.map(|route| (route, "", "default"));
            check("", Tenants::Single, path, expected);
        }
    }

    /// CONTRACT 1: a prefix, a tenant or both are stripped. Without them only the probes are found.
    #[test]
    fn what_stands_before_the_api_is_taken_off() {
        let prefix = "/SuperOffice";
        for (path, expected) in [
            ("/SuperOffice/api", Some((API, "/SuperOffice", "default"))),
            ("/superoffice/API/", Some((API, "/superoffice", "default"))),
            ("/SuperOffice/healthz", Some((HEALTH, "/SuperOffice", "default"))),
            ("/healthz", Some((HEALTH, "", "default"))),
            ("/api", None),
            ("/SuperOfficeapi", None),
            ("/SuperOffice", Some((HOME, "/SuperOffice", "default"))),
            ("/SuperOffice/", Some((HOME, "/SuperOffice", "default"))),
            ("/", None),
            ("/SuperOffice/Cust1/api", None),
            ("/SuperOfficå/api", None),
        ] {
            check(prefix, Tenants::Single, path, expected);
        }
        for (path, expected) in [
            ("/SuperOffice/Cust1/api", Some((API, "/SuperOffice/Cust1", "cust1"))),
            ("/SuperOffice/CUST1/api/docs/x", Some(("/api/docs/x", "/SuperOffice/CUST1", "cust1"))),
            ("/SuperOffice/readyz/", Some((READINESS, "/SuperOffice", "default"))),
            ("/SuperOffice/Cust1/readyz", Some((READINESS, "/SuperOffice/Cust1", "cust1"))),
            ("/SuperOffice/api", None),
            ("/SuperOffice/Sign-In", None),
            ("/SuperOffice/api/v1", None),
            ("/SuperOffice//api", None),
            ("//SuperOffice//Cust1//api", Some((API, "/SuperOffice/Cust1", "cust1"))),
            ("/SuperOffice/Cust 1/api", None),
            ("/SuperOffice/Cust1", Some((HOME, "/SuperOffice/Cust1", "cust1"))),
            ("/SuperOffice", None),
            ("/SuperOffice/", None),
            ("/Cust1/api", None),
        ] {
            check(prefix, Tenants::Path, path, expected);
        }
        check("", Tenants::Path, "/Cust12345/api/v1", Some((API_V1, "/Cust12345", "cust12345")));
        check("", Tenants::Path, "/api/v1", None);
        check("", Tenants::Path, "/api/api/v1", None);
    }
}
