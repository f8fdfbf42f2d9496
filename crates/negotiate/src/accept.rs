//! `Accept` (RFC 9110 §12.5.1).
//!
//! Invariant: reading a header never fails and takes time linear in its length. Invalid parts are ignored. A header
//! without a valid part accepts anything, as if it were missing.

use mediatype::{MediaType, MediaTypeList, Name, ReadParams as _};

use crate::join_lines;

const ANY: &str = "*";

/// The media types that a client accepts.
#[derive(Clone, Debug)]
pub struct Accept(Vec<Range>);

#[derive(Clone, Debug)]
struct Range {
    main: String,
    sub: String,
    /// Thousandths.
    quality: u16,
}

impl Accept {
    /// Everything equally, as without a header.
    pub fn anything() -> Self {
        Self(vec![Range { main: ANY.to_owned(), sub: ANY.to_owned(), quality: 1000 }])
    }

    /// Reads the lines of the header, of which there may be none or several (RFC 9110 §5.3).
    ///
    /// The values of the `http` crate and of actix-web can be passed as they are.
    ///
    /// ```
    /// use negotiate::{Accept, MediaType};
    ///
    /// let accept = Accept::of_lines(["text/html", "text/json;q=0.9, application/json;q=0.8"]);
    /// assert_eq!(MediaType::of_answer(&accept), Ok(MediaType::TextJson));
    /// let accept = Accept::of_lines::<&str>([]);
    /// assert_eq!(MediaType::of_answer(&accept), Ok(MediaType::ApplicationJson));
    /// ```
    pub fn of_lines<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Self {
        join_lines(lines).map_or_else(Self::anything, |header| Self::parse(&header))
    }

    /// Reads the header. Its lines are already joined by commas; see [`Accept::of_lines`].
    pub fn parse(header: &str) -> Self {
        let ranges: Vec<Range> =
            MediaTypeList::new(header).filter_map(|range| Range::new(&range.ok()?)).collect();
        if ranges.is_empty() { Self::anything() } else { Self(ranges) }
    }

    /// The quality value of a type, in thousandths; 0 if it is not acceptable.
    ///
    /// The most specific range decides, and of equally specific ranges the one with the highest quality. Parameters are
    /// ignored.
    ///
    /// ```
    /// let accept = negotiate::Accept::parse("text/*;q=0.3, text/html;q=0.25, */*;q=0.1");
    /// assert_eq!(accept.quality("text/plain"), 300);
    /// assert_eq!(accept.quality("text/html"), 250);
    /// assert_eq!(accept.quality("image/png"), 100);
    /// ```
    pub fn quality(&self, essence: &str) -> u16 {
        let matching = self.0.iter().filter_map(|range| {
            let specificity = range.specificity(essence)?;
            Some((specificity, range.quality))
        });
        matching.max().map_or(0, |(_, quality)| quality)
    }

    /// The offered type with the highest quality value. Of equal ones the first.
    pub fn prefer<'a, T: Copy>(
        &self,
        offered: impl IntoIterator<Item = T>,
        essence: impl Fn(T) -> &'a str,
    ) -> Option<T> {
        let mut best = None;
        let mut best_quality = 0;
        for candidate in offered {
            let quality = self.quality(essence(candidate));
            if quality > best_quality {
                (best, best_quality) = (Some(candidate), quality);
            }
        }
        best
    }
}

impl Range {
    fn new(parsed: &MediaType<'_>) -> Option<Self> {
        let quality = match parsed.get_param(Name::new_unchecked("q")) {
            Some(value) => thousandths(value.as_str())?,
            None => 1000,
        };
        let essence = parsed.essence().to_string();
        let (main, sub) = essence.split_once('/')?;
        let is_range = main != ANY || sub == ANY;
        is_range.then(|| Self { main: main.to_owned(), sub: sub.to_owned(), quality })
    }

    /// How specific the range is; `None` if it does not match.
    fn specificity(&self, essence: &str) -> Option<u8> {
        let (main, sub) = essence.split_once('/')?;
        if self.main == ANY {
            Some(0)
        } else if !self.main.eq_ignore_ascii_case(main) {
            None
        } else if self.sub == ANY {
            Some(1)
        } else {
            self.sub.eq_ignore_ascii_case(sub).then_some(2)
        }
    }
}

/// A quality value (RFC 9110 §12.4.2) in thousandths. Digits after the third are ignored. The zero before the point may
/// be missing, because Java leaves it out.
pub(crate) fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    if !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let digits = decimals.bytes().chain(std::iter::repeat(b'0')).take(3);
    let part = digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        "0" => Some(part),
        "" if !decimals.is_empty() => Some(part),
        "1" if decimals.bytes().all(|digit| digit == b'0') => Some(1000),
        _ => None,
    }
}

#[cfg(all(test, feature = "xml"))]
mod tests {
    use super::*;
    use crate::MediaType::{
        self, ApplicationJson, ApplicationXml, JsonPatch, MergePatch, TextJson, TextXml,
    };
    use proptest::prelude::*;
    use rstest::rstest;

