//! The macros of `pgcdc-sdk`: `#[derive(Config)]` and `connector!`.
//!
//! What they expand to names `::pgcdc_sdk` only, so that a connector has one dependency. What they mean is said
//! where the SDK re-exports them.

mod config;
mod connector;

use proc_macro::TokenStream;

/// See `pgcdc_sdk::Config`.
#[proc_macro_derive(Config, attributes(config))]
pub fn derive_config(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    config::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// See `pgcdc_sdk::connector`.
#[proc_macro]
pub fn connector(input: TokenStream) -> TokenStream {
    let arguments = syn::parse_macro_input!(input as connector::Arguments);
    connector::expand(&arguments).into()
}
