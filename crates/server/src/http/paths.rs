//! The paths of the server.
//!
//! Invariant: each path is written here and nowhere else. The compiler reports a path without a route.

/// The base URL of the server, which redirects to the index.
pub(crate) const HOME: &str = "/";
pub(crate) const API: &str = "/api";
pub(crate) const API_V1: &str = "/api/v1";
pub(crate) const OPENAPI: &str = "/api/openapi.json";
pub(crate) const DOCS: &str = "/api/docs";
pub(crate) const DOCS_FILE: &str = "/api/docs/{file}";
pub(crate) const SAVE_EXTERNAL_TOKENS: &str = "/api/v1/Agents/User/SaveExternalTokens";
pub(crate) const GET_EXTERNAL_TOKENS: &str = "/api/v1/Agents/User/GetExternalTokens";
pub(crate) const EXCHANGE_CODE: &str = "/api/v1/Agents/User/ExchangeCodeAndSaveTokens";
pub(crate) const GET_ACCESS_TOKEN: &str = "/api/v1/Agents/User/GetAccessToken";
pub(crate) const LIST_EXTERNAL_TOKENS: &str = "/api/v1/Agents/ExternalTokens/List";
pub(crate) const DESCRIBE_EXTERNAL_TOKENS: &str = "/api/v1/Agents/ExternalTokens/Describe";
pub(crate) const REVOKE_EXTERNAL_TOKENS: &str = "/api/v1/Agents/ExternalTokens/Revoke";
pub(crate) const REFRESH_EXTERNAL_TOKENS: &str = "/api/v1/Agents/ExternalTokens/Refresh";
pub(crate) const REVOKE_GRANT: &str = "/api/v1/Agents/ExternalTokens/RevokeGrant";
pub(crate) const INTROSPECT_EXTERNAL_TOKENS: &str = "/api/v1/Agents/ExternalTokens/Introspect";
pub(crate) const REKEY_EXTERNAL_TOKENS: &str = "/api/v1/Agents/ExternalTokens/Rekey";
pub(crate) const REPLACE_EXTERNAL_TOKENS: &str = "/api/v1/Agents/ExternalTokens/Replace";
pub(crate) const AUTHORIZE: &str = "/api/v1/Agents/ExternalTokens/Authorize";
pub(crate) const CURRENT_PRINCIPAL: &str = "/api/v1/User/currentPrincipal";
pub(crate) const CURRENT_TOKEN: &str = "/api/v1/User/currentToken";
/// Served only with `grants.token_endpoint`. Its errors have the form of OAuth.
pub(crate) const TOKEN: &str = "/oauth2/token";

/// Returns whether the clients of a route use OAuth's encoding of the scheme Basic and OAuth's form of errors.
pub(crate) fn is_oauth(route: &str) -> bool {
    route == TOKEN
}
pub(crate) const SIGN_IN: &str = "/sign-in";
pub(crate) const SIGN_OUT: &str = "/sign-out";
pub(crate) const ACCOUNT: &str = "/account";
pub(crate) const ACCOUNT_TICKETS: &str = "/account/tickets";
pub(crate) const ACCOUNT_TICKETS_REVOKE: &str = "/account/tickets/revoke";
pub(crate) const HEALTH: &str = "/healthz";
pub(crate) const READINESS: &str = "/readyz";

/// The probes for supervisors of the process. They need neither prefix nor tenant.
pub(crate) const PROBES: [&str; 2] = [HEALTH, READINESS];
/// The server as a whole, which requests name only by `*` (RFC 9110 §7.1).
pub(crate) const SERVER: &str = "/server";
/// A path that is not served.
pub(crate) const NOWHERE: &str = "/nowhere";
