//! The flags that connectors bring to `listen`: a table made of descriptions, and what was given for it.
//!
//! Invariants: two connectors may share a flag (`--db`), and it goes to those that are selected; a
//! name that a fixed flag of `listen` has is never registered twice; a value is text here, and judged
//! by the connector's schema later.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};

use super::policy_flags::PolicyFlag;
use super::table::{first_line, printable};
use crate::manifest::description::{Description, Kind};
use crate::manifest::flag_name;
use crate::manifest::schema::{Additional, Meaning, Schema, Type, join};

/// One flag and everything that it may set.
#[derive(Clone, Debug)]
pub struct Flag {
    /// Without dashes.
    pub name: String,
    short: Option<char>,
    heading: String,
    help: String,
    value_name: &'static str,
    /// How it is given.
    pub form: Form,
    /// One or more; all of the same form.
    pub targets: Vec<Target>,
}

/// How a flag is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Once.
    One,
    /// With or without `=true` or `=false`.
    Truth,
    /// Repeatedly, or with commas.
    Many,
    /// `key=value`, repeatedly.
    Pairs,
}

/// What a flag sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The connector's kind.
    pub kind: Kind,
    /// Its name.
    pub connector: String,
    /// Which of its settings.
    pub what: What,
}

/// A setting of a connector, or of the host around it.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The path of a property of its config.
    Property(String),
    /// The host's part.
    Policy(PolicyFlag),
}

/// A flag that was typed.
#[derive(Clone, PartialEq, Eq)]
pub struct Given {
    /// The flag's name.
    pub flag: String,
    /// What was typed, in order. May be secret.
    pub values: Vec<String>,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "--{} ***", self.flag)
    }
}

/// Every flag of every connector, in the order of the descriptions.
pub fn table(shipped: &[Description]) -> Vec<Flag> {
    let mut flags = Vec::new();
    for description in shipped {
        for kind in &description.kinds {
            properties(&mut flags, description, *kind, &description.config, "");
            if *kind == Kind::Sink {
                policies(&mut flags, description);
            }
        }
    }
    flags
}

fn properties(flags: &mut Vec<Flag>, description: &Description, kind: Kind, schema: &Schema, path: &str) {
    for (name, property) in &schema.properties {
        let here = join(path, name);
        let Some(form) = form(property) else {
            properties(flags, description, kind, property, &here);
            continue;
        };
        let Some(flag) = flag_name::of(description, kind, &here, property) else { continue };
        let target = Target { kind, connector: description.name.clone(), what: What::Property(here) };
        add(
            flags,
            Flag {
                name: flag,
                short: property.short.filter(char::is_ascii_alphabetic),
                heading: format!("{} {}", kind.as_str(), description.name),
                help: help(property),
                value_name: value_name(property),
                form,
                targets: vec![target],
            },
        );
    }
}

fn policies(flags: &mut Vec<Flag>, description: &Description) {
    for (policy, end, value_name, help) in PolicyFlag::ALL {
        let name = format!("{}-{end}", description.name.replace('_', "-"));
        // A connector's own setting has the name first.
        if flags.iter().any(|known| known.name == name) {
            continue;
        }
        let what = What::Policy(policy);
        add(
            flags,
            Flag {
                name,
                short: None,
                heading: format!("sink {}", description.name),
                help: help.to_owned(),
                value_name,
                form: Form::One,
                targets: vec![Target { kind: Kind::Sink, connector: description.name.clone(), what }],
            },
        );
    }
}

/// A flag that is there already takes the further target, if it is given in the same way.
fn add(flags: &mut Vec<Flag>, flag: Flag) {
    match flags.iter_mut().find(|known| known.name == flag.name) {
        None => flags.push(flag),
        Some(known) if known.form == flag.form => known.targets.extend(flag.targets),
        Some(_) => {}
    }
}

/// `None` for what has no flag of its own: a nested object, whose properties have, or a list of objects.
fn form(schema: &Schema) -> Option<Form> {
    let scalar = |schema: &Schema| !matches!(schema.kind, Some(Type::Array | Type::Object));
    match (schema.kind, &schema.items, &schema.additional_properties) {
        (Some(Type::Boolean), ..) => Some(Form::Truth),
        (Some(Type::Array), Some(items), _) => scalar(items).then_some(Form::Many),
        (Some(Type::Array), None, _) => Some(Form::Many),
        (Some(Type::Object), _, Some(Additional::Like(values))) => scalar(values).then_some(Form::Pairs),
        (Some(Type::Object), ..) => None,
        (Some(_), ..) => Some(Form::One),
        (None, ..) => (schema.meaning() != Meaning::Plain || schema.allowed.is_some()).then_some(Form::One),
    }
}

