//! A task made of steps: each is announced, timed and counted; the end shows them all.

use std::process::Command;
use std::time::Duration;

use crate::clock;
use crate::error::Result;
use crate::stream;
use crate::tally::Tally;

#[derive(Debug)]
struct Done {
    name: String,
    took: Duration,
    failure: Option<String>,
}

/// The steps done so far. A failed step does not stop the following ones: one run shows all that is wrong.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Done>,
    tests: Tally,
}

impl Steps {
    /// Runs `command` for at most `limit`, its output shown as it comes and its tests counted.
    pub(crate) fn command(&mut self, name: &str, command: &mut Command, limit: Duration) -> bool {
        announce(name);
        println!("$ {}", shown(command));
        let mut tests = Tally::default();
        let started = clock::now();
        let outcome = stream::run(command, limit, |line| {
            println!("{line}");
            if let Some(found) = Tally::from_line(line) {
                tests += found;
            }
        });
        let failure = match outcome {
            Ok(status) if status.success() => None,
            Ok(status) => Some(status.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if failure.is_some() && tests.failed == 0 {
            tests.failed = 1; // it did not even build, or hung: a failure all the same
        }
        self.tests += tests;
        self.finish(name, started, failure)
    }

    /// Runs a check of our own.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> Result<()>) -> bool {
        announce(name);
        let started = clock::now();
        let failure = check().err().map(|error| error.to_string());
        if let Some(message) = &failure {
            println!("{message}");
            self.tests.failed += 1;
        }
        self.finish(name, started, failure)
    }

    fn finish(&mut self, name: &str, started: std::time::Instant, failure: Option<String>) -> bool {
        let took = clock::now() - started;
        let ok = failure.is_none();
        println!("-- {name}: {} in {}", if ok { "ok" } else { "FAILED" }, clock::human(took));
        self.done.push(Done { name: name.to_owned(), took, failure });
        ok
    }

    /// Prints every step with its time, then `N passed, N failed` on a line of its own. True when nothing failed.
    pub(crate) fn summary(&self) -> bool {
        println!("\n== summary");
        let width = self.done.iter().map(|step| step.name.len()).max().unwrap_or(0);
        for step in &self.done {
            let verdict = step
                .failure
                .as_ref()
                .map_or_else(|| "ok".to_owned(), |why| format!("FAILED: {}", first_line(why)));
            println!("{:width$}  {:>8}  {verdict}", step.name, clock::human(step.took));
        }
        println!("{}", self.tests);
        self.tests.failed == 0 && self.done.iter().all(|step| step.failure.is_none())
    }

    #[cfg(test)]
    fn tests(&self) -> Tally {
        self.tests
    }
}

fn announce(name: &str) {
    println!("\n== {name}");
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The command as one would type it, with the environment that the task adds.
fn shown(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(key, value)| Some(format!("{}={:?}", key.to_string_lossy(), value?.to_string_lossy())));
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| {
        let word = word.to_string_lossy();
        if word.contains(' ') { format!("{word:?}") } else { word.into_owned() }
    });
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Steps, shown};
    use crate::error::Error;
    use crate::tally::Tally;
    use std::process::Command;
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(10);

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn tests_are_summed_over_steps() {
        let mut steps = Steps::default();
        let line = "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'";
        assert!(steps.command("one", &mut sh(line), LIMIT));
        assert!(steps.command("two", &mut sh(line), LIMIT));
        assert_eq!(steps.tests(), Tally { passed: 4, failed: 0 });
        assert!(steps.summary());
    }

    #[test]
    fn a_step_that_fails_without_a_count_is_one_failure() {
        let mut steps = Steps::default();
        assert!(!steps.command("does not build", &mut sh("exit 101"), LIMIT));
        assert!(!steps.check("rule", || Err(Error::new("broken"))));
        assert_eq!(steps.tests(), Tally { passed: 0, failed: 2 });
        assert!(!steps.summary());
    }

    #[test]
    fn a_runner_that_counts_no_failure_and_fails_is_a_failure() {
        let mut steps = Steps::default();
        assert!(!steps.command("odd", &mut sh("echo 'test result: ok. 2 passed; 0 failed;'; exit 1"), LIMIT));
        assert_eq!(steps.tests(), Tally { passed: 2, failed: 1 });
    }

    #[test]
    fn commands_are_shown_as_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "--features", "a b"]).env("RUSTFLAGS", "--cfg loom");
        assert_eq!(shown(&command), "RUSTFLAGS=\"--cfg loom\" cargo test --features \"a b\"");
    }
}
