//! The time zone of an answer's dates: `SO-TimeZone` (CONTRACT 23).
//!
//! Invariant: zones are those that are compiled in, the same on every machine. A zone is known by one name, which finds it again: the code if it was asked for by code
//! or id, the IANA name otherwise.

use std::{collections::HashMap, sync::LazyLock};

use jiff::{Timestamp, ZonedDateTime, tz};

/// Codes, SuperOffice's ids where they are documented, and IANA names, separated by tabs.
const TABLE: &str = include_str!("../time_zones.tsv");
const INCLUDE_OFFSET: &str = "includeTZOffset";

/// A time zone and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeZone {
    name: String,
    zone: tz::TimeZone,
}

/// The text names no time zone, or more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a known time zone, such as NO, US-NY or Europe/Oslo")]
pub struct UnknownTimeZone;

/// What a `SO-TimeZone` header asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedTimeZone {
    /// The zone, unless that of the server will do.
    pub zone: Option<TimeZone>,
    /// Whether dates are to have their offset from UTC.
    pub with_offset: bool,
}

/// Code and IANA name, by upper-case code and by id.
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
    /// Finds a zone by SuperOffice's code or id, or by IANA name, in any case.
    ///
    /// ```
    /// use negotiate::TimeZone;
    ///
    /// assert_eq!(TimeZone::find("us-ny")?, TimeZone::find("460")?);
    /// assert_eq!(TimeZone::find("europe/oslo")?.name(), "Europe/Oslo");
    /// # Ok::<(), negotiate::UnknownTimeZone>(())
    /// ```
    pub fn find(text: &str) -> Result<Self, UnknownTimeZone> {
        let known = CODES.get(text.to_ascii_uppercase().as_str());
        let iana = known.map_or(text, |(_, iana)| iana);
        let zone = tz::TimeZone::get(iana).map_err(|_unknown| UnknownTimeZone)?;
        if zone.is_unknown() {
            return Err(UnknownTimeZone);
        }
        let name = known.map(|(code, _)| *code).or(zone.iana_name()).ok_or(UnknownTimeZone)?;
        Ok(Self { name: name.to_owned(), zone })
    }

    /// The code, such as `NO`, or the IANA name, such as `Europe/Oslo`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A moment as the clocks of this zone show it.
    pub fn at(&self, moment: Timestamp) -> ZonedDateTime {
        moment.to_zoned_datetime(self.zone.clone())
    }
}

impl WantedTimeZone {
    /// Reads a `SO-TimeZone` header: a zone, `includeTZOffset`, or both with a comma between.
    ///
    /// # Errors
    /// It names an unknown zone, or more than one.
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

/// A date and time as data has it (ISO 8601, to the second): `2026-11-03T15:05:00`, with the offset
/// behind it if asked for, `Z` in UTC.
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

    /// CONTRACT 23: anything else is unknown; so is a country that has several zones.
    #[rstest]
    #[case("XX")]
    #[case("US")]
    #[case("CA")]
    #[case("AU")]
    #[case("BR")]
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
