//! Durations (`500ms`, `1m30s`) and sizes (`64MiB`, `100MB`, `4096`) as people write them.
//!
//! Durations are Go's: ns, us, µs, ms, s, m, h, fractions allowed, no bare number but 0. Sizes: kB, MB,
//! GB, TB are powers of 1000; KiB, MiB, GiB, TiB powers of 1024; a bare number is bytes.

use std::time::Duration;

/// Reads a duration; `None` if it is none, is negative, or is longer than 292 years.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total_ns: u128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(number_end)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        let unit_ns: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        total_ns = total_ns.checked_add(scaled(number, unit_ns)?)?;
        rest = after;
    }
    i64::try_from(total_ns).ok().and_then(|ns| u64::try_from(ns).ok()).map(Duration::from_nanos)
}

/// Reads a size in bytes; `None` if it is none or does not fit 63 bits.
pub fn bytes(text: &str) -> Option<u64> {
    let unit_start = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit_start)?;
    let unit_bytes: u128 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    i64::try_from(scaled(number, unit_bytes)?).ok().and_then(|bytes| u64::try_from(bytes).ok())
}

/// A decimal number times a unit, rounded down.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = fraction.get(..fraction.len().min(15))?;
    let part = match fraction {
        "" => 0,
        digits => {
            digits.parse::<u128>().ok()?.checked_mul(unit)?
                / 10_u128.checked_pow(digits.len().try_into().ok()?)?
        }
    };
    whole.checked_mul(unit)?.checked_add(part)
}

/// A duration that [`duration`] reads back as the same.
pub fn show_duration(value: Duration) -> String {
    let ns = value.as_nanos();
    for (unit, unit_ns) in [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
    ] {
        if ns > 0 && ns.is_multiple_of(unit_ns) {
            return format!("{}{unit}", ns / unit_ns);
        }
    }
    if ns == 0 { "0s".to_owned() } else { format!("{ns}ns") }
}

/// A size that [`bytes`] reads back as the same.
pub fn show_bytes(value: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if value > 0 && value.trailing_zeros() >= shift {
            return format!("{}{unit}", value >> shift);
        }
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1m30.5s"), Some(Duration::from_millis(90_500)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("1.5h"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("10µs"), Some(Duration::from_micros(10)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        for bad in ["", "10", "-1s", "1d", "s", ".s", "1..5s", "1s5", "99999999999h", "1 s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_tell_mb_from_mib() {
        assert_eq!(bytes("100MB"), Some(100_000_000));
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("1.5 GiB"), Some(3 << 29));
        assert_eq!(bytes("4096"), Some(4096));
        for bad in ["", "MB", "1Mb", "-1", "1e3", "99999999TiB"] {
            assert_eq!(bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for ns in [0, 1, 1_500, 90_000_000_000, 3_600_000_000_000, 123_456_789] {
            let value = Duration::from_nanos(ns);
            assert_eq!(duration(&show_duration(value)), Some(value));
        }
        for value in [0, 1, 1023, 1024, 64 << 20, 100_000_000] {
            assert_eq!(bytes(&show_bytes(value)), Some(value));
        }
    }
}
