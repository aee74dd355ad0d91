//! The flags of `listen` to a manifest: the same structure as a file's, checked by the same code.
//!
//! A flag that was typed wins over `PGCDC_<FLAG>`. A secret or an endpoint from a variable stays a reference to
//! it. The error lists everything that does not fit, one line each, and never a value.

use std::path::PathBuf;

use pgcdc_core::pressure::Priority;

use super::args::{Global, Listen};
use super::flags::{self, Flag, Form, Given, Target, What};
use crate::manifest::description::{Description, Kind};
use crate::manifest::interpolate::Lookup;
use crate::manifest::model::{Connector, Dlq, Manifest, NamedSecret, Place, Policy, SecretFrom, Sink, Use};
use crate::manifest::nearest::hint;
use crate::manifest::read::window;
use crate::manifest::schema::{Meaning, Schema, Type};
use crate::manifest::source::{At, Source, Span};
use crate::manifest::tree::{Node, Text, Value};

/// Makes the manifest. Its configs are not checked yet.
pub fn manifest(
    listen: &Listen,
    global: &Global,
    given: &[Given],
    shipped: &[Description],
    lookup: Lookup<'_>,
) -> Result<Manifest, String> {
    let mut build = Build { shipped, lookup, problems: Vec::new(), manifest: empty(listen, global) };
    build.select(listen, given);
    build.retries(listen);
    build.envelopes(listen);
    for flag in &flags::table(shipped) {
        build.apply(flag, given.iter().find(|given| given.flag == flag.name));
    }
    build.fixed_lists(listen, given);
    build.manifest.transforms.sort_by_key(|transform| is_envelope(&transform.uses.value));
    build.routes(&listen.route);
    build.priorities(&listen.adapter_priority);
    if build.problems.is_empty() { Ok(build.manifest) } else { Err(build.problems.join("\n")) }
}

fn empty(listen: &Listen, global: &Global) -> Manifest {
    let place = Place {
        source: Source::new("pgcdc listen", ""),
        root: Node::empty_map(Span::default()),
        folder: PathBuf::new(),
        from_flags: true,
    };
    Manifest {
        detectors: Vec::new(),
        transforms: Vec::new(),
        sinks: Vec::new(),
        dlq: None,
        checkpoint: None,
        secrets: Vec::new(),
        settings: listen.host.overrides(global),
        place,
    }
}

/// Transforms that put a payload of their own in the place of rows, so that the others come before them.
const ENVELOPES: [&str; 2] = ["debezium", "cloudevents"];

fn is_envelope(uses: &Use) -> bool {
    matches!(uses, Use::Shipped(name) if ENVELOPES.contains(&name.as_str()))
}

struct Build<'a> {
    shipped: &'a [Description],
    lookup: Lookup<'a>,
    problems: Vec<String>,
    manifest: Manifest,
}

