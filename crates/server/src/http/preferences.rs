//! The requested form of an answer: type, properties, language, culture and time zone (CONTRACT 14–24).
//!
//! Invariant: the form of an answer is settled before the call does anything. A preference that is irrelevant to the
//! answer never fails the call.

use actix_web::{
    HttpRequest,
    http::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderMap, HeaderName},
};
use jiff::Timestamp;
use negotiate::{
    Accept, Culture, MediaType, NotAcceptable, Select, TimeZone, UnknownTimeZone, WantedTimeZone,
    join_lines, neutral_date_time, wanted_language,
};

use crate::texts::{Argument, Locale, Message};

const SO_LANGUAGE: HeaderName = HeaderName::from_static("so-language");
const SO_CULTURE: HeaderName = HeaderName::from_static("so-culture");
pub(crate) const SO_TIME_ZONE: HeaderName = HeaderName::from_static("so-timezone");

/// The form in which a request wants its answer.
#[derive(Debug)]
pub(crate) struct Preferences {
    pub(crate) media_type: MediaType,
    pub(crate) select: Select,
    /// `None` if nothing is translated.
    pub(crate) locale: Option<Locale>,
    /// Checked by `dates`, because an unknown zone is irrelevant to an answer without dates.
    pub(crate) time_zone: Result<TimeZone, UnknownTimeZone>,
    /// Whether dates have their offset from UTC.
    pub(crate) with_offset: bool,
}

impl Preferences {
    /// Reads a request's headers and query.
    ///
    /// # Errors
    /// `NotAcceptable`: no type is acceptable.
    pub(crate) fn of(request: &HttpRequest, base_zone: &TimeZone) -> Result<Self, NotAcceptable> {
        Ok(Self::in_type(media_type(request.headers())?, request, base_zone))
    }

    /// Like `of`, for an answer in this type, regardless of the accepted types.
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

    /// Returns the form of dates, for an answer that has any.
    ///
    /// # Errors
    /// `UnknownTimeZone`: the request names a zone that does not exist.
    pub(crate) fn dates(&self) -> Result<Dates<'_>, UnknownTimeZone> {
        Ok(Dates { preferences: self, time_zone: self.time_zone.as_ref().map_err(|error| *error)? })
    }

    /// Returns a message of this server, as text or as a reference.
    pub(crate) fn text(&self, text: &Message) -> String {
        match &self.locale {
            Some(locale) => text.in_words(Some(locale)),
            None => text.reference(),
        }
    }

    /// Returns a stored value, translated for people.
    pub(crate) fn value(&self, value: &str) -> String {
        self.locale.as_ref().map_or_else(|| value.to_owned(), |locale| locale.of_value(value))
    }
}

/// The form of the dates in an answer.
pub(crate) struct Dates<'a> {
    pub(crate) preferences: &'a Preferences,
    time_zone: &'a TimeZone,
}

impl Dates<'_> {
    /// Formats a moment as data, in the time zone of the answer. `microseconds` counts from 1970 UTC.
    pub(crate) fn date(&self, microseconds: i64) -> String {
        self.date_in(self.time_zone, microseconds)
    }

    /// Like `date`, but in UTC, for the dates when a record was created and updated.
    pub(crate) fn utc_date(&self, microseconds: i64) -> String {
        TimeZone::find("UTC")
            .map_or_else(|_unknown| self.date(microseconds), |utc| self.date_in(&utc, microseconds))
    }

    fn date_in(&self, zone: &TimeZone, microseconds: i64) -> String {
        // Only a row that this server did not write has a time outside the range of dates.
        let moment = Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::MAX);
        neutral_date_time(&zone.at(moment), self.preferences.with_offset)
    }

    /// Returns a moment in the time zone of the answer.
    pub(crate) fn moment(&self, moment: Timestamp) -> Argument {
        Argument::Time(self.time_zone.at(moment), self.preferences.with_offset)
    }
}

/// Negotiates the type of the answer.
pub(crate) fn media_type(headers: &HeaderMap) -> Result<MediaType, NotAcceptable> {
    if headers.contains_key(ACCEPT) {
        MediaType::of_answer(&accept(headers))
    } else {
        Ok(MediaType::ApplicationJson)
    }
}

/// Reads the accepted types.
pub(crate) fn accept(headers: &HeaderMap) -> Accept {
    Accept::of_lines(headers.get_all(ACCEPT))
}

/// Reads the language and the culture. Without a language the culture is irrelevant (CONTRACT 22). An unknown culture
/// is ignored.
pub(crate) fn locale(headers: &HeaderMap) -> Option<Locale> {
    let accept_language = text(headers, &ACCEPT_LANGUAGE);
    let so_language = text(headers, &SO_LANGUAGE);
    let wanted = wanted_language(so_language.as_deref(), accept_language.as_deref())?;
    let culture = text(headers, &SO_CULTURE).and_then(|header| Culture::wanted(&header));
    let culture = culture.unwrap_or_else(|| Culture::of_language(&wanted));
    Some(Locale { language: wanted.language, culture })
}

/// Returns a header's values, joined as RFC 9110 §5.3 allows. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    join_lines(headers.get_all(name))
}
