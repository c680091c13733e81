//! Links in Markdown point at files that exist. Only local targets are looked at: other people's sites come and go.

use std::path::{Component, Path, PathBuf};

use super::Finding;

/// Finds links in `content` whose local target is not there. `exists` is asked with paths relative to the root.
pub(super) fn check(file: &Path, content: &str, exists: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    let mut in_code = false;
    for (at, line) in content.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            continue;
        }
        for target in targets(line) {
            let Some(path) = local(target) else { continue };
            let missing = match resolve(folder, path) {
                Some(resolved) => !exists(&resolved),
                None => true, // climbs out of the repository
            };
            if missing {
                findings.push(Finding {
                    file: file.to_path_buf(),
                    line: at + 1,
                    message: format!("link to `{target}`, which does not exist"),
                });
            }
        }
    }
    findings
}

/// What stands in the brackets of `[text](target "title")` and after `[name]:`, outside of `code`.
fn targets(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    // Every second part lies between back-ticks; a link may well have code as its text, so only its target counts.
    let mut offset = 0;
    for (nth, part) in line.split('`').enumerate() {
        if nth % 2 == 0 {
            for (at, _) in part.match_indices("](") {
                let rest = &line[offset + at + 2..];
                found.extend(rest.find(')').map(|end| rest[..end].trim()));
            }
        }
        offset += part.len() + 1;
    }
    if let Some((_, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
        found.push(target.trim());
    }
    found.into_iter().filter_map(|target| target.split_whitespace().next()).collect()
}

/// The path of a local target, without its anchor.
fn local(target: &str) -> Option<&str> {
    let target = target.trim_matches(['<', '>']);
    let has_scheme =
        target.split_once(':').is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()));
    let path = target.split(['#', '?']).next().unwrap_or_default();
    (!has_scheme && !path.is_empty()).then_some(path)
}

/// `folder/path` with `.` and `..` worked out; `None` when it leaves the root.
fn resolve(folder: &Path, path: &str) -> Option<PathBuf> {
    let joined = if let Some(from_root) = path.strip_prefix('/') {
        PathBuf::from(from_root)
    } else {
        folder.join(path)
    };
    let mut resolved = PathBuf::new();
    for component in joined.components() {
        match component {
            Component::Normal(name) => resolved.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved)
}

#[cfg(test)]
mod tests {
    use super::check;
    use std::path::Path;

    fn broken(content: &str) -> Vec<String> {
        let there = ["docs/a.md", "README.md"];
        check(Path::new("docs/b.md"), content, |path| there.iter().any(|file| Path::new(file) == path))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn links_to_files_that_exist_pass() {
        assert!(
            broken("[a](a.md) [a](./a.md#part), [top](../README.md \"title\") [`code`](a.md)").is_empty()
        );
        assert!(broken("[web](https://example.org/x) [mail](mailto:a@b) [here](#part)").is_empty());
        assert!(broken("[a]: a.md").is_empty());
    }

    #[test]
    fn broken_links_are_found_with_their_line() {
        assert_eq!(broken("fine\n[x](c.md)"), ["docs/b.md:2: link to `c.md`, which does not exist"]);
        assert_eq!(broken("[x]: c.md").len(), 1);
        assert_eq!(broken("[`x`](c.md) and [y](d.md)").len(), 2);
        assert_eq!(broken("[out](../../a.md)").len(), 1);
    }

    #[test]
    fn code_holds_no_links() {
        assert!(broken("```\n[x](c.md)\n```\n`[x](c.md)`").is_empty());
    }
}
