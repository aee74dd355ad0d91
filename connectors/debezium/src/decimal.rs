//! Decimal digits as the bytes of a big integer: big-endian, two's complement, as few as it takes. Pure.

use pgcdc_sdk::layout::json::write_base64;

/// The unscaled value of a `numeric`'s text at a scale, as base64; none if it is not a number, or has digits that the
/// scale has no room for.
pub(crate) fn write_unscaled(out: &mut Vec<u8>, text: &str, scale: i32) -> Option<()> {
    let (digits, negative) = match text.strip_prefix('-') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut digits = [whole, fraction].concat().into_bytes();
    if whole.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let missing = i64::from(scale) - i64::try_from(fraction.len()).ok()?;
    if missing >= 0 {
        digits.resize(digits.len() + usize::try_from(missing).ok()?, b'0');
    } else {
        let kept = digits.len().saturating_sub(usize::try_from(-missing).ok()?);
        if digits.split_off(kept).iter().any(|digit| *digit != b'0') {
            return None;
        }
    }
    write_base64(out, &twos_complement(&digits, negative));
    Some(())
}

/// How many digits a text has behind the point.
pub(crate) fn scale(text: &str) -> i32 {
    text.split_once('.').map_or(0, |(_, fraction)| i32::try_from(fraction.len()).unwrap_or(i32::MAX))
}

fn twos_complement(digits: &[u8], negative: bool) -> Vec<u8> {
    // Little-endian while it grows, nine digits at a time.
    let mut limbs: Vec<u32> = Vec::new();
    for chunk in digits.chunks(9) {
        let factor = 10_u64.pow(u32::try_from(chunk.len()).unwrap_or_default());
        let mut carry = chunk.iter().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0'));
        for limb in &mut limbs {
            let product = u64::from(*limb) * factor + carry;
            *limb = (product & u64::from(u32::MAX)) as u32;
            carry = product >> 32;
        }
        if carry > 0 {
            limbs.push(carry as u32);
        }
    }
    let mut bytes: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
    // Room for the sign.
    bytes.push(0);
    if negative {
        let mut carry = true;
        for byte in &mut bytes {
            let (inverted, overflow) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (inverted, overflow);
        }
    }
    while let [.., below, last] = bytes.as_slice() {
        let sign = if below & 0x80 == 0 { 0 } else { 0xFF };
        if *last != sign {
            break;
        }
        bytes.pop();
    }
    bytes.reverse();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_are_those_of_two_s_complement() {
        for number in [0_i64, 1, -1, 127, 128, -128, -129, 255, 256, 32767, -32768, 123_456_789_012, i64::MIN]
        {
            let text = number.unsigned_abs().to_string();
            let bytes = twos_complement(text.as_bytes(), number < 0);
            let fill = if number < 0 { 0xFF } else { 0 };
            let mut wide = [fill; 8];
            wide[8 - bytes.len().min(8)..].copy_from_slice(&bytes[bytes.len() - bytes.len().min(8)..]);
            assert_eq!(i64::from_be_bytes(wide), number, "{bytes:?}");
        }
        assert_eq!(twos_complement(b"128", false), [0, 128]);
        assert_eq!(twos_complement(b"128", true), [128]);
        assert_eq!(twos_complement(b"0", true), [0]);
    }

    #[test]
    fn the_scale_decides_how_many_digits_count() {
        let of = |text, scale| {
            let mut out = Vec::new();
            write_unscaled(&mut out, text, scale).map(|()| String::from_utf8(out).unwrap())
        };
        // 12345 is 0x3039.
        assert_eq!(of("123.45", 2).unwrap(), "\"MDk=\"");
        assert_eq!(of("123.4500", 2).unwrap(), "\"MDk=\"");
        assert_eq!(of("1234500", -2).unwrap(), "\"MDk=\"");
        assert_eq!(of("12345", 0).unwrap(), "\"MDk=\"");
        assert_eq!(of("0.5", 1).unwrap(), "\"BQ==\"");
        for bad in ["NaN", "Infinity", "", "-", "1e5", "1.5"] {
            assert_eq!(of(bad, 0), None, "{bad}");
        }
        assert_eq!((scale("1.50"), scale("1")), (2, 0));
    }
}