    /// CONTRACT 14: RFC 9110's rules, and what stands beside them.
    #[rstest]
    // Nothing that can be read: JSON.
    #[case("", Some(ApplicationJson))]
    #[case(" ", Some(ApplicationJson))]
    #[case(",", Some(ApplicationJson))]
    #[case("json", Some(ApplicationJson))]
    #[case("application", Some(ApplicationJson))]
    #[case("/", Some(ApplicationJson))]
    #[case("*", Some(ApplicationJson))]
    #[case("*/json", Some(ApplicationJson))]
    #[case("application/xml;q=2", Some(ApplicationJson))]
    #[case("application/xml;q=-1", Some(ApplicationJson))]
    #[case("application/xml;q=", Some(ApplicationJson))]
    // Exact types, in any case.
    #[case("application/json", Some(ApplicationJson))]
    #[case("text/json", Some(TextJson))]
    #[case("application/xml", Some(ApplicationXml))]
    #[case("text/xml", Some(TextXml))]
    #[case("application/json-patch+json", Some(JsonPatch))]
    #[case("application/merge-patch+json", Some(MergePatch))]
    #[case("APPLICATION/XML", Some(ApplicationXml))]
    #[case("Text/Xml", Some(TextXml))]
    // Not answered.
    #[case("application/x-www-form-urlencoded", None)]
    #[case("text/html", None)]
    #[case("text/plain", None)]
    #[case("image/*", None)]
    #[case("application/json-seq", None)]
    #[case("application/problem+json", None)]
    #[case("application/jsonx", None)]
    #[case("xapplication/json", None)]
    // Wildcards.
    #[case("*/*", Some(ApplicationJson))]
    #[case("application/*", Some(ApplicationJson))]
    #[case("text/*", Some(TextJson))]
    #[case("text/html, */*", Some(ApplicationJson))]
    #[case("text/html, text/*;q=0.1", Some(TextJson))]
    #[case("image/png, text/xml", Some(TextXml))]
    // Quality values.
    #[case("application/json;q=0.4, text/xml;q=0.5", Some(TextXml))]
    #[case("application/json;q=0.5, text/xml;q=0.5", Some(ApplicationJson))]
    #[case("text/xml, application/json", Some(ApplicationJson))]
    #[case("text/xml, application/json;q=0.999", Some(TextXml))]
    #[case("text/xml;q=0.001", Some(TextXml))]
    #[case("text/xml;q=0.001, text/json;q=0.002", Some(TextJson))]
    #[case("text/xml;q=0.0019, text/json;q=0.0011", Some(TextJson))]
    #[case("text/xml;q=1.000, application/json;q=0.9", Some(TextXml))]
    #[case("text/xml;q=1., application/json;q=0.9", Some(TextXml))]
    #[case("text/xml;q=1.001, application/json;q=0.1", Some(ApplicationJson))]
    #[case("text/xml;Q=0.2, application/json;Q=0.1", Some(TextXml))]
    #[case("text/xml ; q=0.2 , application/json ; q=0.1", Some(TextXml))]
    // q=0 excludes.
    #[case("*/*;q=0", None)]
    #[case("*/*;q=0.0", None)]
    #[case("*/*;q=0.000", None)]
    #[case("application/json;q=0", None)]
    #[case("application/json;q=0, */*", Some(TextJson))]
    #[case("*/*, application/json;q=0, text/json;q=0", Some(ApplicationXml))]
    #[case("application/*;q=0, */*;q=0.1", Some(TextJson))]
    #[case("text/*;q=0, text/xml", Some(TextXml))]
    #[case("*/*;q=0, application/merge-patch+json;q=0.1", Some(MergePatch))]
    // The most specific range decides, wherever it stands.
    #[case("application/json;q=0.1, application/*;q=0.9", Some(ApplicationXml))]
    #[case("application/*;q=0.9, application/json;q=0.1", Some(ApplicationXml))]
    #[case("*/*;q=0.9, application/*;q=0.5", Some(TextJson))]
    #[case("text/*, application/json;q=0.5", Some(TextJson))]
    // Parameters are ignored for matching.
    #[case("application/json; charset=utf-8", Some(ApplicationJson))]
    #[case("text/xml; charset=utf-16", Some(TextXml))]
    #[case("text/xml;version=1;q=0.5, text/json;q=0.4", Some(TextXml))]
    #[case("text/xml;level=1;q=0.1, text/xml;q=0.6, text/json;q=0.5", Some(TextXml))]
    #[case("application/xml;x=\"a,b;q=0\", text/html", Some(ApplicationXml))]
    #[case("application/json;odata=verbose", Some(ApplicationJson))]
    // Odd ones among good ones.
    #[case("garbage, text/xml", Some(TextXml))]
    #[case("text/xml,,", Some(TextXml))]
    #[case("text/xml;q=abc, text/json;q=0.1", Some(TextJson))]
    #[case("\u{fffd}, text/xml", Some(TextXml))]
    // The headers of browsers, curl, axios and .NET.
    #[case("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some(ApplicationXml))]
    #[case("application/json, text/plain, */*", Some(ApplicationJson))]
    #[case(
        "application/json, text/json, text/x-json, text/javascript, application/xml, text/xml",
        Some(ApplicationJson)
    )]
    #[case("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", Some(ApplicationJson))]
    fn the_type_of_an_answer(#[case] header: &str, #[case] expected: Option<MediaType>) {
        assert_eq!(MediaType::of_answer(&Accept::parse(header)).ok(), expected, "{header}");
    }

    #[test]
    fn no_header_is_json() {
        assert_eq!(MediaType::of_answer(&Accept::anything()), Ok(ApplicationJson));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "(?s).{0,200}") {
            let _ = MediaType::of_answer(&Accept::parse(&header));
        }
    }
}
