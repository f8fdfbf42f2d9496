//! The errors of each crate on the wire: status, type, message.
//!
//! Invariant: every variant is named, so that the build fails for a new one.

use actix_web::http::{StatusCode, header::ACCEPT_ENCODING};
use auth::{AuthError, MalformedCredentials};
use model::{Field, InvalidCarrier, InvalidIdempotencyKey, MalformedKey, RetrievalKey, Violation};
use negotiate::{
    ContentCoding, DecodeError, MediaType, NotAcceptable, NotText, NotXml, UnknownTimeZone,
    UnsupportedCoding, UnsupportedMediaType,
    body::{Kind, Malformed, Repeated, WrongType},
};
use store::StoreError;

use super::{ACCEPT_POST, Problem, list, types_read};
use crate::{callers::error::CallerError, texts::Message};

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let name = match error {
            AuthError::TwoCredentials => return Self::many_headers("Authorization"),
            AuthError::OtherTenant => return Self::forbidden(Message::new("SR_OTHER_TENANT")),
            AuthError::ApplicationNotAllowed => {
                return Self::forbidden(Message::new("SR_APPLICATION_TENANT"));
            }
            AuthError::Missing => "SR_LOGIN_REQUIRED",
            AuthError::UnsupportedScheme => "SR_LOGIN_SCHEME",
            AuthError::Refused => "SR_LOGIN_REFUSED",
            AuthError::InvalidTicket => "SR_TICKET_INVALID",
            AuthError::InvalidToken => "SR_TOKEN_INVALID",
            AuthError::NoIssuer => "SR_NO_ISSUER",
            AuthError::InvalidSession => "SR_SESSION_OVER",
            AuthError::Xsrf => "SR_XSRF",
            AuthError::ApplicationRequired => "SR_APPLICATION_REQUIRED",
            AuthError::InvalidApplication => "SR_APPLICATION_UNKNOWN",
            AuthError::Malformed(malformed) => match malformed {
                MalformedCredentials::NotText => "SR_LOGIN_NOT_TEXT",
                MalformedCredentials::NotBase64 => "SR_LOGIN_NOT_BASE64",
                MalformedCredentials::ControlCharacter => "SR_LOGIN_CONTROL",
                MalformedCredentials::NoColon => "SR_LOGIN_NO_COLON",
            },
        };
        let refuses_bearer = matches!(error, AuthError::InvalidToken | AuthError::NoIssuer);
        let problem = Self::new(StatusCode::UNAUTHORIZED, "SoSessionException", Message::new(name));
        Self { refuses_bearer, ..problem }
    }
}

impl From<CallerError> for Problem {
    fn from(error: CallerError) -> Self {
        match error {
            CallerError::Auth(error) => error.into(),
            CallerError::Throttled { seconds } => Self::throttled(seconds),
            CallerError::TooManyPasswordsWait => Self::overloaded(),
            CallerError::HashingPanicked(panicked) => Self::internal(&panicked),
            CallerError::IssuerKeysUnavailable => Self::unavailable("SR_KEYS_UNAVAILABLE"),
            CallerError::TwoApplications => Self::not_both("SO-AppToken", "AppToken"),
            CallerError::NotAUser => Self::forbidden(Message::new("SR_NO_USER")),
            CallerError::BearerIsOff => Self::forbidden(Message::new("SR_BEARER_OFF")),
            CallerError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => Self::overloaded(),
            // The store and the jobs log the start of an outage. A line for each call would add nothing.
            StoreError::Unavailable(_) if error.is_of_another_file() => {
                Self::unavailable("SR_DATABASE_REPLACED")
            }
            StoreError::Unavailable(_) => {
                let is_of_the_disk = error.is_of_the_disk();
                Self::unavailable(if is_of_the_disk { "SR_DISK_FULL" } else { "SR_UNAVAILABLE" })
            }
            StoreError::Closed => Self::unavailable("SR_STOPPING"),
            StoreError::QuotaReached(quota) => Self::quota_reached(quota),
            StoreError::OtherCall => Self::other_call(),
            StoreError::KeyMissing(_) => Self::unavailable("SR_KEY_MISSING"),
            StoreError::KeyUsedUp(_) => Self::unavailable("SR_KEY_USED_UP"),
            StoreError::KeyRetired(_)
            | StoreError::Conflict(_)
            | StoreError::NotFound(_)
            | StoreError::Reserved
            | StoreError::Damaged(_)
            | StoreError::DamagedIdempotencyKey
            | StoreError::Sentinel
            | StoreError::NotBackedUp(_)
            | StoreError::Query(_) => Self::internal(&error),
        }
    }
}

