//! `cargo xtask ci`: all that a change must pass, cheapest first, ending with the tests.

use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::steps::Steps;
use crate::workspace::{Member, Workspace, cargo};
use crate::{deps, test, tidy};

/// One step that compiles; a cold one on two cores takes a third of it.
const LIMIT: Duration = Duration::from_secs(15 * 60);

pub(crate) fn run(options: test::Options) -> Result<()> {
    let workspace = Workspace::load()?;
    let mut steps = Steps::default();
    let mut step = |name: &str, arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command: Command = cargo(&workspace.root);
        command.args(arguments).envs(variables.iter().copied());
        steps.command(name, &mut command, LIMIT);
    };
    step("format", &["fmt", "--all", "--check"], &[]);
    let lints = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    step("lints", &lints, &[]);
    let docs = ["doc", "--workspace", "--all-features", "--no-deps"];
    step("documentation", &docs, &[("RUSTDOCFLAGS", "-D warnings")]);
    for member in workspace.members.iter().filter(|member| member.has_library) {
        for features in feature_sets(member) {
            let mut arguments = vec!["clippy", "--package", &member.name, "--no-default-features"];
            if let Some(feature) = features {
                arguments.extend(["--features", feature]);
            }
            // Through clippy, not RUSTFLAGS: those would rebuild every dependency.
            arguments.extend(["--", "-D", "warnings"]);
            let name = format!("{} with {}", member.name, features.unwrap_or("no features"));
            step(&name, &arguments, &[]);
        }
    }
    steps.check("arrows", deps::run);
    steps.check("tidy", tidy::run);
    test::add_steps(&mut steps, options)?;
    if steps.summary() { Ok(()) } else { Err(Error::new("some checks failed")) }
}

/// No feature, then each alone. Features only add, so pairs are covered by `--all-features` above.
fn feature_sets(member: &Member) -> impl Iterator<Item = Option<&str>> {
    std::iter::once(None).chain(member.features.iter().map(|feature| Some(feature.as_str())))
}
