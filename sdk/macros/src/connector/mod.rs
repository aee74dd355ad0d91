//! `connector!`: the exports of one component, and its self-description.
//!
//! The bindings of a world that exports anything are generated in the author's own crate: every world leaves
//! a section in the crate that it is generated in, and a component must carry that of its own kind alone.

mod arguments;
mod contract;
mod glue;

use proc_macro2::TokenStream;
use quote::quote;

pub(crate) use arguments::Arguments;

/// Off WebAssembly only the type check is left, so that a connector builds and tests natively.
pub(crate) fn expand(arguments: &Arguments) -> TokenStream {
    let Arguments { kind, implementation, .. } = arguments;
    let kind_trait = kind.trait_name();
    let exports = glue::exports(arguments);
    let description = description(arguments);
    quote! {
        const _: fn() = || {
            fn is_a_connector<T: ::pgcdc_sdk::#kind_trait>() {}
            is_a_connector::<#implementation>();
        };

        /// What this component says of itself; the host reads the same from the file.
        #[doc(hidden)]
        pub const PGCDC_DESCRIPTION: ::pgcdc_sdk::describe::Description = #description;

        #[cfg(target_arch = "wasm32")]
        #[doc(hidden)]
        #[allow(unsafe_code, missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]
        mod __pgcdc_component { #exports }
    }
}

fn description(arguments: &Arguments) -> TokenStream {
    let Arguments { kind, implementation, delivery, docs, example, .. } = arguments;
    let name = match &arguments.name {
        Some(name) => quote!(#name),
        None => quote!(env!("CARGO_PKG_NAME")),
    };
    let description = match &arguments.description {
        Some(text) => quote!(#text),
        None => quote!(env!("CARGO_PKG_DESCRIPTION")),
    };
    let kind_name = kind.name();
    let kind_trait = kind.trait_name();
    let capabilities = arguments.capabilities.iter().map(|(interface, reason)| quote!((#interface, #reason)));
    quote! {
        ::pgcdc_sdk::describe::Description {
            name: #name,
            version: env!("CARGO_PKG_VERSION"),
            description: #description,
            kind: #kind_name,
            config: <<#implementation as ::pgcdc_sdk::#kind_trait>::Config as ::pgcdc_sdk::config::Value>::SCHEMA,
            capabilities: &[#(#capabilities),*],
            delivery: #delivery,
            docs: #docs,
            example: #example,
        }
    }
}
