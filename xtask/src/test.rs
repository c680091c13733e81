//! `cargo xtask test`: everything that the README promises, from a clean clone.
//!
//! Unit, property and integration tests of every crate, the end-to-end tests that start the real binary, the examples in the
//! documentation, and the loom models of the atomics. Stays far below the 30 minutes that CI allows on two cores; each step
//! has a limit, so that a test that hangs is a failure with a name.

use std::process::Command;
use std::time::Duration;

use clap::Args;

use crate::error::{Error, Result};
use crate::steps::Steps;
use crate::tools::{self, Tool};
use crate::workspace::{Workspace, cargo};

/// Programs that the tests start: the end-to-end tests, and those of shared stores.
const NEEDED: [Tool; 2] = [tools::CURL, tools::REDIS];

/// Features that no crate of the workspace asks for by itself, so that their tests run, too.
const FEATURES: &str = "lb-store/tls,lb-session/store,lb-geo/geo-data,lb-geo/mmap,lb-geo/http-providers,\
    lb-autoscale/kubernetes,lb-balancer/discovery-kubernetes";

/// A cold build on two cores, with room to spare.
const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);
/// The tests alone, once built.
const TEST_LIMIT: Duration = Duration::from_secs(8 * 60);
/// Building and running one crate's loom models.
const LOOM_LIMIT: Duration = Duration::from_secs(6 * 60);

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Leave out the loom models (they build the engine once more, with loom's atomics).
    #[arg(long)]
    fast: bool,
}

pub(crate) fn run(options: Options) -> Result<()> {
    let mut steps = Steps::default();
    add_steps(&mut steps, options)?;
    if steps.summary() { Ok(()) } else { Err(Error::new("some tests failed")) }
}

/// Finds what the tests start, or installs it.
pub(crate) fn install_tools() -> Result<()> {
    for tool in NEEDED {
        println!("{} {}", tool.program, tools::find_or_install(tool)?.display());
    }
    println!("kubectl {}", tools::kubernetes(&Workspace::load()?.target)?.display());
    Ok(())
}

/// The steps of this task, for `ci` to end with.
pub(crate) fn add_steps(steps: &mut Steps, options: Options) -> Result<()> {
    let workspace = Workspace::load()?;
    let tools_found = steps.check("tools", install_tools);
    // All that the tests need in one build: the binary, and every test with the same features.
    let mut build = cargo(&workspace.root);
    build.args(["build", "--workspace", "--bins", "--tests", "--features", FEATURES]);
    if tools_found && steps.command("build", &mut build, BUILD_LIMIT) {
        steps.command("tests", &mut runner(&workspace), TEST_LIMIT);
        let mut examples = cargo(&workspace.root);
        examples.args(["test", "--workspace", "--doc", "--features", FEATURES]);
        steps.command("examples in the documentation", &mut examples, TEST_LIMIT);
    }
    if !options.fast {
        for member in
            workspace.members.iter().filter(|member| member.test_targets.iter().any(|name| name == "loom"))
        {
            let mut command = cargo(&workspace.root);
            command
                .args(["test", "--release", "--package", &member.name, "--test", "loom"])
                // A target folder of its own: other flags would rebuild everything in the usual one.
                .env("CARGO_TARGET_DIR", workspace.target.join("loom"))
                .env("RUSTFLAGS", "--cfg loom")
                // Models need speed, not the last percent of it: whole-program optimisation would take minutes.
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
            steps.command(&format!("loom models of {}", member.name), &mut command, LOOM_LIMIT);
        }
    }
    Ok(())
}

/// cargo-nextest where it is installed (a process for each test), plain `cargo test` elsewhere.
fn runner(workspace: &Workspace) -> Command {
    let mut command = cargo(&workspace.root);
    let features = ["--features", FEATURES];
    if tools::find("cargo-nextest").is_some() {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast"]).args(features);
    } else {
        command.args(["test", "--workspace", "--bins", "--lib", "--tests", "--no-fail-fast"]).args(features);
    }
    command
}
