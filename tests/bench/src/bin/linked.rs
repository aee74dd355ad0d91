//! pgcdc as it ships, but for `drop_columns` and `stdout`: these are linked instead of run as components.
//!
//! Same arguments, same manifest; see tests/bench/README.md for what is the same and what is not.

use std::process::ExitCode;
use std::sync::atomic::Ordering;

fn main() -> ExitCode {
    let calls = pgcdc_bench::Calls::default();
    if let Err(error) = pgcdc_bench::link_both(&calls) {
        eprintln!("Error: {error}");
        return ExitCode::FAILURE;
    }
    let code = pgcdc::cli::main::main();
    let [apply, write] = [&calls.apply, &calls.write].map(|calls| calls.load(Ordering::Relaxed));
    eprintln!("linked calls: {apply} of drop_columns, {write} of stdout");
    code
}
