//! The `edge-lb` binary: run the proxy, check a configuration, watch a demo, ask and steer a proxy that runs.
//!
//! Everything that can be had by a library is in the `edge-lb` crate; here are the arguments, the log, the signals and the demo's show.

mod args;
mod check;
mod demo;
mod failure;
mod geo;
mod limits;
mod logging;
mod remote;
mod run;
mod signals;
mod style;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use failure::Failure;
use std::io::Write;
use std::process::ExitCode;

/// Many small buffers are taken and given back by several threads: mimalloc does that with less work than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::check(&args),
        Command::Demo(args) => demo::demo(&args),
        Command::Status(args) => remote::status(&args),
        Command::Explain(args) => remote::explain(&args),
        Command::Breaker(args) => remote::breaker(&args),
        Command::Backend(command) => remote::backend(&command),
        Command::Sessions(command) => remote::sessions(&command),
        Command::Split(command) => remote::split(&command),
        Command::Rollout(command) => remote::rollout(&command),
        Command::Geo(args) => geo::geo(args),
        Command::DemoInstance { address } => demo::elastic::instance(address),
        Command::Completions { shell } => completions(shell),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    // Written to memory first: the generator panics when its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "edge-lb", &mut script);
    std::io::stdout().write_all(&script).map_err(failure::stdout_gone)
}
