//! Numbers and dates as people of a culture write them, by the data of Unicode CLDR.
//!
//! Invariant: CLDR knows each `Culture` and each language of this crate, so formatting does not fail.

use std::sync::LazyLock;

use icu_calendar::Iso;
use icu_datetime::{
    DateTimeFormatter,
    fieldsets::YMDT,
    input::{Date, DateTime, Time},
    options::TimePrecision,
};
use icu_decimal::{DecimalFormatter, input::Decimal};
use icu_locale_core::{LanguageIdentifier, Locale};
use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};

use crate::{
    WantedLanguage,
    language::{MAX_TAG_BYTES, ranges},
};

/// A culture, such as `nb-NO`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Culture(Locale);

/// The text is not a BCP 47 tag, or CLDR has no data for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a known culture, such as nb-NO")]
pub struct UnknownCulture;

/// A date in the root locale, which CLDR uses for cultures that it does not know.
static OF_ROOT: LazyLock<Option<String>> =
    LazyLock::new(|| Culture(Locale::UNKNOWN).date(&sample()));

impl Culture {
    /// Reads a culture's BCP 47 tag, such as `nb-NO` or `en`, in any case. Extensions, such as the calendar, are
    /// ignored.
    ///
    /// # Errors
    /// The text is not a tag, or CLDR does not know the culture.
    ///
    /// ```
    /// use negotiate::{Culture, UnknownCulture};
    ///
    /// assert_eq!(Culture::parse("de-DE")?.number(65536), "65.536");
    /// assert_eq!(Culture::parse("en-US")?.number(65536), "65,536");
    /// assert_eq!(Culture::parse("xx-YY"), Err(UnknownCulture));
    /// # Ok::<(), UnknownCulture>(())
    /// ```
    pub fn parse(tag: &str) -> Result<Self, UnknownCulture> {
        let culture = Self::of_tag(tag).ok_or(UnknownCulture)?;
        // CLDR has no list of cultures. It formats an unknown one as its root.
        if culture.date(&sample()) == *OF_ROOT { Err(UnknownCulture) } else { Ok(culture) }
    }

    /// The best known culture in a header, which is a list such as `Accept-Language` (RFC 9110 §12.5.4). `None` if none
    /// is known.
    ///
    /// ```
    /// use negotiate::Culture;
    ///
    /// assert_eq!(Culture::wanted("en-us; en-gb"), Culture::parse("en-US").ok());
    /// assert_eq!(Culture::wanted("*"), None);
    /// ```
    pub fn wanted(header: &str) -> Option<Self> {
        ranges(header).into_iter().find_map(|tag| Self::parse(tag).ok())
    }

    /// The culture of the language that a client wants: the tag that it sent, or else the usual one of the language.
    ///
    /// ```
    /// use negotiate::{Culture, wanted_language};
    ///
    /// let wanted = wanted_language(None, Some("da-DK")).expect("Danish");
    /// assert_eq!(Culture::of_language(&wanted).number(65536), "65.536");
    /// ```
    pub fn of_language(wanted: &WantedLanguage) -> Self {
        let culture = Self::of_tag(&wanted.tag).or_else(|| Self::of_tag(wanted.language.iso()));
        culture.unwrap_or(Self(Locale::UNKNOWN))
    }

    fn of_tag(tag: &str) -> Option<Self> {
        if tag.len() > MAX_TAG_BYTES {
            return None;
        }
        LanguageIdentifier::try_from_locale_bytes(tag.as_bytes()).ok().map(Locale::from).map(Self)
    }

    /// Formats a whole number with the culture's digits and grouping.
    pub fn number(&self, number: u64) -> String {
        let formatter = DecimalFormatter::try_new((&self.0).into(), Default::default());
        match formatter {
            Ok(formatter) => formatter.format(&Decimal::from(number)).to_string(),
            Err(_) => number.to_string(),
        }
    }

    /// Formats a date and time to the minute, in its own zone, such as `3. november 2026 kl. 14:05`. The offset from UTC
    /// may follow.
    pub fn date_time(&self, time: &ZonedDateTime, with_offset: bool) -> String {
        match self.date(time) {
            Some(text) if with_offset => format!("{text} (UTC{})", time.strftime("%:z")),
            Some(text) => text,
            None => time.to_string(),
        }
    }

