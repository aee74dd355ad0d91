//! `#[config(…)]` and doc comments.

use proc_macro2::TokenStream;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, MetaNameValue, Token};

/// What is said above a field or a variant.
#[derive(Default)]
pub(super) struct Attributes {
    pub(super) name: Option<String>,
    pub(super) flag: Option<String>,
    pub(super) short: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) table: Option<String>,
    pub(super) secret: bool,
    /// JSON text.
    pub(super) default: Option<String>,
    pub(super) minimum: Option<String>,
    pub(super) maximum: Option<String>,
    pub(super) description: String,
}

impl Attributes {
    pub(super) fn of(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut found = Self { description: documentation(attributes), ..Self::default() };
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("config")) {
            attribute.parse_nested_meta(|meta| found.read(&meta))?;
        }
        Ok(found)
    }

    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let Some(key) = meta.path.get_ident().map(ToString::to_string) else {
            return Err(meta.error("unknown key"));
        };
        match key.as_str() {
            "name" => self.name = Some(text(meta)?),
            "flag" => self.flag = Some(text(meta)?),
            "short" => self.short = Some(text(meta)?),
            "endpoint" => self.endpoint = Some(text(meta)?),
            "table" => self.table = Some(text(meta)?),
            "secret" => self.secret = true,
            "default" => self.default = Some(json(meta)?),
            "min" => self.minimum = Some(number(meta)?),
            "max" => self.maximum = Some(number(meta)?),
            _ => {
                let known = "there are name, flag, short, endpoint, table, secret, default, min, max";
                return Err(meta.error(format!("unknown key `{key}`; {known}")));
            }
        }
        Ok(())
    }
}

fn text(meta: &ParseNestedMeta<'_>) -> syn::Result<String> {
    Ok(meta.value()?.parse::<LitStr>()?.value())
}

fn number(meta: &ParseNestedMeta<'_>) -> syn::Result<String> {
    let value: TokenStream = literal(meta)?;
    let digits = value.to_string().replace([' ', '_'], "");
    match digits.parse::<f64>() {
        Ok(_) => Ok(digits),
        Err(_) => Err(meta.error("expected a number")),
    }
}

/// A literal (`5`, `-1`, `"10s"`, `true`) as JSON, or the text of `json("…")` as it is.
fn json(meta: &ParseNestedMeta<'_>) -> syn::Result<String> {
    if meta.input.peek(syn::token::Paren) {
        return Err(meta.error("write `default = …`"));
    }
    let input = meta.value()?;
    if input.peek(LitStr) {
        return Ok(quoted(&input.parse::<LitStr>()?.value()));
    }
    if input.peek(syn::LitBool) {
        return Ok(input.parse::<syn::LitBool>()?.value.to_string());
    }
    if input.peek(syn::token::Bracket) {
        let content;
        syn::bracketed!(content in input);
        let items = content.parse_terminated(<LitStr as syn::parse::Parse>::parse, Token![,])?;
        let items: Vec<String> = items.iter().map(|item| quoted(&item.value())).collect();
        return Ok(format!("[{}]", items.join(",")));
    }
    if input.peek(syn::token::Brace) {
        let content;
        syn::braced!(content in input);
        return if content.is_empty() { Ok("{}".to_owned()) } else { Err(content.error("expected `{}`")) };
    }
    signed(input)
}

fn literal(meta: &ParseNestedMeta<'_>) -> syn::Result<TokenStream> {
    let digits = signed(meta.value()?)?;
    digits.parse().map_err(|_| meta.error("expected a number"))
}

fn signed(input: syn::parse::ParseStream<'_>) -> syn::Result<String> {
    let minus = input.parse::<Option<Token![-]>>()?.map_or("", |_| "-");
    match input.parse::<Lit>()? {
        Lit::Int(digits) => Ok(format!("{minus}{}", digits.base10_digits())),
        Lit::Float(digits) => Ok(format!("{minus}{}", digits.base10_digits())),
        other => Err(syn::Error::new_spanned(
            other,
            "expected a text, a number, a truth value, a list of texts or {}",
        )),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            control if control.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// The doc comment as one paragraph a blank line apart.
fn documentation(attributes: &[Attribute]) -> String {
    let mut paragraphs: Vec<String> = vec![String::new()];
    for line in attributes.iter().filter_map(doc_line) {
        match (line.trim(), paragraphs.last_mut()) {
            ("", _) => paragraphs.push(String::new()),
            (words, Some(paragraph)) if !paragraph.is_empty() => {
                paragraph.push(' ');
                paragraph.push_str(words);
            }
            (words, _) => paragraphs.push(words.to_owned()),
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs.join("\n")
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        Meta::NameValue(MetaNameValue {
            path,
            value: Expr::Lit(ExprLit { lit: Lit::Str(text), .. }),
            ..
        }) if path.is_ident("doc") => Some(text.value()),
        _ => None,
    }
}
