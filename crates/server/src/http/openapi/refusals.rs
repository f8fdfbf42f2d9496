//! The errors in the OpenAPI document.
//!
//! Invariant: every operation lists each of its possible error statuses.

use negotiate::MediaType;
use serde_json::{Map, Value, json};

use super::{
    tags::{OAUTH, PAGES, PROBES, is_call},
    tree::of_types,
};

/// A possible error of a call.
struct Refusal {
    status: &'static str,
    /// The name of the component in the document.
    name: &'static str,
    description: &'static str,
    /// The header that such an answer always has, and its description.
    header: Option<(&'static str, &'static str)>,
}

impl Refusal {
    const fn new(status: &'static str, name: &'static str, description: &'static str) -> Self {
        Self { status, name, description, header: None }
    }

    const fn with(self, header: &'static str, description: &'static str) -> Self {
        Self { header: Some((header, description)), ..self }
    }

    /// Returns the answer as the document describes it, with these bodies.
    fn answer(&self, content: &Value) -> Value {
        let mut answer = json!({"description": self.description, "content": content});
        if let Some((header, description)) = self.header {
            answer["headers"] = json!({
                header: {"description": description, "required": true, "schema": {"type": "string"}}
            });
        }
        answer
    }
}

const REFUSALS: [Refusal; 15] = [
    Refusal::new(
        "400",
        "BadRequest",
        "The request is malformed or invalid. The message names the property or the header",
    ),
    Refusal::new("401", "Unauthorized", "The request has no valid credential")
        .with("WWW-Authenticate", "The schemes that are accepted"),
    Refusal::new("403", "Forbidden", "The caller may not do this"),
    Refusal::new("404", "NotFound", "The path is not served"),
    Refusal::new("406", "NotAcceptable", "None of the types in Accept is available"),
    Refusal::new("408", "RequestTimeout", "The body does not arrive in time"),
    Refusal::new("413", "ContentTooLarge", "The body exceeds the size limit"),
    Refusal::new(
        "415",
        "UnsupportedMediaType",
        "The body has an unsupported type, charset or coding",
    ),
    Refusal::new("421", "MisdirectedRequest", "The host is another server's"),
    Refusal::new("422", "UnprocessableContent", "The Idempotency-Key belongs to another call"),
    Refusal::new(
        "424",
        "FailedDependency",
        "The provider ended the grant: the user must connect again",
    ),
    Refusal::new("429", "TooManyRequests", "Too many wrong passwords, or requests to providers")
        .with("Retry-After", "Seconds to wait before a retry"),
    Refusal::new(
        "500",
        "InternalServerError",
        "The server failed. Its log has the reason under the request id",
    ),
    Refusal::new(
        "502",
        "BadGateway",
        "The provider rejects this server, or gives no usable answer",
    ),
    Refusal::new("503", "ServiceUnavailable", "The server cannot do it now. Nothing is confirmed")
        .with("Retry-After", "Seconds to wait before a retry"),
];

/// The calls that return a provider's stored tokens, whose grant may be dead.
const OF_STORED: [&str; 2] = ["GetExternalTokens", "RefreshExternalTokens"];
const OF_CODE: &str = "ExchangeCodeAndSaveTokens";

/// Returns the answers that operations refer to.
pub(super) fn responses() -> Value {
    let error = json!({"schema": {"$ref": "#/components/schemas/Error"}});
    let refusals = REFUSALS.iter().map(|refusal| {
        (refusal.name.to_owned(), refusal.answer(&of_types(MediaType::WRITTEN, &error)))
    });
    refusals.collect::<Map<_, _>>().into()
}

/// Adds the possible errors to an operation, except those that it describes itself.
pub(super) fn may_be_refused(operation: &mut Value) {
    let tag = operation["tags"][0].clone();
    let has_body = !operation["requestBody"].is_null();
    let is_call = is_call(operation);
    let parameters = operation["parameters"].as_array();
    let has = |name: &str| parameters.is_some_and(|all| all.iter().any(|one| one["name"] == name));
    let (is_repeatable, is_file) = (has("Idempotency-Key"), has("file"));
    let (is_page, is_oauth) = (tag == PAGES, tag == OAUTH);
    let is_of_stored = OF_STORED.iter().any(|id| operation["operationId"] == **id);
    let asks_provider = is_of_stored || is_oauth || operation["operationId"] == OF_CODE;
    for refusal in REFUSALS {
        let Refusal { status, name, .. } = refusal;
        let may_be = match status {
            // For OAuth, a caller without access is a 400.
            "403" if is_oauth => false,
            "401" | "403" | "429" => is_call || is_oauth || (is_page && has_body),
            "404" => is_page || is_file,
            "406" => !is_page && !is_oauth && tag != PROBES,
            "408" | "413" | "415" => has_body,
            "421" => tag != PROBES,
            "422" => is_repeatable,
            "424" => is_of_stored,
            "502" => asks_provider,
            _ => true,
        };
        if !may_be || !operation["responses"][status].is_null() {
            continue;
        }
        operation["responses"][status] = if is_oauth {
            let error = json!({"schema": {"$ref": "#/components/schemas/OAuthError"}});
            refusal.answer(&json!({ "application/json": error }))
        } else if is_page && has_body && status.starts_with('4') {
            let mut refusal = json!({"description": "Why the form was refused"});
            let error = json!({"schema": {"$ref": "#/components/schemas/Error"}});
            refusal["content"] = of_types(MediaType::WRITTEN, &error);
            refusal["content"]["text/html"] = json!({"schema": {"type": "string"}});
            refusal
        } else {
            json!({"$ref": format!("#/components/responses/{name}")})
        };
    }
}
