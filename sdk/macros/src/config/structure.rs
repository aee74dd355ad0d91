//! A struct as a JSON object: one property a field, nothing else allowed.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::FieldsNamed;
use syn::ext::IdentExt;

use super::attributes::Attributes;

pub(super) fn expand(name: &Ident, fields: &FieldsNamed) -> syn::Result<TokenStream> {
    let mut properties = Vec::new();
    let mut decoded = Vec::new();
    for (at, field) in fields.named.iter().enumerate() {
        let Some(ident) = &field.ident else { continue };
        let attributes = Attributes::of(&field.attrs)?;
        let ty = &field.ty;
        properties.push(property(ident, ty, &attributes));
        decoded.push(quote!(#ident: ::pgcdc_sdk::config::field(value, &Self::FIELDS[#at], place)?));
    }
    Ok(quote! {
        impl #name {
            const FIELDS: &'static [::pgcdc_sdk::config::Field] = &[#(#properties),*];
        }

        impl ::pgcdc_sdk::config::Value for #name {
            const SCHEMA: &'static ::pgcdc_sdk::config::Schema = &::pgcdc_sdk::config::Schema::Object(Self::FIELDS);

            fn decode(
                value: &::pgcdc_sdk::config::Json,
                place: &::pgcdc_sdk::config::Place<'_>,
            ) -> ::pgcdc_sdk::Result<Self> {
                ::pgcdc_sdk::config::object(value, place)?;
                Ok(Self { #(#decoded),* })
            }
        }

        impl ::pgcdc_sdk::Config for #name {}
    })
}

fn property(ident: &Ident, ty: &syn::Type, attributes: &Attributes) -> TokenStream {
    let Attributes { flag, short, endpoint, secret, default, minimum, maximum, description, .. } = attributes;
    let name = attributes.name.clone().unwrap_or_else(|| ident.unraw().to_string());
    let (flag, endpoint) = (option(flag.as_deref()), option(endpoint.as_deref()));
    let (default, minimum) = (option(default.as_deref()), option(minimum.as_deref()));
    let table = option(attributes.table.as_deref());
    let (maximum, short) = (option(maximum.as_deref()), option(short.as_deref()));
    quote! {
        ::pgcdc_sdk::config::Field {
            name: #name,
            description: #description,
            default: #default,
            optional: <#ty as ::pgcdc_sdk::config::Value>::OPTIONAL,
            secret: #secret || <#ty as ::pgcdc_sdk::config::Value>::SECRET,
            endpoint: #endpoint,
            table: #table,
            flag: #flag,
            short: #short,
            minimum: #minimum,
            maximum: #maximum,
            schema: <#ty as ::pgcdc_sdk::config::Value>::SCHEMA,
        }
    }
}

fn option(text: Option<&str>) -> TokenStream {
    match text {
        Some(text) => quote!(Some(#text)),
        None => quote!(None),
    }
}
