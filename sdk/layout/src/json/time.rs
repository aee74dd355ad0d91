//! Points in time as RFC 3339 prints them, in UTC.

use super::text::write_number;

/// Writes microseconds since 1970 as `2026-01-05T09:30:00.25Z`: up to six digits of a second, no zeros at
/// their end. Years before 0 and after 9999 are written with their sign and digits, which RFC 3339 has no
/// form for.
pub fn write_time(out: &mut Vec<u8>, at_us: i64) {
    let (days, of_day_us) = (at_us.div_euclid(86_400_000_000), at_us.rem_euclid(86_400_000_000) as u64);
    let (year, month, day) = civil(days);
    if year < 0 {
        out.push(b'-');
    }
    let year = year.unsigned_abs();
    for limit in [1_000, 100, 10] {
        if year < limit {
            out.push(b'0');
        }
    }
    write_number(out, year);
    let seconds = of_day_us / 1_000_000;
    let parts = [
        (b'-', month),
        (b'-', day),
        (b'T', seconds / 3_600),
        (b':', seconds / 60 % 60),
        (b':', seconds % 60),
    ];
    for (before, number) in parts {
        out.extend_from_slice(&[before, b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]);
    }
    write_fraction(out, of_day_us % 1_000_000);
    out.push(b'Z');
}

fn write_fraction(out: &mut Vec<u8>, fraction_us: u64) {
    if fraction_us == 0 {
        return;
    }
    out.push(b'.');
    let mut rest = fraction_us;
    let mut unit = 100_000;
    while rest > 0 {
        out.push(b'0' + (rest / unit) as u8);
        rest %= unit;
        unit /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Years are counted from March, so that a leap day is a year's last, in cycles of 400 years.
fn civil(days: i64) -> (i64, u64, u64) {
    const CYCLE_DAYS: i64 = 146_097;
    let since_march_0 = days + 719_468;
    let cycle = since_march_0.div_euclid(CYCLE_DAYS);
    let day = since_march_0.rem_euclid(CYCLE_DAYS) as u64;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let january_or_february = i64::from(month <= 2);
    (year as i64 + cycle * 400 + january_or_february, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::write_time;

    fn time(at_us: i64) -> String {
        let mut out = Vec::new();
        write_time(&mut out, at_us);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_times() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(time(1_767_605_400_250_000), "2026-01-05T09:30:00.25Z");
        assert_eq!(time(951_782_400_000_000), "2000-02-29T00:00:00Z");
        assert_eq!(time(951_868_799_000_001), "2000-02-29T23:59:59.000001Z");
        assert_eq!(time(4_107_542_400_000_000), "2100-03-01T00:00:00Z");
        assert_eq!(time(253_402_300_800_000_000), "10000-01-01T00:00:00Z");
        assert_eq!(time(-62_135_596_800_000_000), "0001-01-01T00:00:00Z");
        assert_eq!(time(i64::MIN), "-290308-12-21T19:59:05.224192Z");
        assert_eq!(time(i64::MAX), "294247-01-10T04:00:54.775807Z");
    }
}
