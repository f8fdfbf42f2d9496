//! The body of a request.
//!
//! Invariants:
//! - A body is never held above its size limit, before or after decompression, and never awaited beyond its time
//!   limit.
//! - All bodies together stay within their budget.
//! - The headers that describe a body are checked before the server waits for it.

use std::{ops::Deref, sync::Arc, time::Duration};

use actix_web::{
    HttpRequest,
    http::{
        Version,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
    },
    web::{Data, Payload},
};
use futures_util::StreamExt as _;
use negotiate::{
    ContentCoding, ContentType, MediaType, UnsupportedMediaType,
    body::{Body, Fields},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    config::Limits,
    http::{preferences, problem::Problem},
};

/// The bytes of each body that do not count, so that small bodies are read while large ones use up the budget. The
/// buffers of a connection have that size anyway.
const UNCOUNTED: usize = 16 * 1024;
/// The maximum size of a short form, in bytes.
const FORM_BYTES: usize = 16 * 1024;

/// The budget of bytes for the bodies of all requests together, one permit per byte. Cheap to clone; all clones share
/// one budget.
#[derive(Clone, Debug)]
pub(crate) struct BodyBudget(Arc<Semaphore>);

impl BodyBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }
}

/// The part of the budget that one body uses. Dropping it returns it.
struct Share {
    budget: BodyBudget,
    permit: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Takes the bytes that a body of this length still needs.
    ///
    /// # Errors
    /// 503: too little of the budget is left.
    fn cover(&mut self, length: usize) -> Result<(), Problem> {
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = length.saturating_sub(UNCOUNTED).saturating_sub(held);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).map_err(|_too_many| Problem::overloaded())?;
        let more = Arc::clone(&self.budget.0).try_acquire_many_owned(more);
        let more = more.map_err(|_used_up| Problem::overloaded())?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

/// A body after parsing, with its share of the budget.
pub(crate) struct Held<T> {
    body: T,
    _share: Share,
}

/// A body as a tree.
pub(crate) type HeldBody = Held<Body>;
/// A body as the fields of a form.
pub(crate) type HeldFields = Held<Fields>;

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.body
    }
}

/// Reads a body as its headers describe it. An empty body needs no type.
///
/// # Errors
/// - 400: the body is malformed.
/// - 408, 413: a limit is exceeded.
/// - 415: the type or the coding is not supported.
/// - 503: the budget is used up.
pub(crate) async fn read(
    request: &HttpRequest,
    payload: Payload,
    limits: Limits,
) -> Result<HeldBody, Problem> {
    let coding = coding(request)?;
    let content_type = content_type(request).transpose()?;
    let (bytes, share) = receive_decoded(request, payload, coding, limits).await?;
    let body = if bytes.is_empty() {
        Body::empty()
    } else {
        Body::read(content_type.ok_or(UnsupportedMediaType::Missing)?, &bytes)?
    };
    Ok(Held { body, _share: share })
}

/// Returns the limits of a short form, such as that of a page or of OAuth.
pub(crate) fn form_limits(limits: Limits) -> Limits {
    Limits { body_bytes: FORM_BYTES.min(limits.body_bytes), ..limits }
}

/// Reads a body that must be a form. An empty body needs no type.
///
/// # Errors
/// Those of `read`, and 415: the body has another type.
pub(crate) async fn read_fields(
    request: &HttpRequest,
    payload: Payload,
    limits: Limits,
) -> Result<HeldFields, Problem> {
    let coding = coding(request)?;
    let form = content_type(request).transpose().map_err(|error| match error {
        UnsupportedMediaType::Charset => error.into(),
        _other => Problem::no_form(),
    })?;
    if form.as_ref().is_some_and(|form| form.media_type != MediaType::Form) {
        return Err(Problem::no_form());
    }
    let (bytes, share) = receive_decoded(request, payload, coding, limits).await?;
    let body = if bytes.is_empty() {
        Fields::empty()
    } else {
        Fields::read(form.ok_or_else(Problem::no_form)?.charset, &bytes)?
    };
    Ok(Held { body, _share: share })
}

fn coding(request: &HttpRequest) -> Result<Option<ContentCoding>, Problem> {
    let coding = preferences::text(request.headers(), &CONTENT_ENCODING).unwrap_or_default();
    Ok(ContentCoding::parse(&coding)?)
}

fn content_type(request: &HttpRequest) -> Option<Result<ContentType, UnsupportedMediaType>> {
    let header = request.headers().get(CONTENT_TYPE)?;
    Some(ContentType::parse(Some(header.to_str().unwrap_or_default())))
}

/// Receives a body, and decompresses it.
async fn receive_decoded(
    request: &HttpRequest,
    payload: Payload,
    coding: Option<ContentCoding>,
    limits: Limits,
) -> Result<(Vec<u8>, Share), Problem> {
    let announced = announced(request);
    if announced.is_some_and(|length| length > limits.body_bytes) {
        return Err(Problem::too_long(limits.body_bytes));
    }
    let budget = request.app_data::<Data<BodyBudget>>().expect("the app is set up with a budget");
    let mut share = Share { budget: BodyBudget::clone(budget), permit: None };
    let time_limit = Duration::from_secs(limits.body_seconds);
    let receiving = receive(payload, announced, limits.body_bytes, &mut share);
    let sent = tokio::time::timeout(time_limit, receiving)
        .await
        .map_err(|_elapsed| Problem::too_slow(limits.body_seconds))??;
    match coding {
        Some(coding) if !sent.is_empty() => {
            let decoded = coding.decode(&sent, limits.body_bytes)?;
            drop(sent);
            share.cover(decoded.len())?;
            Ok((decoded, share))
        }
        _ => Ok((sent, share)),
    }
}

/// Returns the length of the body, or `None` if only its end shows it. In HTTP/1 a body without a length or a
/// transfer coding is empty (RFC 9112 §6.3). The framework would read the body of an `Upgrade` request until the
/// client closes the connection.
fn announced(request: &HttpRequest) -> Option<usize> {
    let headers = request.headers();
    let length = preferences::text(headers, &CONTENT_LENGTH).and_then(|text| text.parse().ok());
    let ends_by_itself =
        request.version() > Version::HTTP_11 || headers.contains_key(TRANSFER_ENCODING);
    length.or((!ends_by_itself).then_some(0))
}

/// Receives a body up to its length or its end.
async fn receive(
    mut payload: Payload,
    announced: Option<usize>,
    limit: usize,
    share: &mut Share,
) -> Result<Vec<u8>, Problem> {
    let mut sent = Vec::with_capacity(announced.unwrap_or(0).min(UNCOUNTED));
    while announced.is_none_or(|length| sent.len() < length) {
        let Some(chunk) = payload.next().await else { break };
        let chunk = chunk.map_err(|_broken| Problem::body_broke_off())?;
        let rest = announced.unwrap_or(usize::MAX) - sent.len();
        let chunk = &chunk[..chunk.len().min(rest)];
        if sent.len() + chunk.len() > limit {
            return Err(Problem::too_long(limit));
        }
        share.cover(sent.len() + chunk.len())?;
        sent.extend_from_slice(chunk);
    }
    if announced.is_some_and(|length| sent.len() < length) {
        return Err(Problem::body_broke_off());
    }
    Ok(sent)
}
