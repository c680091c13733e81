//! Where this process's cgroups are.
//!
//! `/proc/self/cgroup` names the process's group in each hierarchy, `/proc/self/mountinfo` says where a hierarchy is
//! mounted and which group is that mount's root. In a container the group's own path may not be visible below the mount, as
//! the mount shows just the container's group (or `..` paths show a foreign namespace): then the mount's root is taken.
//!
//! A limit may be set at any group from the process's own up to the root, so all of them are looked at: [`Place::groups`].

use std::path::{Path, PathBuf};

/// The most groups of a path that are looked at.
const DEPTH_MAX: usize = 16;

/// A process's group in one hierarchy, by paths from the file system's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where the hierarchy is mounted.
    pub(super) mount: PathBuf,
    /// The process's group, below the mount.
    pub(super) below: PathBuf,
}

impl Place {
    /// The folders of the group and those above it, the group's own first, as far as they exist below `root`.
    pub(super) fn groups(&self, root: &Path) -> Vec<PathBuf> {
        let mount = under(root, &self.mount);
        let below = self.below.ancestors().map(|path| mount.join(path));
        below.filter(|path| path.is_dir()).take(DEPTH_MAX).collect()
    }
}

/// An absolute path, as seen from `root`.
pub(super) fn under(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The place in the unified hierarchy (cgroup v2).
pub(super) fn unified(cgroup: &str, mountinfo: &str) -> Option<Place> {
    let group = lines(cgroup).find(|&(id, controllers, _)| id == "0" && controllers.is_empty())?.2;
    place(group, mounts(mountinfo).find(|mount| mount.kind == "cgroup2")?)
}

/// The place in the hierarchy of a controller of cgroup v1, for example `memory`.
pub(super) fn v1(controller: &str, cgroup: &str, mountinfo: &str) -> Option<Place> {
    let has = |list: &str| list.split(',').any(|name| name == controller);
    let group = lines(cgroup).find(|&(_, controllers, _)| has(controllers))?.2;
    place(group, mounts(mountinfo).find(|mount| mount.kind == "cgroup" && has(mount.options))?)
}

fn place(group: &str, mount: Mount<'_>) -> Option<Place> {
    let below = Path::new(group).strip_prefix(unescape(mount.root)).unwrap_or(Path::new(""));
    let climbs = below.components().any(|part| !matches!(part, std::path::Component::Normal(_)));
    let below = if climbs { PathBuf::new() } else { below.to_owned() };
    let mount = PathBuf::from(unescape(mount.point));
    mount.is_absolute().then_some(Place { mount, below })
}

/// `id:controllers:path`
fn lines(cgroup: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    cgroup.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        Some((parts.next()?, parts.next()?, parts.next()?))
    })
}

#[derive(Clone, Copy)]
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

/// `id parent major:minor root point options [tags…] - kind source options`
fn mounts(mountinfo: &str) -> impl Iterator<Item = Mount<'_>> {
    mountinfo.lines().filter_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut front = front.split(' ').skip(3);
        let mut back = back.split(' ');
        let (root, point) = (front.next()?, front.next()?);
        let kind = back.next()?;
        Some(Mount { root, point, kind, options: back.nth(1)? })
    })
}

/// Spaces, tabs, line ends and backslashes in paths are written as `\040` and so on.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after.get(..3).and_then(|octal| u8::from_str_radix(octal, 8).ok()).filter(u8::is_ascii);
        plain.push(code.map_or('\\', char::from));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mount: &str, below: &str) -> Option<Place> {
        Some(Place { mount: mount.into(), below: below.into() })
    }

    /// systemd on a machine of its own.
    const V2: &str = "0::/system.slice/edge-lb.service\n";
    const V2_MOUNTS: &str = "\
24 29 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw
35 34 0:30 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
";
    /// A container with a cgroup namespace of its own.
    const DOCKER: &str = "0::/\n";
    const DOCKER_MOUNTS: &str = "\
1563 1562 0:30 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate,memory_recursiveprot
";
    /// A container without one, on cgroup v1.
    const V1: &str = "\
9:memory:/docker/3f1c
4:cpu,cpuacct:/docker/3f1c
1:name=systemd:/docker/3f1c
";
    const V1_MOUNTS: &str = "\
880 873 0:28 /docker/3f1c /sys/fs/cgroup/cpu,cpuacct ro,nosuid,nodev,noexec,relatime master:11 - cgroup cgroup rw,cpu,cpuacct
889 873 0:37 /docker/3f1c /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:20 - cgroup cgroup rw,memory
";
    /// Both at once: v1 for the controllers, v2 beside it.
    const HYBRID: &str = "\
9:name=systemd:/
4:memory:/process_api/d426b520
2:cpuacct:/
1:cpu:/
0::/
";
    const HYBRID_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn captured_texts() {
        let cgroup = "/sys/fs/cgroup";
        assert_eq!(unified(V2, V2_MOUNTS), at(cgroup, "system.slice/edge-lb.service"));
        assert_eq!(v1("memory", V2, V2_MOUNTS), None);
        assert_eq!(unified(DOCKER, DOCKER_MOUNTS), at(cgroup, ""));
        assert_eq!(v1("cpu", V1, V1_MOUNTS), at("/sys/fs/cgroup/cpu,cpuacct", ""));
        assert_eq!(v1("memory", V1, V1_MOUNTS), at("/sys/fs/cgroup/memory", ""));
        assert_eq!(unified(V1, V1_MOUNTS), None);
        assert_eq!(v1("memory", HYBRID, HYBRID_MOUNTS), at("/sys/fs/cgroup/memory", "process_api/d426b520"));
        assert_eq!(v1("cpuacct", HYBRID, HYBRID_MOUNTS), at("/sys/fs/cgroup/cpuacct", ""));
        assert_eq!(unified(HYBRID, HYBRID_MOUNTS), at("/sys/fs/cgroup/unified", ""));
    }

    #[test]
    fn a_group_out_of_sight_is_the_mounts_root() {
        assert_eq!(unified("0::/../other\n", DOCKER_MOUNTS), at("/sys/fs/cgroup", ""));
        assert_eq!(v1("cpu", "4:cpu:/elsewhere\n", V1_MOUNTS), at("/sys/fs/cgroup/cpu,cpuacct", ""));
    }

    #[test]
    fn what_is_no_such_text_is_nowhere() {
        for text in
            ["", "\n\n", "0:", "0::", ":::", "x - y", "1 2 3 4 5 - cgroup2", "- - -", "0::\u{0}", "\\"]
        {
            assert_eq!(unified(text, V2_MOUNTS).filter(|place| !place.below.as_os_str().is_empty()), None);
            assert_eq!((unified(V2, text), v1("cpu", V1, text)), (None, None), "{text:?}");
        }
        assert_eq!(unescape(r"/a\040b\134c\9\"), r"/a b\c\9\");
    }

    #[test]
    fn groups_from_the_own_to_the_root() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("sys/fs/cgroup/system.slice/edge-lb.service");
        std::fs::create_dir_all(&group).unwrap();
        let groups = unified(V2, V2_MOUNTS).unwrap().groups(root.path());
        let wanted =
            ["sys/fs/cgroup/system.slice/edge-lb.service", "sys/fs/cgroup/system.slice", "sys/fs/cgroup/"];
        assert_eq!(groups, wanted.map(|path| root.path().join(path)));
        std::fs::remove_dir_all(group.parent().unwrap()).unwrap();
        assert_eq!(
            unified(V2, V2_MOUNTS).unwrap().groups(root.path()).len(),
            1,
            "what does not exist is left out"
        );
    }
}
