//! The media types of bodies: those of a `Content-Type`, and those of answers (RFC 9110 §8.3, §12.5.1).
//!
//! Invariant: a body is read only as the type that its header names. The type is never guessed.

use mediatype::{MediaType as Parsed, Name, ReadParams as _};

use crate::{Accept, Charset};

/// A media type that a body may have. XML needs the feature `xml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MediaType {
    /// `application/json`
    ApplicationJson,
    /// `text/json`
    TextJson,
    /// `application/xml`
    #[cfg(feature = "xml")]
    ApplicationXml,
    /// `text/xml`
    #[cfg(feature = "xml")]
    TextXml,
    /// `application/x-www-form-urlencoded`, in requests only.
    Form,
    /// `application/json-patch+json`: RFC 6902 in requests, plain JSON in answers.
    JsonPatch,
    /// `application/merge-patch+json`: RFC 7396 in requests, plain JSON in answers.
    MergePatch,
}

/// The client accepts none of the types of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("none of the types that Accept names is answered here")]
pub struct NotAcceptable;

/// The `Content-Type` is missing or unsupported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedMediaType {
    /// The header is missing.
    #[error("the request has a body but no Content-Type")]
    Missing,
    /// The header names another type, or is malformed.
    #[error("the Content-Type is not one that is read here")]
    Type,
    /// The type is supported, but its charset is not.
    #[error("the charset of the Content-Type is not one that is read here")]
    Charset,
}

/// The value of a `Content-Type` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentType {
    /// The type and subtype.
    pub media_type: MediaType,
    /// The charset; `None` if the header has none.
    pub charset: Option<Charset>,
}

impl MediaType {
    /// The types of requests, in the order of preference.
    pub const READ: &'static [Self] = &[
        Self::ApplicationJson,
        Self::TextJson,
        #[cfg(feature = "xml")]
        Self::ApplicationXml,
        #[cfg(feature = "xml")]
        Self::TextXml,
        Self::Form,
        Self::JsonPatch,
        Self::MergePatch,
    ];

    /// The types of answers, in the order of preference.
    pub const WRITTEN: &'static [Self] = &[
        Self::ApplicationJson,
        Self::TextJson,
        #[cfg(feature = "xml")]
        Self::ApplicationXml,
        #[cfg(feature = "xml")]
        Self::TextXml,
        Self::JsonPatch,
        Self::MergePatch,
    ];

    /// The type and subtype, without parameters.
    pub fn essence(self) -> &'static str {
        let content_type = self.content_type();
        content_type.split_once(';').map_or(content_type, |(essence, _)| essence)
    }

    /// The `Content-Type` of a body in UTF-8.
    ///
    /// ```
    /// # use negotiate::MediaType;
    /// assert_eq!(MediaType::TextJson.content_type(), "text/json; charset=utf-8");
    /// ```
    pub fn content_type(self) -> &'static str {
        match self {
            Self::ApplicationJson => "application/json; charset=utf-8",
            Self::TextJson => "text/json; charset=utf-8",
            #[cfg(feature = "xml")]
            Self::ApplicationXml => "application/xml; charset=utf-8",
            #[cfg(feature = "xml")]
            Self::TextXml => "text/xml; charset=utf-8",
            Self::Form => "application/x-www-form-urlencoded; charset=utf-8",
            Self::JsonPatch => "application/json-patch+json; charset=utf-8",
            Self::MergePatch => "application/merge-patch+json; charset=utf-8",
        }
    }

    /// Whether its bodies are XML.
    pub fn is_xml(self) -> bool {
        match self {
            #[cfg(feature = "xml")]
            Self::ApplicationXml | Self::TextXml => true,
            _ => false,
        }
    }

    /// The type of the answer: of those in `WRITTEN` the one with the highest quality value (RFC 9110 §12.4.2).
    ///
    /// # Errors
    /// The client accepts none of them.
    ///
    /// ```
    /// use negotiate::{Accept, MediaType, NotAcceptable};
    ///
    /// let accept = Accept::parse("text/xml;q=0.5, text/*");
    /// assert_eq!(MediaType::of_answer(&accept), Ok(MediaType::TextJson));
    /// assert_eq!(MediaType::of_answer(&Accept::parse("image/png")), Err(NotAcceptable));
    /// ```
    pub fn of_answer(accept: &Accept) -> Result<Self, NotAcceptable> {
        accept.prefer(Self::WRITTEN.iter().copied(), Self::essence).ok_or(NotAcceptable)
    }
}

