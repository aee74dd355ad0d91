//! Ids for a source's events: UUIDs of version 7 that name what an event is of, so that what comes again has the same id.
//!
//! An event whose id is all zero gets one that the host draws, another one every time.

use xxhash_rust::xxh3::xxh3_128;

/// The id of whatever is named by these bytes, at a time in milliseconds since 1970; 0 when the source states none.
///
/// Bytes 0 to 5 are the time; the rest is the beginning of XXH3-128 over `image`, but for the bits that make it a UUID of
/// version 7. It is the host's own recipe.
pub fn of_image(time_ms: i64, image: &[u8]) -> [u8; 16] {
    const TIME_MS_MAX: u64 = (1 << 48) - 1;
    let time_ms = u64::try_from(time_ms).unwrap_or(0).min(TIME_MS_MAX);
    let mut id = [0; 16];
    id[..6].copy_from_slice(&time_ms.to_be_bytes()[2..]);
    id[6..].copy_from_slice(&xxh3_128(image).to_be_bytes()[..10]);
    id[6] = 0x70 | (id[6] & 0x0F);
    id[8] = 0x80 | (id[8] & 0x3F);
    id
}

/// A UUID as it is written, of whatever version; none for anything else, and for the one that is all zero.
pub fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    let hyphens = [8, 13, 18, 23];
    if bytes.len() != 36 || hyphens.iter().any(|at| bytes[*at] != b'-') {
        return None;
    }
    let mut digits = (0..36).filter(|at| !hyphens.contains(at)).map(|at| char::from(bytes[at]).to_digit(16));
    let mut id = [0; 16];
    for byte in &mut id {
        *byte = u8::try_from(digits.next()?? << 4 | digits.next()??).ok()?;
    }
    Some(id).filter(|id| *id != [0; 16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_its_image() {
        let id = of_image(1_767_605_400_250, b"image");
        assert_eq!(id, of_image(1_767_605_400_250, b"image"));
        assert_ne!(id, of_image(1_767_605_400_250, b"other"));
        assert_eq!(&id[..6], &1_767_605_400_250_u64.to_be_bytes()[2..]);
        assert_eq!((id[6] >> 4, id[8] >> 6), (7, 0b10));
        assert_eq!(&of_image(-1, b"image")[..6], &[0; 6]);
    }

    #[test]
    fn uuids_are_read_as_postgresql_prints_them() {
        let id = parse_uuid("01a203a7-cd9c-7a46-af52-ca3ad3ffb5eb").unwrap();
        assert_eq!((id[0], id[15]), (0x01, 0xeb));
        let zero = "00000000-0000-0000-0000-000000000000";
        for bad in
            ["", "7", zero, "01a203a7-cd9c-7a46-af52-ca3ad3ffb5eg", "01a203a7cd9c7a46af52ca3ad3ffb5eb0000"]
        {
            assert_eq!(parse_uuid(bad), None, "{bad}");
        }
    }
}