fn value_name(schema: &Schema) -> &'static str {
    match (schema.meaning(), schema.kind) {
        (Meaning::Secret, _) => "SECRET",
        (Meaning::Endpoint("http"), _) => "URL",
        (Meaning::Endpoint("file"), _) => "PATH",
        (Meaning::Endpoint("folder"), _) => "FOLDER",
        (Meaning::Endpoint(_), _) => "ENDPOINT",
        (Meaning::Duration, _) => "DURATION",
        (Meaning::Bytes, _) => "SIZE",
        (_, Some(Type::Integer | Type::Number)) => "N",
        (_, Some(Type::Boolean)) => "BOOL",
        (_, Some(Type::Array)) => "LIST",
        (_, Some(Type::Object)) => "KEY=VALUE",
        _ => "TEXT",
    }
}

fn help(schema: &Schema) -> String {
    let mut help = first_line(schema.description.as_deref().unwrap_or("")).trim_end_matches('.').to_owned();
    if let Some(allowed) = &schema.allowed {
        let words: Vec<&str> = allowed.iter().filter_map(|word| word.as_str()).collect();
        help.push_str(&printable(&format!(" [{}]", words.join(", "))));
    }
    match &schema.default {
        Some(serde_json::Value::String(default)) if !default.is_empty() => {
            help.push_str(&printable(&format!(" [default: {default}]")));
        }
        Some(default @ (serde_json::Value::Number(_) | serde_json::Value::Bool(true))) => {
            help.push_str(&format!(" [default: {default}]"));
        }
        _ => {}
    }
    help
}

/// The variable that stands for a flag which was not typed.
pub(super) fn variables(flag: &str) -> Vec<String> {
    let own = format!("PGCDC_{}", flag.replace('-', "_").to_uppercase());
    if flag == "db" { vec!["PGCDC_DATABASE_URL".to_owned(), own] } else { vec![own] }
}

/// Adds the table to a command. Names and letters that the command has already are left alone.
pub fn register(mut command: clap::Command, flags: &[Flag]) -> clap::Command {
    for flag in flags {
        if command.get_arguments().any(|known| known.get_long() == Some(flag.name.as_str()))
            || RESERVED.contains(&flag.name.as_str())
        {
            continue;
        }
        let mut arg = Arg::new(flag.name.clone())
            .long(flag.name.clone())
            .help(flag.help.clone())
            .help_heading(flag.heading.clone())
            .value_name(flag.value_name)
            .hide_short_help(matches!(flag.targets.first(), Some(Target { what: What::Policy(_), .. })))
            .action(ArgAction::Set);
        arg = match flag.form {
            Form::One => arg,
            Form::Truth => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            Form::Many => arg.action(ArgAction::Append).value_delimiter(','),
            Form::Pairs => arg.action(ArgAction::Append),
        };
        let short = flag
            .short
            .filter(|short| !command.get_arguments().any(|known| known.get_short() == Some(*short)));
        command = command.arg(match short.filter(|short| *short != 'h') {
            Some(short) => arg.short(short),
            None => arg,
        });
    }
    command
}

/// Flags that every command has.
const RESERVED: [&str; 5] = ["config", "log-level", "log-format", "help", "version"];

/// What was typed on the command line, in the order of the table.
pub fn given(matches: &ArgMatches, flags: &[Flag]) -> Vec<Given> {
    let typed = |flag: &Flag| -> Option<Given> {
        let known = matches.try_contains_id(&flag.name).ok()?;
        if !known || matches.value_source(&flag.name) != Some(ValueSource::CommandLine) {
            return None;
        }
        // A fixed flag of another type has the name: it is not ours.
        let values = matches.try_get_many::<String>(&flag.name).ok()??.cloned().collect();
        Some(Given { flag: flag.name.clone(), values })
    };
    flags.iter().filter_map(typed).collect()
}
