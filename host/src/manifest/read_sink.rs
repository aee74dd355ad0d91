//! A sink's own keys: what it gets (`routes`, `transforms`) and what the host does around it (`policy`).

use std::time::Duration;

use pgcdc_core::pressure::Priority;

use super::fields::{self, Fields};
use super::model::{Backoff, Breaker, OnFull, Policy, Sink};
use super::problem::Problems;
use super::read::{CONNECTOR, connector, transforms};
use super::source::At;
use super::tree::Node;

/// How long a breaker stays open when nobody says.
pub(crate) const BREAKER_RESET_DEFAULT: Duration = Duration::from_secs(60);

/// One entry of `sinks`.
pub(super) fn sink(node: &Node, name: At<String>, problems: &mut Problems) -> Option<Sink> {
    let known = [CONNECTOR, &["routes", "transforms", "policy"]].concat();
    let path = format!("sinks.{}.transforms", name.value);
    let connector = connector(node, name, &known, problems)?;
    let fields =
        Fields::new(node, &connector.name.value, &known, &mut Problems::new(problems.source().clone()))?;
    Some(Sink {
        routes: fields.read("routes", problems, routes),
        transforms: transforms(&fields, &path, problems),
        policy: fields.read("policy", problems, policy).unwrap_or_default(),
        connector,
    })
}

fn routes(node: &Node, what: &str, problems: &mut Problems) -> Option<Vec<At<String>>> {
    let channels = fields::names(node, what, problems)?;
    if fields::list(node, what, problems)?.is_empty() {
        let help = "leave `routes` out to send everything, or name channels such as pgcdc:orders";
        problems.error_with(node.span, "a sink with no routes gets nothing", Some(help.to_owned()));
        return None;
    }
    for (index, channel) in channels.iter().enumerate() {
        if channels.iter().take(index).any(|earlier| earlier == channel) {
            problems.warning(channel.span, "this channel is named twice");
        }
        if channel.value.contains('*') {
            problems.warning(channel.span, "routes match whole channel names; `*` is not a wildcard");
        }
    }
    Some(channels)
}

fn policy(node: &Node, what: &str, problems: &mut Problems) -> Option<Policy> {
    let known = [
        "retries",
        "backoff",
        "timeout",
        "rate_limit",
        "rate_burst",
        "breaker",
        "on_full",
        "overflow",
        "priority",
    ];
    let fields = Fields::new(node, what, &known, problems)?;
    let policy = Policy {
        retries: fields.read("retries", problems, fields::count(0)),
        backoff: fields.read("backoff", problems, backoff).unwrap_or_default(),
        timeout: fields.read("timeout", problems, fields::duration),
        rate_limit_per_second: fields.read("rate_limit", problems, fields::positive_number),
        rate_burst_events: fields.read("rate_burst", problems, fields::count(1)),
        breaker: fields.read("breaker", problems, breaker),
        on_full: fields.read("on_full", problems, fields::word(OnFull::WORDS, OnFull::from_word)),
        overflow_bytes: fields.read("overflow", problems, fields::size_or_none),
        priority: fields.read("priority", problems, fields::word(Priority::WORDS, Priority::from_word)),
    };
    if let (Some(node), None) = (fields.get("rate_burst"), fields.get("rate_limit")) {
        problems.error(node.span, "rate_burst means nothing without rate_limit");
    }
    Some(policy)
}

fn backoff(node: &Node, what: &str, problems: &mut Problems) -> Option<Backoff> {
    let fields = Fields::new(node, what, &["base", "cap"], problems)?;
    let base = fields.read("base", problems, fields::duration);
    let cap = fields.read("cap", problems, fields::duration);
    if let (Some(base), Some(cap)) = (base, cap)
        && cap < base
    {
        problems.error(node.span, "backoff.cap is shorter than backoff.base");
    }
    Some(Backoff { base, cap })
}

fn breaker(node: &Node, what: &str, problems: &mut Problems) -> Option<Breaker> {
    let fields = Fields::new(node, what, &["failures", "reset"], problems)?;
    let reset = match fields.get("reset") {
        None => BREAKER_RESET_DEFAULT,
        Some(node) => fields::duration(node, "reset", problems)?,
    };
    match fields.get("failures") {
        Some(node) => Some(Breaker { failures: fields::count(1)(node, "failures", problems)?, reset }),
        None => {
            problems.error(node.span, "breaker needs `failures`: after how many in a row it opens");
            None
        }
    }
}
