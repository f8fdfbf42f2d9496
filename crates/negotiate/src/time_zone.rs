//! The time zone of the dates in an answer: `SO-TimeZone`.
//!
//! Invariant: the zones are compiled in, so they are the same on every machine. Each `TimeZone` has one name, and
//! `TimeZone::find` accepts it: the code if the zone was found by code or id, otherwise the IANA name.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use icu_time::zone::{WindowsParser, iana::IanaParserExtended};
use jiff::{Timestamp, ZonedDateTime, tz};

/// Codes, SuperOffice's ids where they are documented, and IANA names, separated by tabs.
const TABLE: &str = include_str!("../time_zones.tsv");
const INCLUDE_OFFSET: &str = "includeTZOffset";
/// The countries with all their states in the table.
const LISTED: [&str; 3] = ["AU", "CA", "US"];

/// A time zone and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeZone {
    name: String,
    zone: tz::TimeZone,
}

/// The text does not name exactly one known time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a known time zone, such as NO, US-NY or Europe/Oslo")]
pub struct UnknownTimeZone;

/// The value of a `SO-TimeZone` header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedTimeZone {
    /// The zone; `None` for that of the server.
    pub zone: Option<TimeZone>,
    /// Whether dates have their offset from UTC.
    pub with_offset: bool,
}

/// The code and the IANA name of a zone, by the code in upper case and by the id.
static CODES: LazyLock<HashMap<&'static str, (&'static str, &'static str)>> = LazyLock::new(|| {
    let mut zones = HashMap::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let mut cells = line.split('\t');
        if let (Some(code), Some(id), Some(iana)) = (cells.next(), cells.next(), cells.next()) {
            zones.insert(code, (code, iana));
            if !id.is_empty() {
                zones.insert(id, (code, iana));
            }
        }
    }
    zones
});

impl TimeZone {
    /// Finds a zone by SuperOffice's code or id, by its IANA name, or by its name on Windows. Only the name on Windows
    /// has a case. An unknown code of a part of a country has the country's zone.
    ///
    /// # Errors
    /// The zone is unknown.
    ///
    /// ```
    /// use negotiate::TimeZone;
    ///
    /// assert_eq!(TimeZone::find("us-ny")?, TimeZone::find("460")?);
    /// assert_eq!(TimeZone::find("europe/oslo")?.name(), "Europe/Oslo");
    /// assert_eq!(TimeZone::find("W. Europe Standard Time")?.name(), "Europe/Berlin");
    /// # Ok::<(), negotiate::UnknownTimeZone>(())
    /// ```
    pub fn find(text: &str) -> Result<Self, UnknownTimeZone> {
        let code = text.to_ascii_uppercase();
        let known = match CODES.get(code.as_str()) {
            Some((code, iana)) => Some((Cow::Borrowed(*code), *iana)),
            None => country(&code).map(|iana| (Cow::Owned(code), iana)),
        };
        let iana = known.as_ref().map(|(_, iana)| *iana).or_else(|| of_windows(text));
        let zone = tz::TimeZone::get(iana.unwrap_or(text)).map_err(|_unknown| UnknownTimeZone)?;
        if zone.is_unknown() {
            return Err(UnknownTimeZone);
        }
        let name = known.map(|(code, _)| code).or(zone.iana_name().map(Cow::Borrowed));
        let name = name.ok_or(UnknownTimeZone)?.into_owned();
        Ok(Self { name, zone })
    }

    /// The code, such as `NO`, or the IANA name, such as `Europe/Oslo`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A moment in local time of this zone.
    pub fn at(&self, moment: Timestamp) -> ZonedDateTime {
        moment.to_zoned_datetime(self.zone.clone())
    }
}

/// The zone of the country of a code for a part of it: `AR-NQ` is a province, and `PF2A` is one of several zones.
fn country(code: &str) -> Option<&'static str> {
    let (country, part) = code.split_at_checked(2)?;
    let is_part = match part.as_bytes() {
        [b'-', name @ ..] => {
            (1..=3).contains(&name.len()) && name.iter().all(u8::is_ascii_alphanumeric)
        }
        [b'1'..=b'9', name @ ..] => name.len() <= 1 && name.iter().all(u8::is_ascii_alphabetic),
        _ => false,
    };
    let (_, iana) = CODES.get(country).filter(|_| is_part && !LISTED.contains(&country))?;
    Some(iana)
}

