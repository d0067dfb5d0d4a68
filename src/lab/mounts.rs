//! What is mounted where, as the kernel tells it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::error::LabError;

/// One line of `/proc/self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    pub(crate) kind: String,
    /// Options of the file system, such as the controllers of a cgroup hierarchy.
    pub(crate) options: String,
}

/// Everything mounted in this process's mount namespace.
pub(crate) fn all() -> Result<Vec<Mount>, LabError> {
    let path = Path::new("/proc/self/mountinfo");
    Ok(parse(&fs::read_to_string(path).map_err(LabError::io("read", path))?))
}

/// Mount points at or below `path`.
pub(crate) fn below(path: &Path) -> Result<Vec<PathBuf>, LabError> {
    Ok(all()?.into_iter().map(|mount| mount.point).filter(|point| point.starts_with(path)).collect())
}

/// Format: proc(5). Optional fields end at a lone `-`; after it come type, source and options.
pub(crate) fn parse(mountinfo: &str) -> Vec<Mount> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let point = left.split(' ').nth(4)?;
            let mut right = right.split(' ');
            let kind = right.next()?.to_owned();
            let options = right.nth(1)?.to_owned();
            Some(Mount { point: PathBuf::from(unescape(point)), kind, options })
        })
        .collect()
}

/// The kernel writes space, tab, newline and backslash as octal escapes.
fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_understood() {
        let mounts = parse(
            "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
             30 22 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
             31 22 0:27 /a /mnt/with\\040space rw master:2 propagate_from:1 - tmpfs tmpfs rw\nnonsense\n",
        );
        let points: Vec<_> = mounts.iter().map(|mount| mount.point.to_str().unwrap()).collect();
        assert_eq!(points, ["/", "/sys/fs/cgroup/cpu", "/mnt/with space"]);
        assert_eq!(mounts[1].kind, "cgroup");
        assert_eq!(mounts[1].options, "rw,cpu");
    }

    #[test]
    fn below_compares_whole_names() {
        assert!(!below(Path::new("/proc")).unwrap().is_empty());
        assert!(below(Path::new("/pro")).unwrap().is_empty());
    }
}