impl ContentType {
    /// Reads the `Content-Type` of a request. Case does not matter. Parameters other than `charset` are ignored.
    ///
    /// # Errors
    /// The header is missing, or its type or charset is unsupported.
    ///
    /// ```
    /// use negotiate::{Charset, ContentType, MediaType, UnsupportedMediaType};
    ///
    /// let json = ContentType::parse(Some("Application/JSON; charset=UTF-8"))?;
    /// assert_eq!(json.media_type, MediaType::ApplicationJson);
    /// assert_eq!(json.charset, Some(Charset::Utf8));
    /// assert_eq!(ContentType::parse(Some("image/png")), Err(UnsupportedMediaType::Type));
    /// # Ok::<(), UnsupportedMediaType>(())
    /// ```
    pub fn parse(header: Option<&str>) -> Result<Self, UnsupportedMediaType> {
        let header = header.ok_or(UnsupportedMediaType::Missing)?;
        let spared = without_empty_parameters(header);
        let parsed = Parsed::parse(header).or_else(|_malformed| Parsed::parse(&spared));
        let parsed = parsed.map_err(|_malformed| UnsupportedMediaType::Type)?;
        let essence = parsed.essence().to_string();
        let media_type = MediaType::READ
            .iter()
            .copied()
            .find(|known| essence.eq_ignore_ascii_case(known.essence()))
            .ok_or(UnsupportedMediaType::Type)?;
        let charset = parsed
            .get_param(Name::new_unchecked("charset"))
            .map(|label| label.unquoted_str().trim_matches([' ', '\'']).to_owned())
            .filter(|label| !label.is_empty())
            .map(|label| Charset::parse(&label).ok_or(UnsupportedMediaType::Charset))
            .transpose()?;
        Ok(Self { media_type, charset })
    }
}

/// The header without parameters that have no value, such as `charset=`. They violate the grammar, but clients send
/// them.
fn without_empty_parameters(header: &str) -> String {
    let parts = header.split(';').map(str::trim);
    parts.filter(|part| !part.is_empty() && !part.ends_with('=')).collect::<Vec<_>>().join("; ")
}

#[cfg(all(test, feature = "xml"))]
mod tests {
    use super::*;
    use rstest::rstest;

    /// CONTRACT 13: the seven types, their charsets; another type or none is refused.
    #[rstest]
    #[case("application/json", Ok((MediaType::ApplicationJson, None)))]
    #[case("application/json; charset=utf-8", Ok((MediaType::ApplicationJson, Some(Charset::Utf8))))]
    #[case("APPLICATION/JSON;CHARSET=\"UTF-8\"", Ok((MediaType::ApplicationJson, Some(Charset::Utf8))))]
    #[case("application/json; odata=verbose", Ok((MediaType::ApplicationJson, None)))]
    #[case("application/json; charset=utf8", Ok((MediaType::ApplicationJson, Some(Charset::Utf8))))]
    #[case("application/json; charset='utf-8'", Ok((MediaType::ApplicationJson, Some(Charset::Utf8))))]
    #[case("application/json; charset=us-ascii", Ok((MediaType::ApplicationJson, Some(Charset::Utf8))))]
    #[case("application/json; charset=windows-1252", Ok((MediaType::ApplicationJson, Some(Charset::Windows1252))))]
    #[case("application/json; charset=", Ok((MediaType::ApplicationJson, None)))]
    #[case("application/json; charset=\"\"", Ok((MediaType::ApplicationJson, None)))]
    #[case("application/json; charset=; odata=verbose;", Ok((MediaType::ApplicationJson, None)))]
    #[case("application/json;", Ok((MediaType::ApplicationJson, None)))]
    #[case("text/json", Ok((MediaType::TextJson, None)))]
    #[case("Text/XML; charset=iso-8859-1", Ok((MediaType::TextXml, Some(Charset::Latin1))))]
    #[case("application/xml;charset=utf-16", Ok((MediaType::ApplicationXml, Some(Charset::Utf16))))]
    #[case("application/x-www-form-urlencoded", Ok((MediaType::Form, None)))]
    #[case("application/json-patch+json", Ok((MediaType::JsonPatch, None)))]
    #[case("application/Merge-Patch+JSON", Ok((MediaType::MergePatch, None)))]
    #[case("application/json; charset=koi8-r", Err(UnsupportedMediaType::Charset))]
    #[case("text/plain", Err(UnsupportedMediaType::Type))]
    #[case("application/json-seq", Err(UnsupportedMediaType::Type))]
    #[case("application/soap+xml", Err(UnsupportedMediaType::Type))]
    #[case("multipart/form-data; boundary=x", Err(UnsupportedMediaType::Type))]
    #[case("json", Err(UnsupportedMediaType::Type))]
    #[case("", Err(UnsupportedMediaType::Type))]
    fn the_type_of_a_body(
        #[case] header: &str,
        #[case] expected: Result<(MediaType, Option<Charset>), UnsupportedMediaType>,
    ) {
        let expected = expected.map(|(media_type, charset)| ContentType { media_type, charset });
        assert_eq!(ContentType::parse(Some(header)), expected);
    }

    #[test]
    fn a_body_without_a_type_is_not_guessed() {
        assert_eq!(ContentType::parse(None), Err(UnsupportedMediaType::Missing));
    }
}
