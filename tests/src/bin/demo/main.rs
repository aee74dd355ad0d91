//! `make demo`: a small shop, somebody who keeps changing it, and pgcdc telling what changes.
//!
//! Uses a throwaway PostgreSQL, or the one at `DATABASE_URL`, there in a schema of its own. Ctrl-C ends it;
//! nothing is left behind.

mod shop;
mod show;
mod stage;

use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{ExitCode, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::event::Event;
use pgcdc_tests::support::pgcdc::Pgcdc;

use show::Show;
use stage::Stage;

/// Lines that wait to be shown; a slow terminal holds pgcdc back, as any sink may.
const LINES_MAX: usize = 256;

enum Message {
    Line(String),
    Ended,
    Interrupted,
}

fn main() -> ExitCode {
    let changes_max = match arguments() {
        Ok(changes_max) => changes_max,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    let (sender, messages) = sync_channel(LINES_MAX);
    interrupt(sender.clone());
    match run(sender, messages, changes_max) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("demo: {why}");
            ExitCode::FAILURE
        }
    }
}

/// `--changes N` ends the demo by itself.
fn arguments() -> Result<u64, String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => Ok(u64::MAX),
        [flag, count] if flag == "--changes" => {
            count.parse().map_err(|_| format!("--changes takes a number, not {count:?}"))
        }
        _ => {
            Err("usage: demo [--changes N]; DATABASE_URL names a server to use instead of a throwaway"
                .to_owned())
        }
    }
}

fn run(sender: SyncSender<Message>, messages: Receiver<Message>, changes_max: u64) -> Result<(), String> {
    let stage = Stage::set()?;
    let desk = Desk::new();
    let manifest = stage.manifest();
    println!("{manifest}");
    desk.write("pgcdc.yaml", &manifest);
    let mut command = Pgcdc::command(desk.folder(), &[("DATABASE_URL", stage.url())]);
    command.args(["run", "pgcdc.yaml"]).stdout(Stdio::piped());
    let mut pgcdc = Pgcdc::spawn(command);
    let output = pgcdc.take_stdout().ok_or("pgcdc has no standard output")?;
    std::thread::spawn(move || forward(output, &sender));

    let shop = shop::open(stage.url(), stage.schema());
    let mut show = Show::new(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let ended = loop {
        match messages.recv() {
            Ok(Message::Line(line)) => show.change(&Event::parse(&line)),
            Ok(Message::Interrupted) => break false,
            Ok(Message::Ended) | Err(_) => break true,
        }
        if show.changes() >= changes_max {
            break false;
        }
    };
    shop.close();
    show.close();
    // What pgcdc still has to say must find a reader, or it could not end in order.
    let rest =
        std::thread::spawn(move || messages.iter().take_while(|m| !matches!(m, Message::Ended)).count());
    let exit = pgcdc.stop();
    let _ = rest.join();
    match exit.code() {
        Some(0) if !ended => Ok(()),
        _ => Err(format!("pgcdc ended by itself ({}):\n{}", exit.status, exit.stderr)),
    }
}

fn forward(output: impl std::io::Read, sender: &SyncSender<Message>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if sender.send(Message::Line(line)).is_err() {
            return;
        }
    }
    let _ = sender.send(Message::Ended);
}

/// Ctrl-C, a closed terminal and `kill` end the demo in order.
fn interrupt(sender: SyncSender<Message>) {
    use tokio::signal::unix::{SignalKind, signal};
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let (Ok(mut terminated), Ok(mut hung_up)) =
                (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
            else {
                return;
            };
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
                _ = hung_up.recv() => {}
            }
        });
        let _ = sender.send(Message::Interrupted);
    });
}
