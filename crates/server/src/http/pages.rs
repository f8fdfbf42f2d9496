//! The common parts of all pages for people, and the page of an error (CONTRACT 34).
//!
//! Invariant: all shown values are escaped. The policy allows pages to load nothing and to run no script.

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{
        StatusCode,
        header::{ACCEPT, CONTENT_SECURITY_POLICY, HeaderMap, REFERRER_POLICY},
    },
    web::Data,
};
use askama::Template;
use auth::Scheme;
use negotiate::MediaType;

use crate::{
    http::{
        mount::{Mount, Paths},
        paths::{ACCOUNT, API},
        preferences::{accept, text},
        problem::{ErrorBody, Problem},
    },
    state::App,
    texts::{Locale, Message},
};

/// The types that only browsers request.
const HTML: [&str; 2] = ["text/html", "application/xhtml+xml"];
/// Nothing is loaded, no script is run, and the style is inside the page. Forms go only to this site.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

/// Returns whether the client prefers a page to the types for programs, as browsers do. If no served type is
/// acceptable, an accepted type with HTML in its name, such as `application/html`, also requests a page.
pub(crate) fn are_preferred(headers: &HeaderMap) -> bool {
    let offered = MediaType::WRITTEN.iter().map(|written| written.essence()).chain(HTML);
    let preferred = accept(headers).prefer(offered, |essence| essence);
    let speaks_of_html = || {
        text(headers, &ACCEPT).is_some_and(|accept| accept.to_ascii_lowercase().contains("html"))
    };
    preferred.map_or_else(speaks_of_html, |essence| HTML.contains(&essence))
}

/// Answers a page.
///
/// # Errors
/// 500: it cannot be written.
pub(crate) fn html(
    mut answer: HttpResponseBuilder,
    page: &impl Template,
) -> Result<HttpResponse, Problem> {
    let html = page.render().map_err(|error| Problem::internal(&error))?;
    Ok(answer
        .content_type("text/html; charset=utf-8")
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((REFERRER_POLICY, "same-origin"))
        .body(html))
}

/// The frame of every page: its language, and links to other pages.
pub(crate) struct Frame {
    /// An ISO 639-1 code.
    pub(crate) language: &'static str,
    pub(crate) links: Vec<Link>,
}

/// A link to another page.
pub(crate) struct Link {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Frame {
    /// Returns the frame for the reader. It has no links if the path lacks its tenant.
    pub(crate) fn of(request: &HttpRequest, locale: Option<&Locale>) -> Self {
        let mount = request.extensions().get::<Mount>().map(|mount| mount.base.clone());
        let base = mount.or_else(|| request.app_data::<Data<Paths>>()?.only_base(request));
        let has_account = request
            .app_data::<Data<App>>()
            .is_some_and(|app| app.authenticator.policy.is_on(Scheme::Session));
        let link = |path, text| {
            let text = Message::new(text).in_words(locale);
            base.as_ref().map(|base| Link { path: format!("{base}{path}"), text })
        };
        let account = has_account.then(|| link(ACCOUNT, "SR_ACCOUNT")).flatten();
        Self {
            language: locale.map_or("en", |locale| locale.language.iso()),
            links: link(API, "SR_API").into_iter().chain(account).collect(),
        }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame,
    status: StatusCode,
    error: &'a ErrorBody,
}

/// Answers the page of an error.
pub(crate) fn problem(
    request: &HttpRequest,
    status: StatusCode,
    error: &ErrorBody,
    locale: Option<&Locale>,
) -> HttpResponse {
    let page = ProblemPage { frame: Frame::of(request, locale), status, error };
    html(HttpResponse::build(status), &page).unwrap_or_else(|_| HttpResponse::new(status))
}
