//! The one place that turns bytes into code: loading what this program compiled itself.
#![allow(unsafe_code)]

use wasmtime::Engine;
use wasmtime::component::Component;

/// Native code of which the provenance is known: embedded at build time, or read from the cache that only
/// this user can write.
pub(super) struct Trusted<'a>(&'a [u8]);

impl<'a> Trusted<'a> {
    /// Code that was embedded when this program was built.
    pub(super) fn embedded(code: &'static [u8]) -> Trusted<'static> {
        Trusted(code)
    }

    /// Code from a file of the cache, after `cache` has checked the folder's owner and mode, and the file's digest.
    pub(super) fn cached(code: &'a [u8]) -> Trusted<'a> {
        Trusted(code)
    }

    pub(super) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` wants bytes that `precompile_component` made, unmodified. Both constructors are
        // reachable only from `registry` and `cache`: embedded bytes come from the build of this very program, and
        // cached ones were written by a child of this program into a folder with mode 0700 that this user owns, under
        // a key of wasm digest, engine settings and program version, and carry a digest that was checked. A mismatch of
        // version or settings is an error of `deserialize`, not undefined behaviour.
        unsafe { Component::deserialize(engine, self.0) }
    }
}
