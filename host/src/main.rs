//! Parses, wires, runs, exits.

use std::process::ExitCode;

fn main() -> ExitCode {
    pgcdc::cli::main::main()
}