impl Build<'_> {
    fn select(&mut self, listen: &Listen, given: &[Given]) {
        let all_tables = given
            .iter()
            .any(|given| given.flag == "all-tables" && given.values.iter().any(|value| value == "true"));
        let detector = match (listen.detector.as_str(), all_tables) {
            // Every table means the log: NOTIFY knows only tables with a trigger.
            ("listen_notify", true) => "wal",
            (detector, _) => detector,
        };
        self.known(Kind::Source, "--detector", detector);
        self.manifest.detectors.push(Connector::shipped(detector, detector));
        let stdout = ["stdout".to_owned()];
        let adapters = if listen.adapter.is_empty() { &stdout } else { listen.adapter.as_slice() };
        for adapter in adapters {
            self.sink(adapter);
        }
        let window = window(listen.dlq_window_size, listen.dlq_window_threshold);
        let dlq = listen.dlq.clone().or_else(|| window.map(|_| "stderr".to_owned()));
        if let Some(dlq) = &dlq {
            if dlq != "none" {
                self.known(Kind::Dlq, "--dlq", dlq);
            }
            let connector =
                Connector { name: At::nowhere("dlq".to_owned()), ..Connector::shipped("dlq", dlq) };
            self.manifest.dlq = Some(Dlq { connector, raw: false, window });
        }
        if let Some(store) = &listen.checkpoint {
            self.known(Kind::CheckpointStore, "--checkpoint", store);
            self.manifest.checkpoint = Some(Connector::shipped("checkpoint", store));
        }
    }

    fn sink(&mut self, adapter: &str) {
        let mut connector = Connector::shipped(adapter, adapter);
        if adapter.ends_with(".wasm") {
            let path = PathBuf::from(adapter);
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(adapter);
            connector.name.value =
                stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            connector.uses.value = Use::File(path);
        } else {
            self.known(Kind::Sink, "--adapter", adapter);
        }
        if self.manifest.sinks.iter().any(|sink| sink.connector.name == connector.name) {
            self.problems.push(format!("--adapter names `{}` twice", connector.name.value));
            return;
        }
        self.manifest.sinks.push(Sink {
            connector,
            routes: None,
            transforms: Vec::new(),
            policy: Policy::default(),
        });
    }

    fn known(&mut self, kind: Kind, flag: &str, name: &str) {
        let mut names = self.shipped.iter().filter(|known| known.is(kind)).map(|known| known.name.as_str());
        if !names.any(|known| known == name) {
            let names = self.shipped.iter().filter(|known| known.is(kind)).map(|known| known.name.as_str());
            let hint = hint(name, names).map(|hint| format!("; {hint}")).unwrap_or_default();
            self.problems.push(format!("{flag}: there is no {} `{name}`{hint}", kind.as_str()));
        }
    }

    fn retries(&mut self, listen: &Listen) {
        for sink in &mut self.manifest.sinks {
            sink.policy.retries = listen.retries;
        }
    }

    /// `--debezium-envelope` and `--cloudevents-envelope`; what these transforms have of options has flags of its own.
    fn envelopes(&mut self, listen: &Listen) {
        for (name, wanted) in
            ENVELOPES.into_iter().zip([listen.debezium_envelope, listen.cloudevents_envelope])
        {
            if wanted {
                self.known(Kind::Transform, &format!("--{name}-envelope"), name);
                self.transform(name);
            }
        }
    }

    /// One flag of the table: typed, from the environment, or absent.
    fn apply(&mut self, flag: &Flag, given: Option<&Given>) {
        let selected: Vec<&Target> =
            flag.targets.iter().filter(|target| self.is_selected(target, given)).collect();
        let Some(given) = given else {
            let found =
                flags::variables(&flag.name).into_iter().find_map(|name| Some(((self.lookup)(&name)?, name)));
            if let Some((value, variable)) = found {
                let Ok(value) = value.into_string() else {
                    self.problems.push(format!("the environment variable {variable} is not valid UTF-8"));
                    return;
                };
                let texts = match flag.form {
                    Form::Many | Form::Pairs => value.split(',').map(Text::plain).collect(),
                    Form::One | Form::Truth => {
                        vec![Text::from_variables(&value, &format!("${{{variable}}}"))]
                    }
                };
                for target in selected {
                    self.set(flag, target, &texts, Some(&variable));
                }
            }
            return;
        };
        if selected.is_empty() {
            let owner = |target: &Target| match target.kind {
                Kind::Source => format!("--detector {}", target.connector),
                Kind::Dlq => format!("--dlq {}", target.connector),
                Kind::CheckpointStore => format!("--checkpoint {}", target.connector),
                Kind::Sink | Kind::Transform => format!("--adapter {}", target.connector),
            };
            let owners: Vec<String> = flag.targets.iter().map(owner).collect();
            self.problems.push(format!("--{} means nothing without {}", flag.name, owners.join(" or ")));
            return;
        }
        let texts: Vec<Text> = given.values.iter().map(|value| Text::plain(value)).collect();
        for target in selected {
            self.set(flag, target, &texts, None);
        }
    }

    /// Is the target's connector in use? A transform comes into use by a flag of its own that is typed.
    fn is_selected(&self, target: &Target, given: Option<&Given>) -> bool {
        let uses = |connector: &Connector| connector.uses.value == Use::Shipped(target.connector.clone());
        match target.kind {
            Kind::Source => self.manifest.detectors.iter().any(uses),
            Kind::Sink => self.manifest.sinks.iter().any(|sink| uses(&sink.connector)),
            Kind::Dlq => self.manifest.dlq.iter().any(|dlq| uses(&dlq.connector)),
            Kind::CheckpointStore => self.manifest.checkpoint.iter().any(uses),
            Kind::Transform => given.is_some() || self.manifest.transforms.iter().any(uses),
        }
    }

    fn set(&mut self, flag: &Flag, target: &Target, texts: &[Text], variable: Option<&str>) {
        let path = match &target.what {
            What::Property(path) => path,
            What::Policy(policy) => {
                let sinks = self.manifest.sinks.iter_mut();
                let named =
                    sinks.filter(|sink| sink.connector.uses.value == Use::Shipped(target.connector.clone()));
                for sink in named {
                    if let Some(Err(want)) =
                        texts.last().map(|text| policy.set(&mut sink.policy, text.expose()))
                    {
                        self.problems.push(format!("--{} needs {want}", flag.name));
                    }
                }
                return;
            }
        };
        let description =
            self.shipped.iter().find(|known| known.is(target.kind) && known.name == target.connector);
        let Some(schema) = description.and_then(|description| property(&description.config, path)) else {
            return;
        };
        let node = match (schema.meaning(), variable) {
            (Meaning::Secret, Some(variable)) => self.secret(&flag.name, variable),
            _ => match node(schema, flag.form, texts) {
                Ok(node) => node,
                Err(want) => {
                    self.problems.push(format!("--{} needs {want}", flag.name));
                    return;
                }
            },
        };
        if let Some(connector) = self.connector(target) {
            set_path(&mut connector.config, path, node);
        }
    }

    fn secret(&mut self, flag: &str, variable: &str) -> Node {
        let name = flag.replace('-', "_");
        if !self.manifest.secrets.iter().any(|secret| secret.name.value == name) {
            let from = SecretFrom::Env(variable.to_owned());
            self.manifest.secrets.push(NamedSecret { name: At::nowhere(name.clone()), from });
        }
        let mut reference = Node::empty_map(Span::default());
        reference.set("secret", Node::text(&name));
        reference
    }

    fn connector(&mut self, target: &Target) -> Option<&mut Connector> {
        let uses = Use::Shipped(target.connector.clone());
        match target.kind {
            Kind::Source => self.manifest.detectors.iter_mut().find(|each| each.uses.value == uses),
            Kind::Sink => {
                let mut connectors = self.manifest.sinks.iter_mut().map(|sink| &mut sink.connector);
                connectors.find(|each| each.uses.value == uses)
            }
            Kind::Dlq => self.manifest.dlq.as_mut().map(|dlq| &mut dlq.connector),
            Kind::CheckpointStore => self.manifest.checkpoint.as_mut(),
            Kind::Transform => Some(self.transform(&target.connector)),
        }
    }

    fn transform(&mut self, name: &str) -> &mut Connector {
        let uses = Use::Shipped(name.to_owned());
        let transforms = &mut self.manifest.transforms;
        let at = transforms.iter().position(|each| each.uses.value == uses).unwrap_or_else(|| {
            transforms.push(Connector::shipped(&format!("transforms.{}", transforms.len()), name));
            transforms.len() - 1
        });
        &mut transforms[at]
    }

    /// `--drop-columns`, `--filter-operations` and `--channel` have a fixed name; what they set is a
    /// property like any other, unless a description claims the flag.
    fn fixed_lists(&mut self, listen: &Listen, given: &[Given]) {
        let claimed = |flag: &str| given.iter().any(|given| given.flag == flag);
        let list = |items: &[String]| {
            Node::nowhere(Value::List(items.iter().map(|item| Node::text(item)).collect()))
        };
        let shortcuts = [
            ("drop-columns", "drop_columns", "columns", &listen.drop_columns),
            ("filter-operations", "filter", "operations", &listen.filter_operations),
        ];
        for (flag, transform, property, items) in shortcuts {
            if !items.is_empty() && !claimed(flag) {
                self.known(Kind::Transform, &format!("--{flag}"), transform);
                self.transform(transform).config.set(property, list(items));
            }
        }
        if !listen.channel.is_empty() && !claimed("channel") {
            let detector = self.manifest.detectors.first_mut();
            let description = detector.as_ref().and_then(|detector| {
                self.shipped.iter().find(|known| known.is(Kind::Source) && known.name == detector.name.value)
            });
            match (description, detector) {
                (Some(description), Some(detector))
                    if description.config.properties.contains_key("channels") =>
                {
                    detector.config.set("channels", list(&listen.channel));
                }
                _ => self.problems.push("--channel means nothing for this detector".to_owned()),
            }
        }
    }

    fn routes(&mut self, routes: &[String]) {
        for route in routes {
            let Some((name, channels)) = route.split_once('=') else {
                self.problems.push("--route needs SINK=CHANNEL,…".to_owned());
                continue;
            };
            let channels = channels.split(',').filter(|channel| !channel.is_empty());
            let channels: Vec<At<String>> = channels.map(|channel| At::nowhere(channel.to_owned())).collect();
            if channels.is_empty() {
                self.problems.push(format!("--route {name}= names no channel: the sink would get nothing"));
                continue;
            }
            let sink = self.manifest.sinks.iter_mut().find(|sink| sink.connector.name.value == name);
            match sink {
                Some(sink) => sink.routes.get_or_insert_default().extend(channels),
                None => {
                    let names = self.manifest.sinks.iter().map(|sink| sink.connector.name.value.as_str());
                    let hint = hint(name, names).map(|hint| format!("; {hint}")).unwrap_or_default();
                    self.problems.push(format!("--route: there is no adapter `{name}`{hint}"));
                }
            }
        }
    }
}

