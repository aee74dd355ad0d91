//! The one place that turns bytes into code: loading what this program compiled itself. Loading copies it; the pages of the
//! original are then given back.
#![allow(unsafe_code)]

use wasmtime::Engine;
use wasmtime::component::Component;

/// Native code of which the provenance is known: embedded at build time, or read from the cache that only
/// this user can write.
pub(super) struct Trusted<'a> {
    code: &'a [u8],
    /// It lies in the program's own file, and can be read again from there.
    embedded: bool,
}

impl<'a> Trusted<'a> {
    /// Code that was embedded when this program was built.
    pub(super) fn embedded(code: &'static [u8]) -> Trusted<'static> {
        Trusted { code, embedded: true }
    }

    /// Code from a file of the cache, after `cache` has checked the folder's owner and mode, and the file's digest.
    pub(super) fn cached(code: &'a [u8]) -> Trusted<'a> {
        Trusted { code, embedded: false }
    }

    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` wants bytes that `precompile_component` made, unmodified. Both constructors are
        // reachable only from `registry` and `cache`: embedded bytes come from the build of this very program, and
        // cached ones were written by a child of this program into a folder with mode 0700 that this user owns, under
        // a key of wasm digest, engine settings and program version, and carry a digest that was checked. A mismatch of
        // version or settings is an error of `deserialize`, not undefined behaviour.
        let component = unsafe { Component::deserialize(engine, self.code) };
        #[cfg(target_os = "linux")]
        if self.embedded {
            give_back(self.code);
        }
        component
    }
}

/// Lets the kernel forget the pages that lie in these bytes as a whole.
#[cfg(target_os = "linux")]
fn give_back(embedded: &[u8]) {
    let page = rustix::param::page_size();
    let skipped = embedded.as_ptr().align_offset(page);
    let Some(rest) = embedded.get(skipped..) else { return };
    let whole = rest.len() / page * page;
    // SAFETY: the range lies within the bytes of a constant of this program, which are mapped privately from its file, are read only and
    // have nothing in them that a loader changes: whoever reads them again gets them from the file, the same as before. A failure
    // changes nothing.
    let _ = unsafe {
        rustix::mm::madvise(rest.as_ptr().cast_mut().cast(), whole, rustix::mm::Advice::LinuxDontNeed)
    };
}

#[cfg(test)]
mod tests {
    /// Large enough to have whole pages.
    static EMBEDDED: [u8; 64 * 1024] = [7; 64 * 1024];

    #[test]
    #[cfg(target_os = "linux")]
    fn what_was_given_back_reads_the_same() {
        assert!(EMBEDDED.iter().all(|byte| *byte == 7));
        super::give_back(&EMBEDDED);
        super::give_back(&EMBEDDED[1..]);
        super::give_back(&EMBEDDED[..10]);
        assert!(EMBEDDED.iter().all(|byte| *byte == 7));
    }
}
