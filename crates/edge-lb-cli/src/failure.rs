//! How a command fails: what is said on stderr, and the exit code.

use std::io;
use std::process::ExitCode;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments or the configuration are wrong: exit code 2.
    Usage(String),
    /// It could not go on: exit code 1.
    Runtime(String),
    /// All is said already.
    Said(u8),
}

impl Failure {
    /// Says why, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::Usage(message) => {
                eprintln!("error: {message}");
                ExitCode::from(2)
            }
            Self::Runtime(message) => {
                eprintln!("error: {message}");
                ExitCode::from(1)
            }
            Self::Said(code) => ExitCode::from(code),
        }
    }
}

/// Stdout is gone. A reader that has seen enough (`| head`) needs no message.
pub(crate) fn stdout_gone(e: io::Error) -> Failure {
    match e.kind() {
        io::ErrorKind::BrokenPipe => Failure::Said(1),
        _ => Failure::Runtime(format!("stdout cannot be written: {e}")),
    }
}