impl From<NotAcceptable> for Problem {
    fn from(_: NotAcceptable) -> Self {
        let types = list(MediaType::WRITTEN);
        Self::not_acceptable(Message::new("SR_NOT_ACCEPTABLE").with("types", types))
    }
}

impl From<NotXml> for Problem {
    fn from(_: NotXml) -> Self {
        Self::not_acceptable(Message::new("SR_ANSWER_NOT_XML"))
    }
}

impl From<UnsupportedMediaType> for Problem {
    fn from(error: UnsupportedMediaType) -> Self {
        Self::unsupported_body(match error {
            UnsupportedMediaType::Missing => {
                Message::new("SR_CONTENT_TYPE_MISSING").with("types", types_read())
            }
            UnsupportedMediaType::Type => {
                Message::new("SR_CONTENT_TYPE").with("types", types_read())
            }
            UnsupportedMediaType::Charset => Message::new("SR_CHARSET"),
        })
    }
}

impl Problem {
    /// 415: the type or the charset is not supported.
    fn unsupported_body(message: Message) -> Self {
        Self::unsupported(message).with_list(ACCEPT_POST, &types_read())
    }
}

impl From<UnsupportedCoding> for Problem {
    fn from(_: UnsupportedCoding) -> Self {
        let codings = ContentCoding::ALL.map(ContentCoding::name).join(", ");
        let message = Message::new("SR_CONTENT_ENCODING").with("codings", codings.clone());
        Self::unsupported(message).with_list(ACCEPT_ENCODING, &codings)
    }
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::Malformed(coding) => {
                Self::invalid(Message::new("SR_NOT_COMPRESSED").with("coding", coding.name()))
            }
            DecodeError::TooLong(limit) => Self::too_long(limit),
            DecodeError::TooManyParts => Self::invalid(Message::new("SR_TOO_MANY_PARTS")),
        }
    }
}

impl From<Malformed> for Problem {
    fn from(error: Malformed) -> Self {
        Self::invalid(match error {
            Malformed::XmlEncoding => {
                return Self::unsupported_body(Message::new("SR_XML_ENCODING"));
            }
            Malformed::Text(NotText { charset, valid_up_to }) => {
                let message = Message::new("SR_NOT_TEXT").with("charset", charset.name());
                let place = |valid| Message::new("SR_DETAIL_POSITION").with("position", valid + 1);
                let place = valid_up_to.map(place);
                return Self::invalid(message)
                    .with_details(place.into_iter().chain([Message::new("SR_DETAIL_CHARSET")]));
            }
            Malformed::SentAsForm(media_type) => {
                let format = if media_type.is_xml() { "XML" } else { "JSON" };
                Message::new("SR_SENT_AS_FORM")
                    .with("format", format)
                    .with("type", media_type.essence())
            }
            Malformed::Json { line, column } => {
                Message::new("SR_NOT_JSON").with("line", line).with("column", column)
            }
            Malformed::Xml(position) => Message::new("SR_NOT_XML").with("position", position),
            Malformed::XmlMixed(position) => {
                Message::new("SR_XML_MIXED").with("position", position)
            }
            Malformed::XmlEntity(position) => {
                Message::new("SR_XML_ENTITY").with("position", position)
            }
            Malformed::DocumentType => Message::new("SR_DOCUMENT_TYPE"),
            Malformed::TooMany(limit) => Message::new("SR_TOO_MANY").with("limit", limit),
            Malformed::TooDeep(limit) => Message::new("SR_TOO_DEEP").with("limit", limit),
            Malformed::PatchOperation(number) => {
                Message::new("SR_PATCH_OPERATION").with("number", number)
            }
            Malformed::PatchFailed(number) => {
                Message::new("SR_PATCH_FAILED").with("number", number)
            }
            Malformed::PatchTooLarge(limit) => {
                Message::new("SR_PATCH_TOO_LARGE").with("limit", limit)
            }
        })
    }
}