impl Build<'_> {
    /// `--adapter-priority name=level`.
    fn priorities(&mut self, given: &[String]) {
        for line in given {
            let Some((name, word)) = line.split_once('=') else {
                self.problems.push("--adapter-priority needs SINK=PRIORITY".to_owned());
                continue;
            };
            let Some(priority) = Priority::from_word(word) else {
                let words = Priority::WORDS.join(", ");
                self.problems
                    .push(format!("--adapter-priority {name}: unknown adapter priority; wanted: {words}"));
                continue;
            };
            let sink = self.manifest.sinks.iter_mut().find(|sink| sink.connector.name.value == name);
            match sink {
                Some(sink) => sink.policy.priority = Some(priority),
                None => {
                    let names = self.manifest.sinks.iter().map(|sink| sink.connector.name.value.as_str());
                    let hint = hint(name, names).map(|hint| format!("; {hint}")).unwrap_or_default();
                    self.problems.push(format!("--adapter-priority: there is no adapter `{name}`{hint}"));
                }
            }
        }
    }
}

/// The schema at a path of plain objects.
fn property<'s>(schema: &'s Schema, path: &str) -> Option<&'s Schema> {
    path.split('.').try_fold(schema, |schema, key| schema.properties.get(key))
}

/// Sets a property, making the objects above it.
fn set_path(config: &mut Node, path: &str, value: Node) {
    match path.split_once('.') {
        None => config.set(path, value),
        Some((outer, inner)) => {
            let mut nested = config.get(outer).cloned().unwrap_or_else(|| Node::empty_map(Span::default()));
            set_path(&mut nested, inner, value);
            config.set(outer, nested);
        }
    }
}

