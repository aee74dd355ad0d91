//! Texts that stand for something: endpoints, secrets, durations, sizes.
//!
//! Invariant: what an endpoint or a secret says never enters the guest's JSON; its name does.

use secrecy::SecretString;
use serde_json::Value as Json;

use super::address::Address;
use super::check_config::ConfigCheck;
use super::nearest::hint;
use super::quantity;
use super::ready::{Endpoint, EndpointAddress, SecretSource};
use super::schema::{Schema, join};
use super::source::Span;
use super::tree::{Node, Value};

/// What `print` puts in place of a secret.
pub(super) const PLACEHOLDER: &str = "***";

impl ConfigCheck<'_> {
    pub(super) fn duration(&mut self, node: &Node, path: &str) -> Option<Json> {
        self.problems.show(node.span);
        let text = match &node.value {
            Value::Text(text) => Some(text.expose()),
            Value::Integer(0) => Some("0s"),
            _ => None,
        };
        match text.filter(|text| quantity::duration(text).is_some()) {
            Some(text) => Some(Json::from(text)),
            None => self.wrong(node, path, "a duration such as 500ms, 10s or 1m30s"),
        }
    }

    pub(super) fn bytes(&mut self, schema: &Schema, node: &Node, path: &str) -> Option<Json> {
        self.problems.show(node.span);
        let bytes = match &node.value {
            Value::Text(text) => quantity::bytes(text.expose()),
            Value::Integer(value) => u64::try_from(*value).ok(),
            _ => None,
        };
        let Some(bytes) = bytes else {
            return self.wrong(node, path, "a size such as 65536, 64MiB or 100MB");
        };
        let json = Json::from(bytes);
        self.bounded(schema, node.span, path, &json)?;
        Some(json)
    }

    pub(super) fn endpoint(&mut self, kind: &str, node: &Node, path: &str) -> Option<Json> {
        let address = if let Some(reference) = secret_reference(node) {
            EndpointAddress::Secret(self.known_secret(reference, node.span)?)
        } else {
            let Value::Text(text) = &node.value else { return self.wrong(node, path, "text") };
            if text.expose().contains(PLACEHOLDER) {
                return self.placeholder(node, path);
            }
            match Address::parse(kind, text.expose()) {
                Ok(address) => EndpointAddress::Typed(address.under(&self.manifest.place.folder)),
                Err(error) => {
                    self.problems.error(node.span, format!("{} {error}", self.named(path)));
                    return None;
                }
            }
        };
        self.grants.endpoints.insert(path.to_owned(), Endpoint { kind: kind.to_owned(), address });
        Some(Json::from(path))
    }

    fn placeholder(&mut self, node: &Node, path: &str) -> Option<Json> {
        let message = format!("{} still holds the `{PLACEHOLDER}` of a printed manifest", self.named(path));
        let help = "put the value back, best as { secret: name } or ${VARIABLE}";
        self.problems.error_with(node.span, message, Some(help.to_owned()));
        None
    }

    pub(super) fn secret(&mut self, node: &Node, path: &str) -> Option<Json> {
        if let Some(reference) = secret_reference(node) {
            let name = self.known_secret(reference, node.span)?;
            return Some(Json::from(name));
        }
        let Value::Text(text) = &node.value else {
            return self.wrong(node, path, "text or { secret: name }");
        };
        match text.expose() {
            PLACEHOLDER => self.placeholder(node, path),
            "" => {
                self.problems.error(node.span, format!("{} is empty", self.named(path)));
                None
            }
            literal => {
                if text.spelled().is_none() && !self.manifest.place.source.slice(node.span).is_empty() {
                    let message = format!(
                        "{} is spelled out in the file; `secrets` keeps it elsewhere",
                        self.named(path)
                    );
                    self.problems.warning(node.span, message);
                }
                let name = join(self.path, path);
                self.secrets.insert(name.clone(), SecretSource::Literal(SecretString::from(literal)));
                self.grants.secrets.insert(name.clone());
                Some(Json::from(name))
            }
        }
    }

    /// The name, if `secrets` has it.
    fn known_secret(&mut self, reference: &Node, span: Span) -> Option<String> {
        self.problems.show(reference.span);
        let Value::Text(name) = &reference.value else {
            self.problems.error(span, "`secret` takes the name of an entry of `secrets`");
            return None;
        };
        let name = name.expose();
        if self.manifest.secrets.iter().any(|secret| secret.name.value == name) {
            self.grants.secrets.insert(name.to_owned());
            return Some(name.to_owned());
        }
        let names = self.manifest.secrets.iter().map(|secret| secret.name.value.as_str());
        let help =
            hint(name, names).unwrap_or_else(|| "add `secrets: { name: { env: VARIABLE } }`".to_owned());
        self.problems.error_with(reference.span, "there is no such secret under `secrets`", Some(help));
        None
    }
}

/// `{ secret: name }`.
pub(super) fn secret_reference(node: &Node) -> Option<&Node> {
    match node.entries() {
        [entry] if entry.key == "secret" => Some(&entry.value),
        _ => None,
    }
}