impl From<WrongType> for Problem {
    fn from(WrongType { property, expected, found }: WrongType) -> Self {
        let message = if property.is_empty() {
            Message::new("SR_BODY_WRONG_TYPE")
        } else {
            Message::new("SR_WRONG_TYPE").with("property", property)
        };
        Self::invalid(message.with("expected", kind(expected)).with("found", kind(found)))
    }
}

fn kind(kind: Kind) -> crate::texts::Argument {
    crate::texts::Argument::Message(match kind {
        Kind::Null => "SR_KIND_NULL",
        Kind::Boolean => "SR_KIND_BOOLEAN",
        Kind::Number => "SR_KIND_NUMBER",
        Kind::Integer => "SR_KIND_INTEGER",
        Kind::Fraction => "SR_KIND_FRACTION",
        Kind::String => "SR_KIND_STRING",
        Kind::Array => "SR_KIND_ARRAY",
        Kind::Object => "SR_KIND_OBJECT",
    })
}

impl From<InvalidCarrier> for Problem {
    fn from(InvalidCarrier { field, violation }: InvalidCarrier) -> Self {
        let named = |message| Message::new(message).with("property", field.to_string());
        let length = |limit, found| {
            [Message::new("SR_DETAIL_LENGTH").with("found", found).with("limit", limit)]
        };
        Self::invalid(match violation {
            Violation::Required => return Self::required(field.to_string()),
            Violation::NoToken => {
                return Self::either_required(field.to_string(), Field::RefreshToken.to_string());
            }
            Violation::TooManyCharacters(limit, found) => {
                let message = named("SR_TOO_MANY_CHARACTERS").with("limit", limit);
                return Self::invalid(message).with_details(length(limit, found));
            }
            Violation::NulCharacter => named("SR_NUL_CHARACTER"),
            Violation::TooManyBytes(limit, found) => {
                let message = named("SR_TOO_MANY_BYTES").with("limit", limit);
                return Self::invalid(message).with_details(length(limit, found));
            }
        })
    }
}

impl From<MalformedKey> for Problem {
    fn from(error: MalformedKey) -> Self {
        Self::of_key(error, "Key")
    }
}

impl Problem {
    /// 400: a key was truncated or mistyped. `property` names its place.
    pub(crate) fn of_key(error: MalformedKey, property: &'static str) -> Self {
        let of = |name| Self::invalid(Message::new(name).with("property", property));
        match error {
            MalformedKey::Foreign | MalformedKey::Shape => of("SR_KEY_SHAPE"),
            MalformedKey::Length(found) => {
                let length = Message::new("SR_DETAIL_KEY_LENGTH").with("found", found);
                of("SR_KEY_SHAPE").with_details([length.with("limit", RetrievalKey::LENGTH)])
            }
            MalformedKey::Checksum => of("SR_KEY_CHECKSUM"),
        }
    }
}

impl From<Repeated> for Problem {
    fn from(Repeated(name): Repeated) -> Self {
        Self::invalid(Message::new("SR_REPEATED").with("property", name))
    }
}

impl From<InvalidIdempotencyKey> for Problem {
    fn from(_: InvalidIdempotencyKey) -> Self {
        Self::invalid(Message::new("SR_IDEMPOTENCY_KEY"))
    }
}

impl From<UnknownTimeZone> for Problem {
    fn from(_: UnknownTimeZone) -> Self {
        Self::invalid(Message::new("SR_TIME_ZONE"))
            .with_details([Message::new("SR_DETAIL_TIME_ZONE")])
    }
}
