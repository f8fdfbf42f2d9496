//! The header `Retry-After` (RFC 9110 §10.2.3).
//!
//! Invariant: the result is a pause of one second to one hour, for any value of a provider.

/// The maximum pause, in seconds.
const MAX: i64 = 3600;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The pause in seconds, if the value is a number of seconds or a date. `now` is in seconds since 1970.
pub fn retry_after(value: &str, now: i64) -> Option<u32> {
    let value = value.trim();
    let wanted = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that does not fit the type is a long pause.
        value.parse().unwrap_or(MAX)
    } else {
        date(value, now)?.saturating_sub(now)
    };
    u32::try_from(wanted.clamp(1, MAX)).ok()
}

/// Reads an HTTP date (RFC 9110 §5.6.7), in seconds since 1970: in the current format, or in one of the two obsolete
/// formats, which a recipient must accept. The name of the day is ignored.
fn date(text: &str, now: i64) -> Option<i64> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    match words[..] {
        // Sun, 06 Nov 1994 08:49:37 GMT
        [_, day, month, year, time, "GMT"] => at(year, month, day, time),
        // Sunday, 06-Nov-94 08:49:37 GMT
        [_, date, time, "GMT"] => {
            let mut parts = date.split('-');
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            let year = number(year, 0..=99)?;
            let this = 1970 + now.div_euclid(31_556_952);
            let year = this - this.rem_euclid(100) + year;
            // A two-digit year that seems to be more than 50 years in the future is in the past.
            let year = if year > this.saturating_add(50) { year - 100 } else { year };
            at(&year.to_string(), month, day, time)
        }
        // Sun Nov  6 08:49:37 1994
        [_, month, day, time, year] => at(year, month, day, time),
        _ => None,
    }
}

fn at(year: &str, month: &str, day: &str, time: &str) -> Option<i64> {
    let year = number(year, 1..=9999)?;
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let day = number(day, 1..=31)?;
    let mut parts = time.split(':');
    let hour = number(parts.next()?, 0..=23)?;
    let minute = number(parts.next()?, 0..=59)?;
    let second = number(parts.next()?, 0..=60)?;
    if parts.next().is_some() {
        return None;
    }
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

fn number(text: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let is_number = text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && range.contains(number))
}

/// The days since 1970-01-01 in the Gregorian calendar. Years begin in March here, so that the leap day is the last
/// day.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT
    const NOW: i64 = 784_111_777;

    #[rstest]
    #[case("30", Some(30))]
    #[case(" 30 ", Some(30))]
    #[case("0", Some(1))]
    #[case("3600", Some(3600))]
    #[case("3601", Some(3600))]
    #[case("99999999999999999999999", Some(3600))]
    #[case("Sun, 06 Nov 1994 08:50:37 GMT", Some(60))]
    #[case("Sunday, 06-Nov-94 08:50:37 GMT", Some(60))]
    #[case("Sun Nov  6 08:50:37 1994", Some(60))]
    #[case("Sun, 06 Nov 1994 08:49:37 GMT", Some(1))]
    #[case("Thu, 01 Jan 1970 00:00:00 GMT", Some(1))]
    #[case("Fri, 31 Dec 9999 23:59:60 GMT", Some(3600))]
    #[case("Saturday, 06-Nov-99 08:50:37 GMT", Some(3600))]
    #[case("Saturday, 06-Nov-55 08:50:37 GMT", Some(1))]
    #[case("", None)]
    #[case("-1", None)]
    #[case("1.5", None)]
    #[case("soon", None)]
    #[case("Sun, 06 Nov 1994 08:50:37 CET", None)]
    #[case("Sun, 06 Nox 1994 08:50:37 GMT", None)]
    #[case("Sun, 32 Nov 1994 08:50:37 GMT", None)]
    #[case("Sun, 06 Nov 1994 24:50:37 GMT", None)]
    #[case("Sun, 06 Nov 1994 08:50:37:00 GMT", None)]
    #[case("Sun, +6 Nov 1994 08:50:37 GMT", None)]
    fn a_pause_is_a_number_or_a_date(#[case] value: &str, #[case] expected: Option<u32>) {
        assert_eq!(retry_after(value, NOW), expected);
    }

    #[rstest]
    #[case(1970, 1, 1, 0)]
    #[case(1994, 11, 6, NOW / 86_400)]
    #[case(2000, 2, 29, 11_016)]
    #[case(2000, 3, 1, 11_017)]
    #[case(2100, 3, 1, 47_541)]
    fn days_are_counted(
        #[case] year: i64,
        #[case] month: i64,
        #[case] day: i64,
        #[case] expected: i64,
    ) {
        assert_eq!(days(year, month, day), expected);
    }

    proptest! {
        #[test]
        fn no_value_panics_or_leaves_the_range(value in ".*", now: i64) {
            prop_assert!(retry_after(&value, now).is_none_or(|pause| (1..=3600).contains(&pause)));
        }

        #[test]
        fn no_date_panics_or_leaves_the_range(day in 0..40_u8, year in 0..10_000_u16, now: i64) {
            for date in [
                format!("Sun, {day:02} Feb {year} 00:00:00 GMT"),
                format!("Sunday, {day:02}-Feb-{:02} 00:00:00 GMT", year % 100),
            ] {
                prop_assert!(retry_after(&date, now).is_none_or(|pause| (1..=3600).contains(&pause)));
            }
        }
    }
}
