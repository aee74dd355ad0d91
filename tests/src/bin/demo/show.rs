//! One short line for each change, and one line below that says how fast they come.

use std::io::Write;
use std::time::{Duration, Instant};

use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::exact::Exact;

const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";
const VALUE_CHARS_MAX: usize = 32;
const RATE_EVERY: Duration = Duration::from_millis(500);

pub(crate) struct Show {
    colour: bool,
    changes: u64,
    begun: Instant,
    rated: (Instant, u64),
    rate: f64,
}

impl Show {
    pub(crate) fn new(colour: bool) -> Self {
        let now = Instant::now();
        Self { colour, changes: 0, begun: now, rated: (now, 0), rate: 0.0 }
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    pub(crate) fn change(&mut self, event: &Event) {
        self.changes += 1;
        let (sign, colour) = match event.operation.as_str() {
            "INSERT" => ('+', GREEN),
            "UPDATE" => ('~', YELLOW),
            "DELETE" => ('-', RED),
            _ => ('!', RED),
        };
        let table = event.table().unwrap_or(&event.channel);
        self.clear_status();
        println!("{}{sign} {table:<10}{} {}", self.paint(colour), self.paint(PLAIN), columns(event));
        self.status();
    }

    /// Says what it was in all.
    pub(crate) fn close(&mut self) {
        self.clear_status();
        println!("{} changes in {:.0} seconds", self.changes, self.begun.elapsed().as_secs_f64());
    }

    fn status(&mut self) {
        let (at, before) = self.rated;
        if at.elapsed() >= RATE_EVERY {
            self.rate = f64::from(u32::try_from(self.changes - before).unwrap_or(u32::MAX))
                / at.elapsed().as_secs_f64();
            self.rated = (Instant::now(), self.changes);
        }
        if self.colour {
            print!("{DIM}{} changes, {:.0} a second; Ctrl-C ends{PLAIN}", self.changes, self.rate);
            let _ = std::io::stdout().flush();
        }
    }

    fn clear_status(&self) {
        if self.colour {
            print!("\r\x1b[2K");
        }
    }

    fn paint(&self, colour: &'static str) -> &'static str {
        if self.colour { colour } else { "" }
    }
}

/// `id 5 · status new → paid`: the key, and of an update only what has changed.
fn columns(event: &Event) -> String {
    let (Exact::Object(row), old) = (event.row(), event.old()) else { return String::new() };
    let shown = row.iter().filter_map(|(name, value)| {
        let before = old.get(name).filter(|before| *before != value);
        match before {
            Some(before) => Some(format!("{name} {} \u{2192} {}", short(before), short(value))),
            None if *old == Exact::Null || name == "id" => Some(format!("{name} {}", short(value))),
            None => None,
        }
    });
    // The key first; the rest as it comes.
    let (mut shown, rest): (Vec<String>, Vec<String>) = shown.partition(|text| text.starts_with("id "));
    shown.extend(rest);
    shown.join(" \u{b7} ")
}

fn short(value: &Exact) -> String {
    let text = value.text().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text,
    }
}
