//! `#[derive(Config)]`: a struct's JSON Schema and its decoding, from one reading of its fields.

mod attributes;
mod choice;
mod structure;

use proc_macro2::TokenStream;
use syn::{Data, DeriveInput, Fields};

/// A struct with named fields becomes an object; an enum of plain variants a choice of strings.
pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(syn::Error::new_spanned(&input.generics, "a config has no parameters"));
    }
    match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => structure::expand(&input.ident, fields),
            _ => Err(syn::Error::new_spanned(&input.ident, "a config has named fields")),
        },
        Data::Enum(data) => choice::expand(&input.ident, data),
        Data::Union(_) => Err(syn::Error::new_spanned(&input.ident, "a config is a struct or an enum")),
    }
}
