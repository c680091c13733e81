//! Runs a command with a time limit and hands its output on, line by line, as it comes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::children::Group;
use crate::clock;
use crate::error::{Context, Error, Result};

/// How often a silent command is asked whether it has ended.
const POLL: Duration = Duration::from_millis(50);
/// How long the pipes may stay open after the command ended: a leaked grandchild holds them.
const DRAIN: Duration = Duration::from_secs(1);

/// Runs `command` to its end, stdout and stderr merged in order of arrival.
///
/// # Errors
/// When it cannot start, or is still running after `limit` (it is ended then, with all that it started).
pub(crate) fn run(
    command: &mut Command,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<ExitStatus> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut group = Group::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let (sender, lines) = channel();
    let child = group.child();
    read_lines(child.stdout.take().context("stdout is piped")?, sender.clone());
    read_lines(child.stderr.take().context("stderr is piped")?, sender);

    let deadline = clock::now() + limit;
    let mut ended: Option<(ExitStatus, std::time::Instant)> = None;
    loop {
        match lines.recv_timeout(POLL) {
            Ok(line) => on_line(&line),
            Err(RecvTimeoutError::Disconnected) if ended.is_some() => break,
            Err(RecvTimeoutError::Disconnected) => thread::sleep(POLL), // closed its pipes, still running
            Err(RecvTimeoutError::Timeout) => {}
        }
        if ended.is_none() {
            ended = group.try_wait()?.map(|status| (status, clock::now()));
        }
        if ended.is_some_and(|(_, at)| clock::now() > at + DRAIN) {
            break;
        }
        if ended.is_none() && clock::now() > deadline {
            return Err(Error::new(format!("{name} was ended: not done after {}", clock::human(limit))));
        }
    }
    ended.map(|(status, _)| status).context("a finished command has a status")
}

/// Runs `command` and returns its output, which is expected to be short.
///
/// # Errors
/// As [`run`]; and when it fails, with the last lines that it printed.
pub(crate) fn output(command: &mut Command, limit: Duration) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut text = String::new();
    let status = run(command, limit, |line| {
        text.push_str(line);
        text.push('\n');
    })?;
    if status.success() {
        return Ok(text);
    }
    let tail: Vec<&str> = text.lines().rev().take(8).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    Err(Error::new(format!("{name} failed ({status}):\n{}", tail.join("\n"))))
}

fn read_lines(pipe: impl Read + Send + 'static, sender: Sender<String>) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(pipe.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::{output, run};
    use std::process::Command;
    use std::time::Duration;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_streams_arrive_and_the_status_is_kept() {
        let mut lines = Vec::new();
        let status = run(&mut sh("echo one; echo two >&2; exit 3"), Duration::from_secs(10), |line| {
            lines.push(line.to_owned());
        });
        lines.sort();
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(status.expect("it ran").code(), Some(3));
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let error = run(&mut sh("sleep 60"), Duration::from_millis(100), |_| {}).expect_err("too slow");
        assert!(error.to_string().contains("not done after"), "{error}");
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_does_not_hold_us() {
        let status = run(&mut sh("sleep 60 & exit 0"), Duration::from_secs(30), |_| {});
        assert!(status.expect("it ran").success());
    }

    #[test]
    fn a_failure_shows_the_end_of_its_output() {
        let error = output(&mut sh("echo reason; exit 1"), Duration::from_secs(10)).expect_err("fails");
        assert!(error.to_string().contains("reason"), "{error}");
    }
}
