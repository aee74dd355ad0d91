//! What one instance may reach: names that its config has, and what they stand for. Deny is the default.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::egress::Endpoint;
use crate::files::{self, File};
use crate::manifest::ready;
use crate::postgres::Params;

/// A secret's value; never shown.
#[derive(Clone)]
pub(crate) struct Secret(secrecy::SecretString);

impl Secret {
    pub(crate) fn new(value: String) -> Secret {
        Secret(value.into())
    }

    pub(crate) fn expose(&self) -> &str {
        secrecy::ExposeSecret::expose_secret(&self.0)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Secrets by name, read once at the start.
pub(crate) type Secrets = HashMap<String, Secret>;

/// A granted file or folder.
#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Folder(PathBuf),
}

/// The effective grants of one connector.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    http: HashMap<String, Arc<Endpoint>>,
    postgres: HashMap<String, Arc<Params>>,
    places: HashMap<String, Place>,
    secrets: HashMap<String, Secret>,
    interfaces: Vec<String>,
}

impl Grants {
    /// From the checked manifest. The error is a line without the address.
    pub(crate) fn resolve(granted: &ready::Grants, secrets: &Secrets) -> Result<Grants, String> {
        let mut grants = Grants::default();
        for name in &granted.secrets {
            let secret = secrets.get(name).ok_or_else(|| format!("secret `{name}` has no value"))?;
            grants.secrets.insert(name.clone(), secret.clone());
        }
        for (name, endpoint) in &granted.endpoints {
            let text = match &endpoint.address {
                ready::EndpointAddress::Typed(address) => address.expose().to_string(),
                ready::EndpointAddress::Secret(secret) => secrets
                    .get(secret)
                    .ok_or_else(|| format!("secret `{secret}` has no value"))?
                    .expose()
                    .to_string(),
            };
            grants.add(&endpoint.kind, name, &text).map_err(|e| format!("{name}: {e}"))?;
        }
        for extra in &granted.extra {
            let text = extra.what.expose();
            grants
                .add(&extra.interface, text, text)
                .map_err(|e| format!("grants.{}: {e}", extra.interface))?;
        }
        Ok(grants)
    }

    fn add(&mut self, kind: &str, name: &str, text: &str) -> Result<(), String> {
        let interface = match kind {
            "http" => {
                let url = text.parse().map_err(|_| "is not a URL".to_string())?;
                self.http.insert(name.into(), Endpoint::new(url)?);
                "http"
            }
            "postgres" | "wal" | "snapshot" => {
                let params = Params::parse(text).map_err(|e| e.to_string())?;
                self.postgres.insert(name.into(), Arc::new(params));
                kind
            }
            "file" | "files" => {
                self.places.insert(name.into(), Place::File(text.into()));
                "files"
            }
            "folder" => {
                self.places.insert(name.into(), Place::Folder(text.into()));
                "files"
            }
            "console" => "console",
            other => return Err(format!("grants of kind `{other}` are not known to this pgcdc")),
        };
        self.interfaces.push(interface.to_string());
        Ok(())
    }

    /// A folder of the host's own choice, under a name.
    pub(crate) fn with_folder(mut self, name: &str, folder: &Path) -> Grants {
        self.places.insert(name.into(), Place::Folder(folder.into()));
        self.interfaces.push("files".into());
        self
    }

    /// Whether anything of an interface is granted.
    pub(crate) fn covers(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|granted| granted == interface)
            // One typed PostgreSQL serves queries, LISTEN and replication alike.
            || (matches!(interface, "wal" | "snapshot" | "postgres") && !self.postgres.is_empty())
    }

    pub(crate) fn http(&self, name: &str) -> Option<&Arc<Endpoint>> {
        self.http.get(name)
    }

    pub(crate) fn postgres(&self, name: &str) -> Option<&Arc<Params>> {
        self.postgres.get(name)
    }

    pub(crate) fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }

    /// Opens a granted file, or one plain name in a granted folder.
    pub(crate) async fn file(&self, grant: &str, name: &str) -> Result<File, FileRefused> {
        let place = self
            .places
            .get(grant)
            .ok_or_else(|| FileRefused::Denied(format!("no file or folder `{grant}` is granted")))?;
        let path = match place {
            Place::File(path) if name.is_empty() => path.clone(),
            Place::File(_) => return Err(FileRefused::Denied(format!("`{grant}` is a file, not a folder"))),
            Place::Folder(folder) if is_plain(name) => {
                private_folder(folder)
                    .map_err(|e| FileRefused::Failed(files::Error::io(folder, "make the folder", &e)))?;
                folder.join(name)
            }
            Place::Folder(_) => {
                return Err(FileRefused::Denied(format!("`{}` is no plain file name", name.escape_debug())));
            }
        };
        let linked = std::fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_symlink());
        if linked && matches!(place, Place::Folder(_)) {
            return Err(FileRefused::Denied(format!("`{name}` is a symbolic link")));
        }
        File::open(path).await.map_err(FileRefused::Failed)
    }
}

/// Why a file is not opened.
#[derive(Debug)]
pub(crate) enum FileRefused {
    Denied(String),
    Failed(files::Error),
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Makes a folder that only its owner can enter.
pub(crate) fn private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_folders_are_plain() {
        for good in ["a", "state.0", "A-b_c.1"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "/a", "a\\b", "a\0", "é", "a b"] {
            assert!(!is_plain(bad), "{bad:?}");
        }
    }
}
