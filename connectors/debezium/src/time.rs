//! PostgreSQL's texts of dates and times (DateStyle ISO, TimeZone UTC, IntervalStyle postgres) as numbers. Pure.

const DAY_US: i64 = 86_400_000_000;
/// A twelfth of 365.25 days, as Debezium counts months.
const MONTH_US: i64 = 2_629_800_000_000;
/// What PostgreSQL's JDBC driver, and so Debezium, makes of infinity.
const INFINITY_US: i64 = 9_223_372_036_825_200_000;
const MINUS_INFINITY_US: i64 = -9_223_372_036_832_400_000;

/// Days since 1970-01-01 of `2026-01-05` or `0044-03-15 BC`.
pub(crate) fn date_days(text: &str) -> Option<i64> {
    let (text, before_christ) = match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let mut parts = text.split('-');
    let (year, month, day) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if before_christ { 1 - year } else { year };
    // Counted from March, so that a leap day is a year's last, in cycles of 400 years.
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_cycle = of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + day_of_year;
    Some(cycle * 146_097 + day_of_cycle - 719_468)
}

/// Microseconds since midnight of `09:30:00.25`.
pub(crate) fn time_us(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hours, minutes, seconds) = (number(parts.next()?)?, number(parts.next()?)?, parts.next()?);
    if parts.next().is_some() || minutes > 59 {
        return None;
    }
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    if fraction.len() > 6 {
        return None;
    }
    let fraction_us = number(&format!("{fraction:0<6}"))?;
    Some(((hours * 60 + minutes) * 60 + number(whole)?) * 1_000_000 + fraction_us)
}

/// Microseconds since 1970 of `2026-01-05 09:30:00.25`, without a zone.
pub(crate) fn timestamp_us(text: &str) -> Option<i64> {
    match text {
        "infinity" => return Some(INFINITY_US),
        "-infinity" => return Some(MINUS_INFINITY_US),
        _ => {}
    }
    let (text, era) = match text.strip_suffix(" BC") {
        Some(text) => (text, " BC"),
        None => (text, ""),
    };
    let (date, time) = text.split_once(' ')?;
    date_days(&[date, era].concat())?.checked_mul(DAY_US)?.checked_add(time_us(time)?)
}

/// `2026-01-05T09:30:00.25Z` of `2026-01-05 09:30:00.25+00`; whatever is not in UTC stays as it is.
pub(crate) fn instant(text: &str) -> String {
    match text.strip_suffix("+00").and_then(|text| text.split_once(' ')) {
        Some((date, time)) => format!("{date}T{time}Z"),
        None => text.to_owned(),
    }
}

/// `08:30:00.25Z` of `09:30:00.25+01`, in UTC.
pub(crate) fn zoned_time(text: &str) -> Option<String> {
    let at = text.rfind(['+', '-'])?;
    let (time, zone) = text.split_at(at);
    let mut parts = zone[1..].split(':').map(number);
    let mut next = || parts.next().unwrap_or(Some(0));
    let offset_us = ((next()? * 60 + next()?) * 60 + next()?) * 1_000_000;
    let offset_us = if zone.starts_with('-') { -offset_us } else { offset_us };
    let in_utc_us = (time_us(time)? - offset_us).rem_euclid(DAY_US);
    let (seconds, fraction_us) = (in_utc_us / 1_000_000, in_utc_us % 1_000_000);
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if fraction_us == 0 {
        return Some(clock + "Z");
    }
    let fraction = format!("{fraction_us:06}");
    Some(format!("{clock}.{}Z", fraction.trim_end_matches('0')))
}

/// Microseconds of `1 year 2 mons -3 days +04:05:06.7`.
pub(crate) fn interval_us(text: &str) -> Option<i64> {
    let mut total_us: i64 = 0;
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        let (digits, sign) = match word.strip_prefix('-') {
            Some(digits) => (digits, -1),
            None => (word.strip_prefix('+').unwrap_or(word), 1),
        };
        let part_us = if digits.contains(':') {
            time_us(digits)?
        } else {
            let unit_us = match words.next()? {
                "year" | "years" => 12 * MONTH_US,
                "mon" | "mons" => MONTH_US,
                "day" | "days" => DAY_US,
                _ => return None,
            };
            number(digits)?.checked_mul(unit_us)?
        };
        total_us = total_us.checked_add(sign * part_us)?;
    }
    Some(total_us)
}

fn number(digits: &str) -> Option<i64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days() {
        let known = [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("2026-01-05", 20_458),
            ("0001-01-01", -719_162),
            ("0001-12-31 BC", -719_163),
            ("5874897-12-31", 2_145_042_905),
        ];
        for (text, days) in known {
            assert_eq!(date_days(text), Some(days), "{text}");
        }
        for bad in ["infinity", "", "2026-13-01", "2026-01", "2026-01-05 09:30:00", "a-b-c"] {
            assert_eq!(date_days(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_are_microseconds() {
        assert_eq!(time_us("09:30:00.25"), Some(34_200_250_000));
        assert_eq!(time_us("24:00:00"), Some(DAY_US));
        assert_eq!(timestamp_us("2026-01-05 09:30:00.25"), Some(1_767_605_400_250_000));
        assert_eq!(timestamp_us("0001-12-31 23:59:59 BC"), Some(-62_135_596_801_000_000));
        assert_eq!(timestamp_us("infinity"), Some(9_223_372_036_825_200_000));
        for bad in ["", "09:30", "09:30:00.1234567", "x"] {
            assert_eq!((time_us(bad), timestamp_us(bad)), (None, None), "{bad}");
        }
    }

    #[test]
    fn zones_become_utc() {
        assert_eq!(instant("2026-01-05 09:30:00.25+00"), "2026-01-05T09:30:00.25Z");
        assert_eq!(instant("infinity"), "infinity");
        assert_eq!(zoned_time("00:30:00+01").as_deref(), Some("23:30:00Z"));
        assert_eq!(zoned_time("09:30:00.25-05:30").as_deref(), Some("15:00:00.25Z"));
        assert_eq!(zoned_time("x"), None);
    }

    #[test]
    fn intervals_are_counted_as_debezium_counts_them() {
        assert_eq!(interval_us("1 year 2 mons 3 days 04:05:06.7"), Some(37_091_106_700_000));
        assert_eq!(interval_us("-1 days +00:00:01"), Some(1_000_000 - DAY_US));
        assert_eq!(interval_us("00:00:00"), Some(0));
        for bad in ["", "1 fortnight", "P1D", "1"] {
            assert_eq!(interval_us(bad), None, "{bad}");
        }
    }
}
