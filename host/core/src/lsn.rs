//! A place in PostgreSQL's write-ahead log.
//!
//! The printed form is the server's: two hexadecimal halves, `16/B374D848`.

use std::fmt;
use std::str::FromStr;

/// A byte position in the write-ahead log; 0 is no position at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The absent position.
    pub const ZERO: Lsn = Lsn(0);

    /// Whether this is a position.
    #[must_use]
    pub fn is_some(self) -> bool {
        self.0 != 0
    }

    /// The eight bytes that compare as the position does.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The position that [`Lsn::to_bytes`] wrote; `None` if these are not eight bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Lsn> {
        bytes.try_into().ok().map(|b| Lsn(u64::from_be_bytes(b)))
    }

    /// How many bytes of log lie between an earlier position and this one; 0 if it is not earlier.
    #[must_use]
    pub fn bytes_since(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// The text was not an LSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an LSN: expected two hexadecimal numbers of up to eight digits, such as 16/B374D848")]
pub struct NotAnLsn;

impl FromStr for Lsn {
    type Err = NotAnLsn;

    fn from_str(text: &str) -> Result<Lsn, NotAnLsn> {
        let (high, low) = text.split_once('/').ok_or(NotAnLsn)?;
        Ok(Lsn(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }
}

fn half(text: &str) -> Result<u32, NotAnLsn> {
    let digits_only = text.bytes().all(|b| b.is_ascii_hexdigit());
    if !digits_only || text.is_empty() || text.len() > 8 {
        return Err(NotAnLsn);
    }
    u32::from_str_radix(text, 16).map_err(|_| NotAnLsn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_the_servers_form() {
        for (text, value) in
            [("0/0", 0), ("16/B374D848", 0x16_B374_D848), ("FFFFFFFF/FFFFFFFF", u64::MAX), ("1/0", 1 << 32)]
        {
            assert_eq!(text.parse(), Ok(Lsn(value)));
            assert_eq!(Lsn(value).to_string(), text);
        }
        assert_eq!("0/16b3748".parse(), Ok(Lsn(0x16B_3748)));
    }

    #[test]
    fn refuses_everything_else() {
        for text in
            ["", "/", "0", "0/", "/0", "+1/0", "1/ 0", "123456789/0", "000000001/0", "0/0/0", "g/0", "0/é"]
        {
            assert_eq!(text.parse::<Lsn>(), Err(NotAnLsn), "{text:?}");
        }
    }

    #[test]
    fn bytes_compare_as_positions_do() {
        assert!(Lsn(0x1_0000_0000).to_bytes() > Lsn(0xFFFF_FFFF).to_bytes());
        assert_eq!(Lsn::from_bytes(&Lsn(77).to_bytes()), Some(Lsn(77)));
        assert_eq!(Lsn::from_bytes(b"short"), None);
        assert!(Lsn(1).is_some() && !Lsn::ZERO.is_some());
    }
}
