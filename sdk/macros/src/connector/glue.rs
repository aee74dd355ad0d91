//! The exports: what the contract calls, handed to the one instance of the author's type.

use proc_macro2::TokenStream;
use quote::quote;

use super::arguments::{Arguments, Kind};
use super::contract::{self, EFFECTS, PURE, VERSION};

/// The inside of the module that a component exports from.
pub(super) fn exports(arguments: &Arguments) -> TokenStream {
    let Arguments { kind, implementation, .. } = arguments;
    let kind_trait = kind.trait_name();
    let bindings = bindings(*kind);
    let lifecycle = lifecycle(*kind);
    let own = own(*kind);
    quote! {
        type Implementation = super::#implementation;
        #[allow(unused_imports)]
        use ::pgcdc_sdk::#kind_trait as Kind;

        thread_local! {
            static INSTANCE: ::pgcdc_sdk::__private::Slot<Implementation> =
                const { ::pgcdc_sdk::__private::Slot::new() };
        }

        fn instance() -> ::pgcdc_sdk::Result<::std::rc::Rc<Implementation>> {
            INSTANCE.with(::pgcdc_sdk::__private::Slot::get)
        }

        const SECTION_BYTES: usize = ::pgcdc_sdk::describe::length(&super::PGCDC_DESCRIPTION);
        #[used]
        #[unsafe(link_section = "pgcdc:connector")]
        static SECTION: [u8; SECTION_BYTES] = ::pgcdc_sdk::describe::json(&super::PGCDC_DESCRIPTION);

        #bindings
        struct Component;
        #lifecycle
        #own
        export!(Component);
    }
}

fn bindings(kind: Kind) -> TokenStream {
    let wit = contract::text();
    let world = format!("pgcdc:connector/{}-connector@{VERSION}", kind.name());
    let effects: &[&str] = if kind == Kind::Transform { &[] } else { &EFFECTS };
    let imports = PURE.iter().chain(effects).map(|interface| {
        let key = format!("pgcdc:host/{interface}@{VERSION}");
        quote!(#key: ::pgcdc_sdk::__private::contract)
    });
    let types = types(kind).iter().map(|(wit_name, rust_name)| {
        let key = format!("pgcdc:connector/{}@{VERSION}/{wit_name}", kind.name());
        let module = syn::Ident::new(kind.name().replace('-', "_").as_str(), proc_macro2::Span::call_site());
        let rust_name = syn::Ident::new(rust_name, proc_macro2::Span::call_site());
        quote!(#key: ::pgcdc_sdk::#module::#rust_name)
    });
    quote! {
        ::pgcdc_sdk::__private::wit_bindgen::generate!({
            inline: #wit,
            world: #world,
            with: { #(#imports,)* #(#types,)* },
            runtime_path: "::pgcdc_sdk::__private::wit_bindgen::rt",
        });
    }
}

/// The types of a kind's own interface, and the SDK's names for them.
fn types(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Source => &[],
        Kind::Dlq => &[("letter", "Letter")],
        Kind::Transform => &[("failure", "Failure"), ("applied", "Applied")],
        Kind::Sink => &[
            ("failure", "Failure"),
            ("outcome", "Outcome"),
            ("context", "WriteContext"),
            ("settlement", "Settlement"),
        ],
        Kind::CheckpointStore => &[("entry", "Entry"), ("put", "Put")],
    }
}

fn lifecycle(kind: Kind) -> TokenStream {
    let facts = match kind {
        Kind::Source | Kind::Transform | Kind::Sink => quote!(Kind::facts(&opened).to_json()),
        Kind::Dlq | Kind::CheckpointStore => quote!(String::new()),
    };
    quote! {
        use ::pgcdc_sdk::__private as sdk;

        impl exports::pgcdc::connector::lifecycle::Guest for Component {
            async fn check(config: String) -> Result<(), ::pgcdc_sdk::Error> {
                <Implementation as Kind>::check(sdk::config(&config)?).await
            }

            async fn open(config: String, context: String) -> Result<String, ::pgcdc_sdk::Error> {
                let context = sdk::context(&context)?;
                let opened = <Implementation as Kind>::open(sdk::config(&config)?, &context).await?;
                let facts = #facts;
                INSTANCE.with(|slot| slot.set(opened));
                Ok(facts)
            }

            async fn command(name: String, arguments: String) -> Result<String, ::pgcdc_sdk::Error> {
                Kind::command(&*instance()?, &name, &arguments).await
            }

            async fn close() -> Result<(), ::pgcdc_sdk::Error> {
                match INSTANCE.with(sdk::Slot::take) {
                    Some(instance) => Kind::close(&*instance).await,
                    None => Ok(()),
                }
            }
        }
    }
}

fn own(kind: Kind) -> TokenStream {
    let error = quote!(::pgcdc_sdk::Error);
    let batch = quote!(::pgcdc_sdk::Batch);
    match kind {
        Kind::Source => quote! {
            impl exports::pgcdc::connector::source::Guest for Component {
                async fn next() -> Result<Vec<#batch>, #error> {
                    Kind::next(&*instance()?).await
                }
                async fn settled(batches: Vec<u64>) -> Result<(), #error> {
                    Kind::settled(&*instance()?, &batches).await
                }
            }
        },
        Kind::Transform => quote! {
            impl exports::pgcdc::connector::transform::Guest for Component {
                async fn apply(batch: &#batch) -> Result<::pgcdc_sdk::transform::Applied, #error> {
                    Kind::apply(&*instance()?, batch).await
                }
            }
        },
        Kind::Sink => quote! {
            impl exports::pgcdc::connector::sink::Guest for Component {
                async fn write(
                    batch: &#batch,
                    context: ::pgcdc_sdk::sink::WriteContext,
                ) -> Result<::pgcdc_sdk::sink::Outcome, #error> {
                    Kind::write(&*instance()?, batch, &context).await
                }
                async fn flush(reason: String) -> Result<Vec<::pgcdc_sdk::sink::Settlement>, #error> {
                    Kind::flush(&*instance()?, &reason).await
                }
            }
        },
        Kind::Dlq => quote! {
            impl exports::pgcdc::connector::dlq::Guest for Component {
                async fn put(letters: Vec<::pgcdc_sdk::dlq::Letter>) -> Result<(), #error> {
                    Kind::put(&*instance()?, letters).await
                }
                async fn list(filter: String) -> Result<Vec<::pgcdc_sdk::dlq::Letter>, #error> {
                    Kind::list(&*instance()?, &filter).await
                }
                async fn get(id: String) -> Result<Option<::pgcdc_sdk::dlq::Letter>, #error> {
                    Kind::get(&*instance()?, &id).await
                }
                async fn mark(ids: Vec<String>, state: String) -> Result<u64, #error> {
                    Kind::mark(&*instance()?, &ids, &state).await
                }
                async fn purge(filter: String) -> Result<u64, #error> {
                    Kind::purge(&*instance()?, &filter).await
                }
            }
        },
        Kind::CheckpointStore => quote! {
            impl exports::pgcdc::connector::checkpoint_store::Guest for Component {
                async fn load(prefix: String) -> Result<Vec<::pgcdc_sdk::checkpoint_store::Entry>, #error> {
                    Kind::load(&*instance()?, &prefix).await
                }
                async fn store(puts: Vec<::pgcdc_sdk::checkpoint_store::Put>) -> Result<(), #error> {
                    Kind::store(&*instance()?, puts).await
                }
            }
        },
    }
}
