//! How an answer is to be written: type, properties, language, culture and time zone (CONTRACT 14–24).
//!
//! Invariant: the form of an answer is settled before the call does anything. A preference that does not matter to
//! the answer never fails the call.

use actix_web::{
    HttpRequest,
    http::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderMap, HeaderName},
};
use jiff::Timestamp;
use negotiate::{
    Accept, Culture, MediaType, NotAcceptable, Select, TimeZone, UnknownTimeZone, WantedTimeZone,
    neutral_date_time, wanted_language,
};

use crate::texts::{Argument, Locale, Message};

const SO_LANGUAGE: HeaderName = HeaderName::from_static("so-language");
const SO_CULTURE: HeaderName = HeaderName::from_static("so-culture");
pub(crate) const SO_TIME_ZONE: HeaderName = HeaderName::from_static("so-timezone");

/// How a request wants its answer.
#[derive(Debug)]
pub(crate) struct Preferences {
    pub(crate) media_type: MediaType,
    pub(crate) select: Select,
    /// `None` if nothing is to be translated.
    pub(crate) locale: Option<Locale>,
    /// Checked by `dates`: an unknown zone does not matter to an answer without dates.
    pub(crate) time_zone: Result<TimeZone, UnknownTimeZone>,
    /// Whether dates are to have their offset from UTC.
    pub(crate) with_offset: bool,
}

impl Preferences {
    /// Reads a request's headers and query.
    ///
    /// # Errors
    /// No type is acceptable.
    pub(crate) fn of(request: &HttpRequest, base_zone: &TimeZone) -> Result<Self, NotAcceptable> {
        Ok(Self::in_type(media_type(request.headers())?, request, base_zone))
    }

    /// As `of`, for an answer in this type whatever the request accepts.
    pub(crate) fn in_type(
        media_type: MediaType,
        request: &HttpRequest,
        base_zone: &TimeZone,
    ) -> Self {
        let headers = request.headers();
        let zone = WantedTimeZone::parse(&text(headers, &SO_TIME_ZONE).unwrap_or_default());
        Self {
            media_type,
            select: Select::of_query(request.query_string()),
            locale: locale(headers),
            with_offset: zone.as_ref().is_ok_and(|zone| zone.with_offset),
            time_zone: zone.map(|zone| zone.zone.unwrap_or_else(|| base_zone.clone())),
        }
    }

    /// How dates are to be written, for an answer that has any.
    ///
    /// # Errors
    /// The request names a zone that does not exist.
    pub(crate) fn dates(&self) -> Result<Dates<'_>, UnknownTimeZone> {
        Ok(Dates { preferences: self, time_zone: self.time_zone.as_ref().map_err(|error| *error)? })
    }

    /// A message of this server, in words or as a reference.
    pub(crate) fn text(&self, text: &Message) -> String {
        match &self.locale {
            Some(locale) => text.in_words(Some(locale)),
            None => text.reference(),
        }
    }

    /// A stored value, translated for people.
    pub(crate) fn value(&self, value: &str) -> String {
        self.locale.as_ref().map_or_else(|| value.to_owned(), |locale| locale.of_value(value))
    }
}

/// How the dates of an answer are to be written.
pub(crate) struct Dates<'a> {
    pub(crate) preferences: &'a Preferences,
    time_zone: &'a TimeZone,
}

impl Dates<'_> {
    /// A moment as data, in the time zone of the answer; in microseconds since 1970 UTC.
    pub(crate) fn date(&self, microseconds: i64) -> String {
        self.date_in(self.time_zone, microseconds)
    }

    /// Like `date`, but in UTC, as for the dates when a record was created and updated.
    pub(crate) fn utc_date(&self, microseconds: i64) -> String {
        TimeZone::find("UTC")
            .map_or_else(|_unknown| self.date(microseconds), |utc| self.date_in(&utc, microseconds))
    }

    fn date_in(&self, zone: &TimeZone, microseconds: i64) -> String {
        // Only a row that this server did not write has a time that is no date.
        let moment = Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::MAX);
        neutral_date_time(&zone.at(moment), self.preferences.with_offset)
    }

    /// A moment, in the time zone of the answer.
    pub(crate) fn moment(&self, moment: Timestamp) -> Argument {
        Argument::Time(self.time_zone.at(moment), self.preferences.with_offset)
    }
}

/// The type of the answer.
pub(crate) fn media_type(headers: &HeaderMap) -> Result<MediaType, NotAcceptable> {
    if headers.contains_key(ACCEPT) {
        MediaType::of_answer(&accept(headers))
    } else {
        Ok(MediaType::ApplicationJson)
    }
}

/// What types are accepted.
pub(crate) fn accept(headers: &HeaderMap) -> Accept {
    text(headers, &ACCEPT).map_or_else(Accept::anything, |header| Accept::parse(&header))
}

/// The language and the culture. Without a language the culture does not matter (CONTRACT 22). An unknown culture is
/// ignored.
pub(crate) fn locale(headers: &HeaderMap) -> Option<Locale> {
    let accept_language = text(headers, &ACCEPT_LANGUAGE);
    let so_language = text(headers, &SO_LANGUAGE);
    let wanted = wanted_language(so_language.as_deref(), accept_language.as_deref())?;
    let culture = text(headers, &SO_CULTURE).and_then(|header| Culture::wanted(&header));
    let culture = culture.unwrap_or_else(|| Culture::of_language(&wanted));
    Some(Locale { language: wanted.language, culture })
}

/// A header's values, joined as RFC 9110 §5.3 allows. Bytes that are not UTF-8 read as U+FFFD.
pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values = headers.get_all(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    values.map(|value| value.trim().to_owned()).reduce(|all, value| format!("{all}, {value}"))
}
