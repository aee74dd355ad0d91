//! An enum of plain variants as a choice of strings, in snake case unless named.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{DataEnum, Fields};

use super::attributes::Attributes;

pub(super) fn expand(name: &Ident, data: &DataEnum) -> syn::Result<TokenStream> {
    let mut words = Vec::new();
    let mut variants = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(syn::Error::new_spanned(variant, "a choice carries nothing"));
        }
        let attributes = Attributes::of(&variant.attrs)?;
        words.push(attributes.name.unwrap_or_else(|| snake_case(&variant.ident.to_string())));
        variants.push(&variant.ident);
    }
    Ok(quote! {
        impl ::pgcdc_sdk::config::Value for #name {
            const SCHEMA: &'static ::pgcdc_sdk::config::Schema = &::pgcdc_sdk::config::Schema::Choice(&[#(#words),*]);

            fn decode(
                value: &::pgcdc_sdk::config::Json,
                place: &::pgcdc_sdk::config::Place<'_>,
            ) -> ::pgcdc_sdk::Result<Self> {
                match value.as_str() {
                    #(Some(#words) => Ok(Self::#variants),)*
                    _ => Err(place.expected(&[#(#words),*].join(", "))),
                }
            }
        }
    })
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}
