//! Durations and sizes as operators write them.

use std::time::Duration;

use super::Json;

/// A count of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The count.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// `10s`, `500ms`, `1h30m`, `1.5s`, `0`; `None` for anything else, a negative one included.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number_end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|letter: char| letter.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit_seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let seconds = number.parse::<f64>().ok()? * unit_seconds;
        total = total.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

/// `100MB`, `64MiB`, `4096`: kB, MB, GB and TB are powers of 1000, KiB, MiB, GiB and TiB powers of 1024.
pub fn parse_bytes(text: &str) -> Option<ByteSize> {
    let text = text.trim();
    let number_end =
        text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_end);
    let unit_bytes: u64 = match unit.trim_start() {
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
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit_bytes).map(ByteSize);
    }
    let bytes = number.parse::<f64>().ok()? * unit_bytes as f64;
    (bytes < 9e18).then_some(ByteSize(bytes as u64))
}

pub(super) fn duration(value: &Json) -> Option<Duration> {
    parse_duration(value.as_str()?)
}

pub(super) fn bytes(value: &Json) -> Option<ByteSize> {
    match value.as_str() {
        Some(text) => parse_bytes(text),
        None => value.as_u64().map(ByteSize),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        assert_eq!(parse_duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("0"), Some(Duration::ZERO));
        for bad in ["", "10", "-1s", "s", "1x", "1s2", "1..5s", "999999999999999999999h"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_tell_mb_from_mib() {
        assert_eq!(parse_bytes("100MB"), Some(ByteSize(100_000_000)));
        assert_eq!(parse_bytes("4096"), Some(ByteSize(4096)));
        assert_eq!(parse_bytes("1.5 KiB"), Some(ByteSize(1536)));
        for bad in ["", "MB", "1XB", "-1", "99999999999999999999", "20000000TiB"] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
    }
}
