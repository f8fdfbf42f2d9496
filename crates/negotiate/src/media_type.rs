//! The media types of request bodies (CONTRACT 13).
//!
//! Invariant: a body is read only as the type and charset that its header names; nothing is guessed.

use mediatype::{MediaType as Parsed, Name, ReadParams as _};

/// A media type that a request body may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`
    ApplicationJson,
    /// `text/json`
    TextJson,
}

/// There is no `Content-Type`, or none that is served here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedMediaType {
    /// The header is missing.
    #[error("the request has a body but no Content-Type")]
    Missing,
    /// The header names another type, or is none.
    #[error("the Content-Type is not one that this call reads")]
    Type,
    /// The type is right, its charset is not.
    #[error("the charset of the Content-Type is not utf-8")]
    Charset,
}

impl MediaType {
    /// All of them, in the order of preference.
    pub const ALL: [Self; 2] = [Self::ApplicationJson, Self::TextJson];

    /// The type and subtype, without parameters.
    pub fn essence(self) -> &'static str {
        match self {
            Self::ApplicationJson => "application/json",
            Self::TextJson => "text/json",
        }
    }

    /// The type of a request body, by the value of its `Content-Type`: compared in any case, other
    /// parameters than `charset` ignored.
    ///
    /// ```
    /// use negotiate::{MediaType, UnsupportedMediaType};
    ///
    /// let json = MediaType::of_body(Some("Application/JSON; charset=UTF-8"));
    /// assert_eq!(json, Ok(MediaType::ApplicationJson));
    /// assert_eq!(MediaType::of_body(Some("image/png")), Err(UnsupportedMediaType::Type));
    /// ```
    pub fn of_body(content_type: Option<&str>) -> Result<Self, UnsupportedMediaType> {
        let header = content_type.ok_or(UnsupportedMediaType::Missing)?;
        let parsed = Parsed::parse(header).map_err(|_malformed| UnsupportedMediaType::Type)?;
        let found = Self::ALL
            .into_iter()
            .find(|known| parsed.essence().to_string().eq_ignore_ascii_case(known.essence()))
            .ok_or(UnsupportedMediaType::Type)?;
        match parsed.get_param(Name::new_unchecked("charset")) {
            Some(charset) if !charset.unquoted_str().eq_ignore_ascii_case("utf-8") => {
                Err(UnsupportedMediaType::Charset)
            }
            _ => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    /// CONTRACT 13: charset honoured, another type or none refused.
    #[rstest]
    #[case(Some("application/json"), Ok(MediaType::ApplicationJson))]
    #[case(Some("application/json; charset=utf-8"), Ok(MediaType::ApplicationJson))]
    #[case(Some("APPLICATION/JSON;CHARSET=\"UTF-8\""), Ok(MediaType::ApplicationJson))]
    #[case(Some("application/json; odata=verbose"), Ok(MediaType::ApplicationJson))]
    #[case(Some("text/json"), Ok(MediaType::TextJson))]
    #[case(Some("application/json; charset=koi8-r"), Err(UnsupportedMediaType::Charset))]
    #[case(Some("text/plain"), Err(UnsupportedMediaType::Type))]
    #[case(Some("application/json-seq"), Err(UnsupportedMediaType::Type))]
    #[case(Some("json"), Err(UnsupportedMediaType::Type))]
    #[case(Some(""), Err(UnsupportedMediaType::Type))]
    #[case(None, Err(UnsupportedMediaType::Missing))]
    fn the_type_of_a_body(
        #[case] header: Option<&str>,
        #[case] expected: Result<MediaType, UnsupportedMediaType>,
    ) {
        assert_eq!(MediaType::of_body(header), expected);
    }
}
