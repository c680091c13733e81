//! Where the real binary is, built if it has to be.
//!
//! Cargo tells a test where the binaries of its own package are, not those of another. So the binary is looked for beside
//! the test program (`target/PROFILE`), and is built there by cargo when it is missing or older than a source: a build of
//! the whole workspace has made it already, and is not undone with other features.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The binary's path: `EDGE_LB_BIN` where that is set.
///
/// # Panics
/// When it cannot be built.
pub(crate) fn binary() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("EDGE_LB_BIN") {
        Some(path) => path.into(),
        None => find_or_build(),
    })
}

fn find_or_build() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    // target/PROFILE/deps/test-0123456789abcdef
    let folder = test.ancestors().nth(2).expect("cargo puts tests in target/PROFILE/deps");
    let binary = folder.join("edge-lb");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("a crate is in crates/");
    let built = modified(&binary);
    if built.is_none() || built < newest_source(workspace) {
        build(workspace, folder);
    }
    binary
}

fn build(workspace: &Path, folder: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let built = Command::new(cargo)
        .current_dir(workspace)
        .args(["build", "--quiet", "--package", "edge-lb-cli", "--bin", "edge-lb", "--profile", profile])
        .arg("--target-dir")
        .arg(folder.parent().expect("PROFILE is in target/"))
        .output()
        .expect("cargo can be started");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "the binary cannot be built:\n{said}");
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|m| m.modified()).ok()
}

/// When a source of the workspace's crates was last changed; those of the test kit do not count.
fn newest_source(workspace: &Path) -> Option<SystemTime> {
    let mut newest = modified(&workspace.join("Cargo.toml")).max(modified(&workspace.join("Cargo.lock")));
    let crates = entries(&workspace.join("crates")).into_iter().filter(|path| !path.ends_with("lb-testkit"));
    let mut folders = Vec::new();
    for path in crates {
        newest = newest.max(modified(&path.join("Cargo.toml")));
        folders.push(path.join("src"));
    }
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else {
                newest = newest.max(modified(&path));
            }
        }
    }
    newest
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
