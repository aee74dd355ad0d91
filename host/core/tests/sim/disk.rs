//! A disk with two files, as the checkpoint store `file` uses them: written in turn, each with its generation, its length
//! and a checksum. What is not synced may be lost or torn when the power fails; a killed process loses nothing of it.

use fastrand::Rng;
use xxhash_rust::xxh3::xxh3_64;

const HEAD_BYTES: usize = 24;

#[derive(Clone, Default)]
struct File {
    on_device: Vec<u8>,
    /// Written, not synced.
    cached: Option<Vec<u8>>,
}

#[derive(Clone, Default)]
pub(crate) struct Disk {
    files: [File; 2],
    generation: u64,
}

fn read(content: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = content.split_at_checked(HEAD_BYTES)?;
    let number = |at: usize| head[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let body = rest.get(..usize::try_from(number(8)?).ok()?)?;
    (xxh3_64(body) ^ number(0)? == number(16)?).then_some((number(0)?, body))
}

fn newest<'a>(files: impl Iterator<Item = &'a [u8]>) -> Option<(u64, &'a [u8])> {
    files.filter_map(read).max_by_key(|(generation, _)| *generation)
}

impl Disk {
    /// What is stored, as a process finds it that starts: it syncs what it reads before it relies on it.
    pub(crate) fn open(&mut self) -> Option<Vec<u8>> {
        self.sync();
        let found = self.stored();
        self.generation = found.as_ref().map_or(0, |(generation, _)| *generation);
        found.map(|(_, body)| body)
    }

    /// What would be found if the power failed now.
    pub(crate) fn stored(&self) -> Option<(u64, Vec<u8>)> {
        let files = self.files.iter().map(|file| file.on_device.as_slice());
        newest(files).map(|(generation, body)| (generation, body.to_vec()))
    }

    /// The next generation into the file whose turn it is; not on the device yet.
    pub(crate) fn write(&mut self, body: &[u8]) {
        self.generation += 1;
        let generation = self.generation;
        let mut content = generation.to_le_bytes().to_vec();
        content.extend_from_slice(&(body.len() as u64).to_le_bytes());
        content.extend_from_slice(&(xxh3_64(body) ^ generation).to_le_bytes());
        content.extend_from_slice(body);
        self.files[generation as usize % 2].cached = Some(content);
    }

    pub(crate) fn sync(&mut self) {
        for file in &mut self.files {
            if let Some(cached) = file.cached.take() {
                file.on_device = cached;
            }
        }
    }

    /// The write under way fails: some of it may be there.
    pub(crate) fn fail(&mut self, rng: &mut Rng) {
        for file in &mut self.files {
            if let Some(cached) = &mut file.cached {
                cached.truncate(rng.usize(..=cached.len()));
            }
        }
    }

    /// What was not synced is there, or is not, or is torn.
    pub(crate) fn power_failure(&mut self, rng: &mut Rng) {
        for file in &mut self.files {
            let Some(cached) = file.cached.take() else { continue };
            match rng.u8(..4) {
                0 => {}
                1 => file.on_device = cached,
                2 => file.on_device = cached[..rng.usize(..=cached.len())].to_vec(),
                _ => {
                    let keep = rng.usize(..=file.on_device.len().min(cached.len()));
                    file.on_device[..keep].copy_from_slice(&cached[..keep]);
                }
            }
        }
    }

    /// An operator's `pgcdc checkpoint reset`.
    pub(crate) fn wipe(&mut self) {
        *self = Disk::default();
    }
}

#[test]
fn one_generation_always_survives() {
    for seed in 0..2_000 {
        let mut rng = Rng::with_seed(seed);
        let mut disk = Disk::default();
        let mut synced = 0_u8;
        for n in 1..=rng.u8(1..9) {
            disk.write(&[n; 30]);
            if rng.bool() {
                disk.fail(&mut rng);
                disk.open();
            } else if rng.bool() {
                disk.sync();
                synced = n;
            } else {
                break;
            }
        }
        disk.power_failure(&mut rng);
        let found = disk.open().map_or(0, |body| body[0]);
        assert!(found >= synced, "seed {seed}: {found} after {synced} was synced");
    }
}
