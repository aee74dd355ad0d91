//! Small rules that writing and checking share.

/// Whether an array's elements may be separated by this byte. A space is the sign of a vector, which has no
/// braces.
pub(crate) fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'{' | b'}' | b'"' | b'\\')
}

/// Whether this is a replica identity, or none.
pub(crate) fn is_identity(byte: u8) -> bool {
    matches!(byte, 0 | b'd' | b'n' | b'f' | b'i')
}