/// What was typed, as the schema's type where it reads as one. What does not is left as text, and the
/// check says what is wrong with it.
fn node(schema: &Schema, form: Form, texts: &[Text]) -> Result<Node, &'static str> {
    let scalar = |schema: &Schema, text: &Text| {
        let typed = text.expose();
        let value = match schema.kind {
            _ if text.spelled().is_some() => None,
            Some(Type::Integer) => typed.parse().ok().map(Value::Integer),
            Some(Type::Number) => typed.parse().ok().map(Value::Float),
            Some(Type::Boolean) => typed.parse().ok().map(Value::Bool),
            _ => None,
        };
        Node::nowhere(value.unwrap_or_else(|| Value::Text(text.clone())))
    };
    match form {
        Form::One | Form::Truth => texts.last().map(|text| scalar(schema, text)).ok_or("a value"),
        Form::Many => {
            let any = Schema::default();
            let items = schema.items.as_deref().unwrap_or(&any);
            Ok(Node::nowhere(Value::List(texts.iter().map(|text| scalar(items, text)).collect())))
        }
        Form::Pairs => {
            let mut map = Node::empty_map(Span::default());
            for text in texts {
                let (key, value) = text.expose().split_once('=').ok_or("KEY=VALUE")?;
                map.set(key, Node::text(value));
            }
            Ok(map)
        }
    }
}
