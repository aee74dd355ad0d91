//! What the host does with a stream, without its socket and its disk.

use std::collections::BTreeMap;

use pgcdc_core::assembler::{Assembler, Fed, Settings};
use pgcdc_core::lsn::Lsn;
use pgcdc_core::streamed::{Step, Streamed};
use pgcdc_layout::View;

use crate::support::{Frame, NOW_US, Out, assembler};

/// Of a message over `max_event_bytes`, this much is at hand.
const HEAD_BYTES: usize = 600;

struct Driver {
    assembler: Assembler,
    bytes_max: usize,
    out: Out,
    /// The stream is one that a server sends: batches are looked at closely.
    sound: bool,
}

impl Driver {
    fn new(settings: Settings, sound: bool) -> Driver {
        let bytes_max = settings.max_event_bytes;
        Driver { bytes_max, assembler: assembler(settings), out: Out::default(), sound }
    }

    fn feed(&mut self, at: Lsn, data: &[u8], bytes: u64) -> Result<(), String> {
        loop {
            let fed = if bytes > self.bytes_max as u64 {
                self.assembler.feed_head(at, &data[..data.len().min(HEAD_BYTES)], bytes, NOW_US)
            } else {
                self.assembler.feed(at, data, NOW_US)
            };
            match fed.map_err(|error| error.to_string())? {
                Fed::Taken => return Ok(()),
                Fed::NeedTypes(oids) => self.assembler.learn_types(&oids, vec![]),
                Fed::Full => self.take(),
            }
        }
    }

    fn end(mut self) -> Out {
        self.take();
        self.out
    }

    fn take(&mut self) {
        match self.assembler.take_batch() {
            Some(finished) if !self.sound => drop(View::parse(&finished.bytes).unwrap()),
            finished => self.out.take(finished),
        }
    }
}

/// A history without pieces.
pub(crate) fn whole(frames: &[Frame], settings: Settings) -> Out {
    let mut driver = Driver::new(settings, true);
    for (at, data) in frames {
        driver.feed(*at, data, data.len() as u64).unwrap();
    }
    driver.end()
}

pub(crate) fn in_pieces(frames: &[Frame], settings: Settings) -> Out {
    try_in_pieces(frames, settings, true).unwrap()
}

pub(crate) fn try_in_pieces(frames: &[Frame], settings: Settings, sound: bool) -> Result<Out, String> {
    let mut driver = Driver::new(settings, sound);
    let mut streamed = Streamed::default();
    let mut stores: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    for (at, data) in frames {
        // A message that is too large in itself; its number in a stream does not count.
        let bytes = data.len() as u64;
        let here = if data.len() > driver.bytes_max + 4 { &data[..HEAD_BYTES] } else { data };
        match streamed.take(*at, here, bytes).map_err(|error| error.to_string())? {
            Step::Pass => driver.feed(*at, here, bytes)?,
            Step::Noted => {}
            Step::Keep { xid, record } => record.write(stores.entry(xid).or_default()),
            Step::Forget { xid } => drop(stores.remove(&xid)),
            Step::Release(mut replay) => {
                driver.feed(Lsn::ZERO, &replay.begin(), 0)?;
                let store = stores.remove(&replay.xid()).unwrap_or_default();
                assert_eq!(store.len() as u64, replay.len_bytes());
                let mut rest = store.as_slice();
                while let Some(kept) = replay.next(&mut rest).unwrap() {
                    driver.feed(kept.wal_start, kept.data, kept.bytes)?;
                }
                driver.feed(Lsn::ZERO, &replay.commit().unwrap(), 0)?;
                for relation in streamed.settle(*replay) {
                    driver.assembler.remember(&relation).map_err(|error| error.to_string())?;
                }
            }
        }
    }
    assert!(streamed.open() >= stores.len());
    Ok(driver.end())
}
