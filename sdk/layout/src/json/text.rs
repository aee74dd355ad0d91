//! Strings as PostgreSQL's `escape_json` prints them: `\b \f \n \r \t \" \\`, other control bytes as
//! `\u00xx`, everything else as it is.

/// How many bytes from the start need no escape in a JSON string.
#[inline]
pub(crate) fn clean_len(text: &[u8]) -> usize {
    let (chunks, tail) = text.as_chunks::<8>();
    for (n, chunk) in chunks.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*chunk));
        if marks != 0 {
            return 8 * n + marks.trailing_zeros() as usize / 8;
        }
    }
    let rest = tail.iter().position(|byte| needs_escape(*byte)).unwrap_or(tail.len());
    text.len() - tail.len() + rest
}

#[inline]
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The upper bit of every byte that needs an escape. Bytes above the lowest such one may be marked wrongly.
#[inline]
fn marks(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    let zero_bytes = |x: u64| x.wrapping_sub(ONES) & !x;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = zero_bytes(word ^ (ONES * b'"' as u64));
    let backslash = zero_bytes(word ^ (ONES * b'\\' as u64));
    (control | quote | backslash) & (ONES * 0x80)
}

/// Writes `text` as a JSON string.
#[inline]
pub fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

/// Writes `text` as a part of a JSON string, without the quotes.
#[inline]
pub fn write_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let clean = clean_len(text);
    out.extend_from_slice(&text[..clean]);
    if clean < text.len() {
        write_unclean(out, &text[clean..]);
    }
}

#[cold]
#[inline(never)]
fn write_unclean(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        write_escape(out, *first);
        let clean = clean_len(after);
        out.extend_from_slice(&after[..clean]);
        rest = &after[clean..];
    }
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        b'"' => b'"',
        b'\\' => b'\\',
        _ => {
            out.extend_from_slice(b"\\u00");
            return write_hex(out, &[byte]);
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

const HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    table
};

/// Writes bytes as lower-case hexadecimal digits.
pub fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    for (pair, byte) in out[start..].as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = HEX[usize::from(*byte)];
    }
}

/// Writes a UUID, lower-case and hyphenated.
pub fn write_uuid(out: &mut Vec<u8>, id: &[u8; 16]) {
    let mut text = [b'-'; 36];
    let groups = [(0, 0..4), (9, 4..6), (14, 6..8), (19, 8..10), (24, 10..16)];
    for (at, bytes) in groups {
        for (pair, byte) in text[at..].as_chunks_mut::<2>().0.iter_mut().zip(&id[bytes]) {
            *pair = HEX[usize::from(*byte)];
        }
    }
    out.extend_from_slice(&text);
}

/// Writes a number in decimal digits.
pub(crate) fn write_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Writes bytes as a JSON string of base64, with padding.
pub fn write_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.push(b'"');
    for chunk in bytes.chunks(3) {
        let byte = |n: usize| chunk.get(n).copied().map_or(0, u32::from);
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |n: u32| DIGITS[(group >> (18 - 6 * n) & 63) as usize];
        let mut text = [digit(0), digit(1), digit(2), digit(3)];
        text[chunk.len() + 1..].fill(b'=');
        out.extend_from_slice(&text);
    }
    out.push(b'"');
}
