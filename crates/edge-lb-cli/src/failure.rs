//! How a command fails: what is said on stderr, and the exit code.

use edge_lb::AssembleError;
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

impl From<AssembleError> for Failure {
    fn from(e: AssembleError) -> Self {
        if e.is_config() { Self::Usage(e.to_string()) } else { Self::Runtime(e.to_string()) }
    }
}

/// Stdout is gone. A reader that has seen enough (`| head`) needs no message.
#[allow(clippy::needless_pass_by_value)] // as `map_err` hands it over
pub(crate) fn stdout_gone(e: io::Error) -> Failure {
    match e.kind() {
        io::ErrorKind::BrokenPipe => Failure::Said(1),
        _ => Failure::Runtime(format!("stdout cannot be written: {e}")),
    }
}
