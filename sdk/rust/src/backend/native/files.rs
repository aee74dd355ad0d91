//! Files in memory, with what a crash would leave of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::bytes_of;
use crate::batch::Part;
use crate::{Error, Result};

/// A file's content, and how much of it a sync has reached.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) synced: Vec<u8>,
    pub(crate) syncs: u32,
    pub(crate) fails: bool,
}

type Shared = Rc<RefCell<Content>>;

thread_local! {
    static FILES: RefCell<BTreeMap<String, Shared>> = const { RefCell::new(BTreeMap::new()) };
}

/// An open file.
#[derive(Debug)]
pub(crate) struct File {
    path: String,
}

pub(crate) async fn open(grant: String, name: String) -> Result<File> {
    if name.contains(['/', '\\']) || name == ".." {
        return Err(Error::invalid("a file name is not a path"));
    }
    let path = if name.is_empty() { grant } else { format!("{grant}/{name}") };
    content(&path);
    Ok(File { path })
}

/// The file at a path (`grant`, or `grant/name`), made if it is absent.
pub(crate) fn content(path: &str) -> Shared {
    FILES.with_borrow_mut(|files| Rc::clone(files.entry(path.to_owned()).or_default()))
}

/// The paths that there are.
pub(crate) fn paths() -> Vec<String> {
    FILES.with_borrow(|files| files.keys().cloned().collect())
}

impl File {
    fn content(&self) -> Result<Shared> {
        let content = content(&self.path);
        if content.borrow().fails {
            return Err(Error::unavailable("the disk is full"));
        }
        Ok(content)
    }

    pub(crate) async fn append(&self, body: Vec<Part<'_>>) -> Result<u64> {
        let bytes = bytes_of(&body)?;
        let content = self.content()?;
        content.borrow_mut().bytes.extend_from_slice(&bytes);
        let len = content.borrow().bytes.len();
        Ok(len as u64)
    }

    pub(crate) async fn sync(&self) -> Result<()> {
        let content = self.content()?;
        let mut content = content.borrow_mut();
        content.synced = content.bytes.clone();
        content.syncs += 1;
        Ok(())
    }

    pub(crate) async fn replace(&self, bytes: Vec<u8>) -> Result<()> {
        self.content()?.borrow_mut().bytes = bytes;
        Ok(())
    }

    pub(crate) async fn read(&self, bytes_max: u32) -> Result<Vec<u8>> {
        let bytes = self.content()?.borrow().bytes.clone();
        if bytes.len() > bytes_max as usize { Err(Error::too_large("the file is larger")) } else { Ok(bytes) }
    }

    pub(crate) async fn size(&self) -> Result<u64> {
        Ok(self.content()?.borrow().bytes.len() as u64)
    }

    pub(crate) async fn mend(&self, separator: u8) -> Result<u64> {
        let content = self.content()?;
        let bytes = &mut content.borrow_mut().bytes;
        let whole = bytes.iter().rposition(|byte| *byte == separator).map_or(0, |at| at + 1);
        bytes.truncate(whole);
        Ok(whole as u64)
    }

    pub(crate) async fn rotate(&self, keep: u32) -> Result<()> {
        self.sync().await?;
        FILES.with_borrow_mut(|files| {
            files.remove(&format!("{}.{keep}", self.path));
            for n in (1..keep).rev() {
                if let Some(old) = files.remove(&format!("{}.{n}", self.path)) {
                    files.insert(format!("{}.{}", self.path, n + 1), old);
                }
            }
            let current = files.insert(self.path.clone(), Shared::default());
            if let (Some(current), true) = (current, keep > 0) {
                files.insert(format!("{}.1", self.path), current);
            }
        });
        Ok(())
    }
}
