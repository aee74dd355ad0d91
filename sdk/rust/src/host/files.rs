//! Files under paths that the operator granted.

use crate::config::Endpoint;
use crate::{Body, Result, backend};

/// An open file. Nothing here is cached by the guest.
#[derive(Debug)]
pub struct File(backend::files::File);

impl File {
    /// A granted file. Made if it is absent.
    ///
    /// # Errors
    ///
    /// `denied`, or `unavailable` with the operating system's reason.
    pub async fn open(grant: &Endpoint) -> Result<Self> {
        backend::files::open(grant.name().to_owned(), String::new()).await.map(Self)
    }

    /// A file within a granted folder, by one plain name. Made if it is absent.
    ///
    /// # Errors
    ///
    /// `denied`, `invalid` for a name that is a path, or `unavailable` with the operating system's reason.
    pub async fn open_in(folder: &Endpoint, name: &str) -> Result<Self> {
        backend::files::open(folder.name().to_owned(), name.to_owned()).await.map(Self)
    }

    /// Adds bytes at the end, in the order of the calls; the position after them.
    ///
    /// # Errors
    ///
    /// `unavailable` with the operating system's reason; how much was written is unknown then.
    pub async fn append(&self, body: impl Into<Body<'_>>) -> Result<u64> {
        self.0.append(body.into().parts).await
    }

    /// Returns when everything appended before the call is on the device; calls that overlap share one sync.
    ///
    /// # Errors
    ///
    /// Once it has failed it fails for ever: what is on the disk is unknown.
    pub async fn sync(&self) -> Result<()> {
        self.0.sync().await
    }

    /// Sets the content, from the start.
    ///
    /// # Errors
    ///
    /// `unavailable` with the operating system's reason; the content is unknown then.
    pub async fn replace(&self, content: Vec<u8>) -> Result<()> {
        self.0.replace(content).await
    }

    /// The whole content.
    ///
    /// # Errors
    ///
    /// `too-large` if it has more than `bytes_max`.
    pub async fn read(&self, bytes_max: u32) -> Result<Vec<u8>> {
        self.0.read(bytes_max).await
    }

    /// How many bytes it has.
    ///
    /// # Errors
    ///
    /// `unavailable` with the operating system's reason.
    pub async fn size(&self) -> Result<u64> {
        self.0.size().await
    }

    /// Shifts `.1` to `.2` and so on, keeps `keep` of them, renames this file to `.1`, and goes on with an
    /// empty one. The old file is synced first.
    ///
    /// # Errors
    ///
    /// `unavailable` with the operating system's reason.
    pub async fn rotate(&self, keep: u32) -> Result<()> {
        self.0.rotate(keep).await
    }

    /// Cuts off what follows the last `separator`: what a crash, or a failed write, left of a record. The size after that.
    ///
    /// # Errors
    ///
    /// `unavailable` with the operating system's reason.
    pub async fn mend(&self, separator: u8) -> Result<u64> {
        self.0.mend(separator).await
    }
}
