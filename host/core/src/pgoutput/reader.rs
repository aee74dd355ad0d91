//! A cursor over bytes that nobody has vouched for.

/// A message that breaks the protocol. The connection that it came from cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed pgoutput message: {what} at byte {offset}")]
pub struct Malformed {
    /// What was expected, or wrong.
    pub what: &'static str,
    /// Where, counted from the message's tag.
    pub offset: usize,
}

#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Reader<'a> {
        Reader { data, at: 0 }
    }

    pub(crate) fn fail<T>(&self, what: &'static str) -> Result<T, Malformed> {
        Err(Malformed { what, offset: self.at })
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn bytes(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(len);
        match end.and_then(|end| self.data.get(self.at..end)) {
            Some(bytes) => {
                self.at += len;
                Ok(bytes)
            }
            None => self.fail(what),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        match self.rest().first_chunk::<N>() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => self.fail(what),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        Ok(self.array::<1>(what)?[0])
    }

    /// A count, which the protocol writes as a signed 16-bit number.
    #[inline]
    pub(crate) fn count_u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        let count = i16::from_be_bytes(self.array(what)?);
        u16::try_from(count).map_err(|_| Malformed { what, offset: self.at - 2 })
    }

    /// A length or count, which the protocol writes as a signed 32-bit number.
    #[inline]
    pub(crate) fn count_u32(&mut self, what: &'static str) -> Result<usize, Malformed> {
        let count = i32::from_be_bytes(self.array(what)?);
        usize::try_from(count).map_err(|_| Malformed { what, offset: self.at - 4 })
    }

    #[inline]
    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn i32(&mut self, what: &'static str) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn i64(&mut self, what: &'static str) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.array(what)?))
    }

    /// A string that ends with a zero byte.
    pub(crate) fn text(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        let rest = self.rest();
        let Some(len) = rest.iter().position(|b| *b == 0) else { return self.fail(what) };
        let Ok(text) = std::str::from_utf8(&rest[..len]) else { return self.fail(what) };
        self.at += len + 1;
        Ok(text)
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.rest().is_empty() { Ok(()) } else { self.fail("bytes after the end of the message") }
    }
}

/// Writes a string as [`Reader::text`] reads it.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}