/// The IANA name of a zone on Windows, such as `W. Europe Standard Time` (windowsZones in CLDR).
fn of_windows(name: &str) -> Option<&'static str> {
    let zone = WindowsParser::new().parse(name, None)?;
    let known = IanaParserExtended::new().iter().find(|known| known.time_zone == zone)?;
    Some(known.canonical)
}

impl WantedTimeZone {
    /// Reads a `SO-TimeZone` header: a zone, `includeTZOffset`, or both, separated by a comma.
    ///
    /// # Errors
    /// The header names an unknown zone, or more than one.
    ///
    /// ```
    /// let wanted = negotiate::WantedTimeZone::parse("NO, includeTZOffset")?;
    /// assert_eq!(wanted.zone.as_ref().map(|zone| zone.name()), Some("NO"));
    /// assert!(wanted.with_offset);
    /// # Ok::<(), negotiate::UnknownTimeZone>(())
    /// ```
    pub fn parse(header: &str) -> Result<Self, UnknownTimeZone> {
        let mut wanted = Self::default();
        for part in header.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            if part.eq_ignore_ascii_case(INCLUDE_OFFSET) {
                wanted.with_offset = true;
            } else if wanted.zone.is_none() {
                wanted.zone = Some(TimeZone::find(part)?);
            } else {
                return Err(UnknownTimeZone);
            }
        }
        Ok(wanted)
    }
}

