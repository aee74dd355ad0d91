//! The self-description: a custom section `pgcdc:connector` with a JSON object.
//!
//! A linker leaves a guest's section in the core module inside of the component. [`lift`] copies it to
//! the component's top level, where any tool finds it first; [`read`] accepts both places, so that what
//! plain `cargo build` made works, too. The outermost section wins.

use wasmparser::{Parser, Payload};

use crate::Refused;

/// The section's name.
pub const NAME: &str = "pgcdc:connector";

/// A description as it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// JSON, not looked into here.
    pub json: Vec<u8>,
    /// Whether it is at the component's top level already.
    pub top_level: bool,
}

/// Refuses what is not a component by its first bytes.
pub fn check_kind(wasm: &[u8]) -> Result<(), Refused> {
    if wasm.starts_with(b"\x7fELF") {
        return Err(Refused::Precompiled);
    }
    if !wasm.starts_with(b"\0asm") {
        let head = wasm.get(..4).unwrap_or(wasm);
        return Err(Refused::NotWasm { found: format!("`{}`", head.escape_ascii()) });
    }
    match wasm.get(4..8) {
        Some([_, _, 0, 0]) => Err(Refused::CoreModule),
        Some(_) => Ok(()),
        None => Err(Refused::Damaged { offset: wasm.len(), message: "the header is cut off".into() }),
    }
}

/// Finds the description without compiling; walks the whole file, so that a truncated one is noticed.
pub fn read(wasm: &[u8]) -> Result<Found, Refused> {
    check_kind(wasm)?;
    let mut nested: Option<Vec<u8>> = None;
    let mut top: Option<Vec<u8>> = None;
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|e| damaged(&e))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if section.name() == NAME => {
                let slot = if depth == 0 { &mut top } else { &mut nested };
                slot.get_or_insert_with(|| section.data().to_vec());
            }
            _ => {}
        }
    }
    match (top, nested) {
        (Some(json), _) => Ok(Found { json, top_level: true }),
        (None, Some(json)) => Ok(Found { json, top_level: false }),
        (None, None) => Err(Refused::NoDescription),
    }
}

/// The same component with its description at the top level.
pub fn lift(wasm: &[u8]) -> Result<Vec<u8>, Refused> {
    let found = read(wasm)?;
    let mut lifted = wasm.to_vec();
    if !found.top_level {
        let section = wasm_encoder::CustomSection { name: NAME.into(), data: (&found.json).into() };
        wasm_encoder::ComponentSection::append_to_component(&section, &mut lifted);
    }
    Ok(lifted)
}

pub(crate) fn damaged(error: &wasmparser::BinaryReaderError) -> Refused {
    Refused::Damaged { offset: error.offset(), message: error.message().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component_with_nested(json: &[u8]) -> Vec<u8> {
        let mut module = wasm_encoder::Module::new();
        module.section(&wasm_encoder::CustomSection { name: NAME.into(), data: json.into() });
        let mut component = wasm_encoder::Component::new();
        component.section(&wasm_encoder::ModuleSection(&module));
        component.finish()
    }

    #[test]
    fn a_nested_description_is_found_and_lifted() {
        let wasm = component_with_nested(b"{\"name\":\"x\"}");
        assert_eq!(read(&wasm).unwrap(), Found { json: b"{\"name\":\"x\"}".to_vec(), top_level: false });
        let lifted = lift(&wasm).unwrap();
        assert!(read(&lifted).unwrap().top_level);
        assert_eq!(lift(&lifted).unwrap(), lifted, "lifting twice changes nothing");
    }

    #[test]
    fn what_is_not_a_component_is_named() {
        assert!(matches!(read(b"#!/bin/sh"), Err(Refused::NotWasm { .. })));
        assert!(matches!(read(b""), Err(Refused::NotWasm { .. })));
        assert!(matches!(read(b"\x7fELF\x02\x01\x01"), Err(Refused::Precompiled)));
        assert!(matches!(read(&wasm_encoder::Module::new().finish()), Err(Refused::CoreModule)));
        assert!(matches!(read(&wasm_encoder::Component::new().finish()), Err(Refused::NoDescription)));
    }

    #[test]
    fn every_truncation_is_refused_or_lacks_the_section() {
        let wasm = component_with_nested(b"{\"name\":\"x\"}");
        for end in 0..wasm.len() {
            assert!(read(&wasm[..end]).is_err(), "truncated at {end}");
        }
    }
}
