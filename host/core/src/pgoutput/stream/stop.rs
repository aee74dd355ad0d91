//! `E`: the piece that was begun ends. What becomes of its transaction is said later.

pub(super) const TAG: u8 = b'E';

/// The end of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStop;

impl StreamStop {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(TAG);
    }
}
