//! How an answer is to be written: type, properties, language, culture and time zone (CONTRACT 14–24).
//!
//! Invariant: what an answer is written in is settled before the call does anything.

use actix_web::{
    HttpRequest,
    http::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderMap, HeaderName},
};
use jiff::Timestamp;
use negotiate::{
    Accept, Culture, MediaType, NotAcceptable, Select, TimeZone, UnknownCulture, WantedTimeZone,
    neutral_date_time, wanted_language,
};

use crate::{
    problem::Problem,
    texts::{Argument, Text, Wording},
};

const SO_LANGUAGE: HeaderName = HeaderName::from_static("so-language");
const SO_CULTURE: HeaderName = HeaderName::from_static("so-culture");
pub(crate) const SO_TIME_ZONE: HeaderName = HeaderName::from_static("so-timezone");

/// What a request asks of its answer.
#[derive(Debug)]
pub(crate) struct Preferences {
    pub(crate) media_type: MediaType,
    pub(crate) select: Select,
    /// `None` if nothing is to be translated.
    pub(crate) wording: Option<Wording>,
    pub(crate) time_zone: TimeZone,
    /// Whether dates are to have their offset from UTC.
    pub(crate) with_offset: bool,
}

impl Preferences {
    /// Reads a request's headers and query.
    ///
    /// # Errors
    /// 406 if no type is acceptable, 400 for an unknown culture or time zone.
    pub(crate) fn of(request: &HttpRequest, base_zone: &TimeZone) -> Result<Self, Problem> {
        let headers = request.headers();
        let media_type = media_type(headers)?;
        let wording = wording(headers)?;
        let zone = WantedTimeZone::parse(&text(headers, &SO_TIME_ZONE).unwrap_or_default())?;
        Ok(Self {
            media_type,
            select: Select::of_query(request.query_string()),
            wording,
            time_zone: zone.zone.unwrap_or_else(|| base_zone.clone()),
            with_offset: zone.with_offset,
        })
    }

    /// A text of this server's own: in words, or as a reference.
    pub(crate) fn text(&self, text: &Text) -> String {
        match &self.wording {
            Some(wording) => text.in_words(Some(wording)),
            None => text.reference(),
        }
    }

    /// A value for people that is stored.
    pub(crate) fn value(&self, value: &str) -> String {
        self.wording.as_ref().map_or_else(|| value.to_owned(), |wording| wording.of_value(value))
    }

    /// A moment as data, in the time zone of the answer; in microseconds since 1970 UTC.
    pub(crate) fn date(&self, microseconds: i64) -> String {
        self.date_in(&self.time_zone, microseconds)
    }

    /// As `date`, in UTC, as the dates stand that a record was created and updated.
    pub(crate) fn utc_date(&self, microseconds: i64) -> String {
        TimeZone::find("UTC")
            .map_or_else(|_unknown| self.date(microseconds), |utc| self.date_in(&utc, microseconds))
    }

    fn date_in(&self, zone: &TimeZone, microseconds: i64) -> String {
        // A time that is no date is that of a row which nobody of us wrote.
        let moment = Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::MAX);
        neutral_date_time(&zone.at(moment), self.with_offset)
    }

    /// A moment, in the time zone of the answer.
    pub(crate) fn moment(&self, moment: Timestamp) -> Argument {
        Argument::Time(self.time_zone.at(moment), self.with_offset)
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

/// The language and the culture; without a language the culture does not matter (CONTRACT 22).
///
/// # Errors
/// The culture is none. One that has no data here is as good as none asked for.
fn wording(headers: &HeaderMap) -> Result<Option<Wording>, Problem> {
    let Some(wording) = wording_of_language(headers) else { return Ok(None) };
    let asked = text(headers, &SO_CULTURE).filter(|culture| !culture.is_empty());
    match asked.map(|culture| Culture::parse(&culture)) {
        None | Some(Err(UnknownCulture::NoData)) => Ok(Some(wording)),
        Some(Ok(culture)) => Ok(Some(Wording { culture, ..wording })),
        Some(Err(UnknownCulture::Malformed)) => Err(Problem::invalid(Text::new("SR_CULTURE"))),
    }
}

/// As `wording`, for what must be told even if the culture is what is wrong.
pub(crate) fn wording_or_default(headers: &HeaderMap) -> Option<Wording> {
    wording(headers).unwrap_or_else(|_no_culture| wording_of_language(headers))
}

fn wording_of_language(headers: &HeaderMap) -> Option<Wording> {
    let accept_language = text(headers, &ACCEPT_LANGUAGE);
    let so_language = text(headers, &SO_LANGUAGE);
    let wanted = wanted_language(so_language.as_deref(), accept_language.as_deref())?;
    Some(Wording { language: wanted.language, culture: Culture::of_language(&wanted) })
}

/// A header's values, joined as RFC 9110 §5.3 allows. What is no text in them reads as U+FFFD.
pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values = headers.get_all(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    values.map(|value| value.trim().to_owned()).reduce(|all, value| format!("{all}, {value}"))
}