    fn date(&self, time: &ZonedDateTime) -> Option<String> {
        let fields = YMDT::long().with_time_precision(TimePrecision::Minute);
        let formatter = DateTimeFormatter::try_new((&self.0).into(), fields).ok()?;
        Some(formatter.format(&input(time)?).to_string())
    }
}

fn sample() -> ZonedDateTime {
    Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC)
}

/// Converts a moment for the formatter.
fn input(time: &ZonedDateTime) -> Option<DateTime<Iso>> {
    let unsigned = |part: i8| u8::try_from(part).ok();
    let date =
        Date::try_new_iso(time.year().into(), unsigned(time.month())?, unsigned(time.day())?)
            .ok()?;
    let time = Time::try_new(unsigned(time.hour())?, unsigned(time.minute())?, 0, 0).ok()?;
    Some(DateTime { date, time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    /// CONTRACT 22: numbers and dates by culture.
    #[rstest]
    #[case("en-US", "65,536", "November 3, 2026 at 2:05\u{202f}PM")]
    #[case("en-GB", "65,536", "3 November 2026 at 14:05")]
    #[case("nb-NO", "65\u{a0}536", "3. november 2026 kl. 14:05")]
    #[case("nn", "65\u{a0}536", "3. november 2026 kl. 14:05")]
    #[case("no", "65\u{a0}536", "3. november 2026 kl. 14:05")]
    #[case("sv", "65\u{a0}536", "3 november 2026 kl. 14:05")]
    #[case("da-DK", "65.536", "3. november 2026 kl. 14.05")]
    #[case("DE-de", "65.536", "3. November 2026 um 14:05")]
    #[case("nl", "65.536", "3 november 2026 om 14:05")]
    #[case("fr", "65\u{202f}536", "3 novembre 2026 à 14:05")]
    #[case("fi", "65\u{a0}536", "3. marraskuuta 2026 klo 14.05")]
    fn each_culture_has_its_way(#[case] tag: &str, #[case] number: &str, #[case] date: &str) {
        let culture = Culture::parse(tag).expect(tag);
        assert_eq!(culture.number(65536), number);
        let time: Timestamp = "2026-11-03T14:05:59Z".parse().expect("time");
        let time = time.to_zoned_datetime(TimeZone::UTC);
        assert_eq!(culture.date_time(&time, false), date);
        assert_eq!(culture.date_time(&time, true), format!("{date} (UTC+00:00)"));
    }

    /// CONTRACT 22: rejects texts that are not a known culture.
    #[rstest]
    #[case("")]
    #[case("norwegian bokmål")]
    #[case("nb_NO")]
    #[case("*")]
    #[case("-")]
    #[case("1")]
    #[case(&"en-99999".repeat(20))]
    #[case("xx-YY")]
    #[case("xx-u-nu-thai")]
    #[case("und")]
    fn an_unknown_culture_is_none(#[case] tag: &str) {
        assert_eq!(Culture::parse(tag), Err(UnknownCulture), "{tag}");
        assert_eq!(Culture::wanted(tag), None, "{tag}");
    }

    /// CONTRACT 22: a header is read as one of languages is.
    #[rstest]
    #[case("da-DK", Some("da-DK"))]
    #[case("en-us; en-gb", Some("en-US"))]
    #[case("*, de", Some("de"))]
    #[case("xx-YY, nb_NO, fr;q=0.5", Some("fr"))]
    #[case("en;q=0.1, sv", Some("sv"))]
    #[case(" , ;", None)]
    #[case("en;q=0", None)]
    fn the_best_known_culture_is_wanted(#[case] header: &str, #[case] expected: Option<&str>) {
        let expected = expected.map(|tag| Culture::parse(tag).expect(tag));
        assert_eq!(Culture::wanted(header), expected, "{header}");
    }

    #[test]
    fn extensions_are_ignored() {
        assert_eq!(Culture::parse("de-u-nu-thai-ca-buddhist"), Culture::parse("de"));
    }

    #[test]
    fn the_first_and_the_last_moment_are_written() {
        let culture = Culture::parse("en").expect("en");
        for time in [Timestamp::MIN, Timestamp::MAX] {
            assert!(!culture.date_time(&time.to_zoned_datetime(TimeZone::UTC), true).is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_tag_panics(tag in "[a-zA-Z0-9-]{0,30}|(?s).{0,10}") {
            if let Ok(culture) = Culture::parse(&tag) {
                let _ = culture.number(u64::MAX);
            }
        }
    }
}
