//! What an author writes between the braces of `connector!`.

use proc_macro2::{Ident, Span};
use syn::parse::{Parse, ParseStream};
use syn::{LitStr, Path, Token, braced};

/// The five kinds; each is a world of the contract.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Source,
    Transform,
    Sink,
    Dlq,
    CheckpointStore,
}

/// One component: which type implements it, and what it says of itself.
pub(crate) struct Arguments {
    pub(crate) kind: Kind,
    pub(crate) implementation: Path,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) delivery: String,
    pub(crate) docs: String,
    pub(crate) example: String,
    /// Interface and reason.
    pub(crate) capabilities: Vec<(String, String)>,
}

impl Kind {
    fn of(key: &str) -> Option<Self> {
        Some(match key {
            "source" => Self::Source,
            "transform" => Self::Transform,
            "sink" => Self::Sink,
            "dlq" => Self::Dlq,
            "checkpoint_store" => Self::CheckpointStore,
            _ => return None,
        })
    }

    /// As manifests and descriptions spell it, and worlds with `-connector` after it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Transform => "transform",
            Self::Sink => "sink",
            Self::Dlq => "dlq",
            Self::CheckpointStore => "checkpoint-store",
        }
    }

    pub(crate) fn trait_name(self) -> Ident {
        let name = match self {
            Self::Source => "Source",
            Self::Transform => "Transform",
            Self::Sink => "Sink",
            Self::Dlq => "Dlq",
            Self::CheckpointStore => "CheckpointStore",
        };
        Ident::new(name, Span::call_site())
    }
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut implemented: Option<(Kind, Path)> = None;
        let (mut name, mut description) = (None, None);
        let (mut delivery, mut docs, mut example) = (String::new(), String::new(), String::new());
        let mut capabilities = Vec::new();
        while !input.is_empty() {
            let key: Ident = input.parse()?;
            input.parse::<Token![:]>()?;
            match key.to_string().as_str() {
                "name" => name = Some(text(input)?),
                "description" => description = Some(text(input)?),
                "delivery" => delivery = text(input)?,
                "docs" => docs = text(input)?,
                "example" => example = text(input)?,
                "capabilities" => capabilities = reasons(input)?,
                other => match (Kind::of(other), &implemented) {
                    (Some(kind), None) => implemented = Some((kind, input.parse()?)),
                    (Some(_), Some(_)) => {
                        return Err(syn::Error::new(key.span(), "a component is of one kind"));
                    }
                    (None, _) => return Err(unknown(&key)),
                },
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let Some((kind, implementation)) = implemented else {
            return Err(input.error("say what this is, e.g. `sink: MySink`"));
        };
        Ok(Self { kind, implementation, name, description, delivery, docs, example, capabilities })
    }
}

fn text(input: ParseStream<'_>) -> syn::Result<String> {
    Ok(input.parse::<LitStr>()?.value())
}

fn reasons(input: ParseStream<'_>) -> syn::Result<Vec<(String, String)>> {
    let content;
    braced!(content in input);
    let entries = content.parse_terminated(
        |entry| {
            let interface: Ident = entry.parse()?;
            entry.parse::<Token![:]>()?;
            Ok((interface.to_string(), entry.parse::<LitStr>()?.value()))
        },
        Token![,],
    )?;
    Ok(entries.into_iter().collect())
}

fn unknown(key: &Ident) -> syn::Error {
    let message = format!(
        "unknown key `{key}`; there are source, transform, sink, dlq, checkpoint_store, and name, description, \
         delivery, docs, example, capabilities"
    );
    syn::Error::new(key.span(), message)
}
