//! `cargo xtask tidy`: the house rules that no compiler knows, as checks.
//!
//! Each finding is one line, `file:line: message`. The rules for text are in [`text`], those for Markdown links in [`links`],
//! those for manifests here. A line may be excused by a comment on it or on the line above: `tidy-allow: RULE: reason`.

mod links;
mod text;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};
use crate::workspace::{Member, Workspace};

/// One departure from a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// Relative to the root.
    file: PathBuf,
    /// From 1; 0 for the whole file.
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        write!(f, " {}", self.message)
    }
}

pub(crate) fn run() -> Result<()> {
    let workspace = Workspace::load()?;
    let files = files(&workspace.root)?;
    let mut findings = Vec::new();
    for file in &files {
        let Ok(content) = std::fs::read_to_string(workspace.root.join(file)) else {
            continue; // not text
        };
        findings.extend(text::check(file, &content));
        if file.extension().is_some_and(|extension| extension == "md") {
            findings.extend(links::check(file, &content, |target| workspace.root.join(target).exists()));
        }
    }
    for member in &workspace.members {
        let manifest = std::fs::read_to_string(&member.manifest).context(member.manifest.display())?;
        let relative = member.manifest.strip_prefix(&workspace.root).unwrap_or(&member.manifest);
        findings.extend(check_manifest(relative, &manifest, member));
    }
    if !files.iter().any(|file| file == Path::new("LICENSE")) {
        findings.push(whole_file("LICENSE", "missing"));
    }
    if findings.is_empty() {
        println!("tidy: {} files and {} manifests follow the rules", files.len(), workspace.members.len());
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    Err(Error::new(format!("tidy: {} findings", findings.len())))
}

fn whole_file(file: impl Into<PathBuf>, message: impl Into<String>) -> Finding {
    Finding { file: file.into(), line: 0, message: message.into() }
}

/// The files of the tree, relative and sorted; what is built, fetched or git's own is left out.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(root.join(&folder)).context(folder.display())?;
        for entry in entries {
            let entry = entry.context(folder.display())?;
            let path = folder.join(entry.file_name());
            let kind = entry.file_type().context(path.display())?;
            let skipped = [".git", "target", "node_modules"].iter().any(|name| entry.file_name() == *name);
            if kind.is_dir() && !skipped {
                folders.push(path);
            } else if kind.is_file() && !skipped {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn check_manifest(file: &Path, manifest: &str, member: &Member) -> Vec<Finding> {
    let mut findings = Vec::new();
    if member.description.as_deref().unwrap_or_default().is_empty() {
        findings.push(whole_file(file, "no description"));
    }
    if !inherits_lints(manifest) {
        findings.push(whole_file(file, "does not inherit the lints: add `[lints]` with `workspace = true`"));
    }
    findings
}

fn inherits_lints(manifest: &str) -> bool {
    let mut section = "";
    manifest.lines().map(str::trim).any(|line| {
        if line.starts_with('[') {
            section = line;
        }
        let words: String = line.split_whitespace().collect();
        words == "lints.workspace=true" && section.is_empty()
            || words == "workspace=true" && section == "[lints]"
    })
}

#[cfg(test)]
mod tests {
    use super::{Finding, check_manifest, inherits_lints, whole_file};
    use crate::workspace::Member;
    use std::path::Path;

    fn member(description: Option<&str>) -> Member {
        Member {
            name: "a".into(),
            description: description.map(str::to_owned),
            manifest: "a/Cargo.toml".into(),
            features: vec![],
            has_library: true,
            test_targets: vec![],
        }
    }

    #[test]
    fn manifests_inherit_lints_and_describe_themselves() {
        let file = Path::new("a/Cargo.toml");
        assert_eq!(check_manifest(file, "[lints]\nworkspace = true\n", &member(Some("A"))), []);
        assert_eq!(
            check_manifest(file, "[package]\nname = \"a\"\n", &member(None)),
            [
                whole_file(file, "no description"),
                whole_file(file, "does not inherit the lints: add `[lints]` with `workspace = true`"),
            ]
        );
    }

    #[test]
    fn another_section_that_inherits_is_not_the_lints() {
        assert!(!inherits_lints("[dependencies.serde]\nworkspace = true\n"));
        assert!(!inherits_lints("[lints]\n[package]\nversion.workspace = true\n"));
    }

    #[test]
    fn a_finding_can_be_clicked() {
        let finding = Finding { file: "src/lib.rs".into(), line: 3, message: "tab".into() };
        assert_eq!(finding.to_string(), "src/lib.rs:3: tab");
        assert_eq!(whole_file("LICENSE", "missing").to_string(), "LICENSE: missing");
    }
}
