//! The workspace as cargo sees it: root, members, features and the dependency graph.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::error::{Context, Result};
use crate::stream;

/// One crate of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// Its `Cargo.toml`.
    pub(crate) manifest: PathBuf,
    /// Names of features, `default` left out.
    pub(crate) features: Vec<String>,
    pub(crate) has_library: bool,
    /// Has an integration test of this name (`tests/loom.rs` is `loom`).
    pub(crate) test_targets: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Where cargo builds; honours `CARGO_TARGET_DIR`.
    pub(crate) target: PathBuf,
    pub(crate) members: Vec<Member>,
    /// Normal and build dependencies with all features on, by package name; crates from outside included.
    pub(crate) graph: BTreeMap<String, BTreeSet<String>>,
}

/// A cargo command at the workspace's root. Inside `cargo xtask` it is the same toolchain's cargo.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// The folder above `xtask/`.
pub(crate) fn root() -> Result<PathBuf> {
    // Read at run time: a checkout that was moved keeps working.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let xtask = manifest.context("run tasks as `cargo xtask …`: CARGO_MANIFEST_DIR is not set")?;
    Ok(xtask.parent().context("xtask lies in the workspace")?.to_path_buf())
}

impl Workspace {
    /// Asks `cargo metadata`.
    pub(crate) fn load() -> Result<Workspace> {
        let root = root()?;
        let mut command = cargo(&root);
        command.args(["metadata", "--format-version", "1", "--all-features", "--quiet"]);
        let text = stream::output(&mut command, Duration::from_secs(300))?;
        // Warnings of cargo may precede the one line of JSON.
        let json =
            text.lines().find(|line| line.starts_with('{')).context("cargo metadata printed no JSON")?;
        let metadata = serde_json::from_str(json).context("reading cargo metadata")?;
        Workspace::from_metadata(&metadata)
    }

    /// Reads the format that `cargo metadata --format-version 1` documents.
    pub(crate) fn from_metadata(metadata: &Value) -> Result<Workspace> {
        let packages = metadata["packages"].as_array().context("metadata has packages")?;
        let names: BTreeMap<&str, &str> =
            packages.iter().filter_map(|p| Some((p["id"].as_str()?, p["name"].as_str()?))).collect();
        let member_ids: BTreeSet<&str> = metadata["workspace_members"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let members = packages
            .iter()
            .filter(|package| package["id"].as_str().is_some_and(|id| member_ids.contains(id)))
            .map(member)
            .collect::<Result<Vec<Member>>>()?;
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in metadata["resolve"]["nodes"].as_array().context("metadata has a resolve graph")? {
            let name = node["id"].as_str().and_then(|id| names.get(id)).context("a node is a package")?;
            let dependencies = node["deps"].as_array().into_iter().flatten();
            let wanted =
                dependencies.filter(|dep| is_built_in(dep)).filter_map(|dep| names.get(dep["pkg"].as_str()?));
            // Two versions of one crate share a name; their dependencies are united.
            graph.entry((*name).to_owned()).or_default().extend(wanted.map(|name| (*name).to_owned()));
        }
        let path =
            |key: &str| metadata[key].as_str().map(PathBuf::from).context(format_args!("metadata has {key}"));
        Ok(Workspace { root: path("workspace_root")?, target: path("target_directory")?, members, graph })
    }
}

/// Is this edge there when the crate is used, not only when it is tested? `cfg(loom)` is set for the loom models alone.
fn is_built_in(dependency: &Value) -> bool {
    let kinds = dependency["dep_kinds"].as_array();
    kinds
        .into_iter()
        .flatten()
        .any(|kind| kind["kind"].as_str() != Some("dev") && kind["target"].as_str() != Some("cfg(loom)"))
}

fn member(package: &Value) -> Result<Member> {
    let text = |key: &str| package[key].as_str().map(str::to_owned);
    let targets = || package["targets"].as_array().into_iter().flatten();
    let is_kind = |target: &Value, kind: &str| {
        target["kind"].as_array().into_iter().flatten().any(|k| k.as_str() == Some(kind))
    };
    Ok(Member {
        name: text("name").context("a package has a name")?,
        description: text("description"),
        manifest: text("manifest_path").context("a package has a manifest")?.into(),
        features: package["features"].as_object().map_or_else(Vec::new, |features| {
            features.keys().filter(|name| *name != "default").cloned().collect()
        }),
        has_library: targets().any(|target| is_kind(target, "lib")),
        test_targets: targets()
            .filter(|target| is_kind(target, "test"))
            .filter_map(|target| target["name"].as_str().map(str::to_owned))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::Workspace;
    use serde_json::json;

    #[test]
    fn metadata_is_read() {
        let metadata = json!({
            "workspace_root": "/w", "target_directory": "/w/target", "workspace_members": ["a 1"],
            "packages": [
                { "id": "a 1", "name": "a", "description": "A", "manifest_path": "/w/a/Cargo.toml",
                  "features": { "default": ["x"], "x": [] },
                  "targets": [{ "kind": ["lib"], "name": "a" }, { "kind": ["test"], "name": "loom" }] },
                { "id": "b 1", "name": "b" }, { "id": "c 1", "name": "c" }, { "id": "d 1", "name": "d" },
            ],
            "resolve": { "nodes": [
                { "id": "a 1", "deps": [
                    { "pkg": "b 1", "dep_kinds": [{ "kind": null }] },
                    { "pkg": "c 1", "dep_kinds": [{ "kind": "dev" }] },
                    { "pkg": "d 1", "dep_kinds": [{ "kind": null, "target": "cfg(loom)" }] } ] },
                { "id": "b 1", "deps": [{ "pkg": "d 1", "dep_kinds": [{ "kind": null, "target": "cfg(unix)" }] }] },
                { "id": "c 1", "deps": [] }, { "id": "d 1", "deps": [] },
            ] },
        });
        let workspace = Workspace::from_metadata(&metadata).expect("well formed");
        let [a] = workspace.members.as_slice() else { panic!("one member, not {:?}", workspace.members) };
        assert_eq!((a.name.as_str(), a.features.as_slice()), ("a", ["x".to_owned()].as_slice()));
        assert!(a.has_library);
        assert_eq!(a.test_targets, ["loom"]);
        assert_eq!(Vec::from_iter(&workspace.graph["a"]), ["b"], "dev-dependencies and loom are left out");
        assert_eq!(Vec::from_iter(&workspace.graph["b"]), ["d"], "other targets count");
    }
}