/// Formats a date and time as data (ISO 8601, to the second): `2026-11-03T15:05:00`. The offset may follow; it is `Z`
/// in UTC.
pub fn neutral_date_time(time: &ZonedDateTime, with_offset: bool) -> String {
    let offset = match (with_offset, time.time_zone() == &tz::TimeZone::UTC) {
        (false, _) => String::new(),
        (true, true) => "Z".to_owned(),
        (true, false) => time.strftime("%:z").to_string(),
    };
    format!("{}{offset}", time.strftime("%Y-%m-%dT%H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn shown(header: &str, moment: &str) -> String {
        let wanted = WantedTimeZone::parse(header).expect(header);
        let zone = wanted.zone.unwrap_or_else(|| TimeZone::find("UTC").expect("UTC"));
        let time = zone.at(moment.parse().expect(moment));
        format!("{} {}", zone.name(), neutral_date_time(&time, wanted.with_offset))
    }

    /// CONTRACT 23: codes, ids, IANA names; with and without the offset; summer and winter.
    #[rstest]
    #[case("NO", "NO 2026-11-03T15:05:00")]
    #[case("no", "NO 2026-11-03T15:05:00")]
    #[case("261", "NO 2026-11-03T15:05:00")]
    #[case("Europe/Oslo", "Europe/Oslo 2026-11-03T15:05:00")]
    #[case("EUROPE/OSLO", "Europe/Oslo 2026-11-03T15:05:00")]
    #[case("NO,includeTZOffset", "NO 2026-11-03T15:05:00+01:00")]
    #[case("NO , INCLUDETZOFFSET", "NO 2026-11-03T15:05:00+01:00")]
    #[case("includeTZOffset, US-NY", "US-NY 2026-11-03T09:05:00-05:00")]
    #[case("includeTZOffset", "UTC 2026-11-03T14:05:00Z")]
    #[case("", "UTC 2026-11-03T14:05:00")]
    #[case("UTC", "UTC 2026-11-03T14:05:00")]
    #[case("1", "UTC 2026-11-03T14:05:00")]
    #[case("36", "AU-ACT 2026-11-04T01:05:00")]
    #[case("50,includeTZOffset", "BD 2026-11-03T20:05:00+06:00")]
    #[case("114", "CA-QC 2026-11-03T09:05:00")]
    #[case("140", "DK 2026-11-03T15:05:00")]
    #[case("156", "FR 2026-11-03T15:05:00")]
    #[case("425", "US-CA 2026-11-03T06:05:00")]
    #[case("433", "US-HI 2026-11-03T04:05:00")]
    #[case("460", "US-NY 2026-11-03T09:05:00")]
    #[case("AU-WA,includeTZOffset", "AU-WA 2026-11-03T22:05:00+08:00")]
    #[case("CA-NL,includeTZOffset", "CA-NL 2026-11-03T10:35:00-03:30")]
    #[case("IN,includeTZOffset", "IN 2026-11-03T19:35:00+05:30")]
    #[case("Etc/UTC,includeTZOffset", "Etc/UTC 2026-11-03T14:05:00+00:00")]
    #[case("AR-NQ", "AR-NQ 2026-11-03T11:05:00")]
    #[case("au-qld", "AU-QLD 2026-11-04T00:05:00")]
    #[case("PF2A,includeTZOffset", "PF2A 2026-11-03T04:35:00-09:30")]
    #[case("PF", "PF 2026-11-03T04:05:00")]
    #[case("RU", "RU 2026-11-03T17:05:00")]
    #[case("RU-KAM", "RU-KAM 2026-11-04T02:05:00")]
    #[case("RU-MOW", "RU-MOW 2026-11-03T17:05:00")]
    #[case("BR", "BR 2026-11-03T11:05:00")]
    #[case("BR-SP", "BR-SP 2026-11-03T11:05:00")]
    #[case("BR-AC", "BR-AC 2026-11-03T09:05:00")]
    #[case("CL", "CL 2026-11-03T11:05:00")]
    #[case("US", "US 2026-11-03T09:05:00")]
    #[case("CA", "CA 2026-11-03T09:05:00")]
    #[case("AU", "AU 2026-11-04T01:05:00")]
    #[case("W. Europe Standard Time", "Europe/Berlin 2026-11-03T15:05:00")]
    #[case("Eastern Standard Time,includeTZOffset", "America/New_York 2026-11-03T09:05:00-05:00")]
    #[case("Romance Standard Time", "Europe/Paris 2026-11-03T15:05:00")]
    #[case("India Standard Time", "Asia/Kolkata 2026-11-03T19:35:00")]
    #[case("FLE Standard Time", "Europe/Kyiv 2026-11-03T16:05:00")]
    #[case("UTC-11", "Etc/GMT+11 2026-11-03T03:05:00")]
    fn a_zone_is_found_and_used(#[case] header: &str, #[case] expected: &str) {
        assert_eq!(shown(header, "2026-11-03T14:05:00Z"), expected, "{header}");
    }

    /// CONTRACT 23: daylight saving is the zone's own.
    #[test]
    fn summer_is_not_winter() {
        assert_eq!(
            shown("NO,includeTZOffset", "2026-07-01T12:00:00Z"),
            "NO 2026-07-01T14:00:00+02:00"
        );
        assert_eq!(
            shown("US-HI,includeTZOffset", "2026-07-01T12:00:00Z"),
            "US-HI 2026-07-01T02:00:00-10:00"
        );
    }

    /// CONTRACT 23: anything else is unknown.
    #[rstest]
    #[case("XX")]
    #[case("XX-NQ")]
    #[case("US-XX")]
    #[case("AR-")]
    #[case("AR-NQXX")]
    #[case("NO0")]
    #[case("NO2AB")]
    #[case("å-1")]
    #[case("Standard Time")]
    #[case("W. Europe Standard Time/001")]
    #[case("0")]
    #[case("-1")]
    #[case("262")]
    #[case("NO, DK")]
    #[case("Europe/Nowhere")]
    #[case("Etc/Unknown")]
    #[case("../../etc/passwd")]
    #[case("Europe")]
    #[case("localtime")]
    #[case("posixrules")]
    #[case("posix/Europe/Oslo")]
    #[case("+01:00")]
    #[case("offset")]
    fn an_unknown_zone_is_refused(#[case] header: &str) {
        assert_eq!(WantedTimeZone::parse(header), Err(UnknownTimeZone), "{header}");
    }

    /// CONTRACT 23: every line of the table leads to a zone, and back to its code.
    #[test]
    fn the_table_is_sound() {
        let mut codes = 0;
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let [code, id, iana] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("three cells: {line}")
            };
            assert_eq!(TimeZone::find(code).expect(line).name(), code);
            assert!(id.is_empty() || TimeZone::find(id).expect(line).name() == code, "{line}");
            assert_eq!(
                TimeZone::find(iana).expect(line).zone,
                TimeZone::find(code).expect(line).zone
            );
            codes += 1;
        }
        assert_eq!(codes, CODES.len() - 10, "codes are unique, and ten have an id");
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "(?s).{0,60}") {
            let _ = WantedTimeZone::parse(&header);
        }
    }
}
