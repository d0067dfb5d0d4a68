//! What is different between two locks, in words.

use super::{
    lock::{Chart, File, Image, Lock},
    packages::Package,
};

/// What is different in `new`, an entry each.
pub(super) fn differences(old: &Lock, new: &Lock) -> Vec<String> {
    let mut lines = Vec::new();
    if old.kubernetes != new.kubernetes {
        lines.push(format!("Kubernetes: {} -> {}", old.kubernetes, new.kubernetes));
    }
    if old.architectures != new.architectures {
        lines.push(format!("architectures: {} -> {}", architectures(old), architectures(new)));
    }
    compare(&mut lines, &entries(old), &entries(new));
    lines
}

fn architectures(lock: &Lock) -> String {
    lock.architectures.iter().map(|each| each.name()).collect::<Vec<_>>().join(",")
}

/// Name with architecture, and everything that is pinned of it.
type Entry = (String, Vec<(&'static str, String)>);

fn entries(lock: &Lock) -> Vec<Entry> {
    let files = lock.files.iter().map(|file| {
        let File { name, version, architecture, place, url, sha256, size, member } = file;
        let fields = vec![
            ("version", version.clone()),
            ("place", format!("{place:?}").to_lowercase()),
            ("url", url.clone()),
            ("sha256", sha256.clone()),
            ("size", size.to_string()),
            ("member", member.clone().unwrap_or_default()),
        ];
        (format!("{name} ({})", architecture.name()), fields)
    });
    let images = lock.images.iter().map(|image| {
        let Image { name, reference, architecture, digest, size, everywhere } = image;
        let fields = vec![
            ("reference", reference.clone()),
            ("digest", digest.clone()),
            ("size", size.to_string()),
            ("everywhere", everywhere.to_string()),
        ];
        (format!("image {name} ({})", architecture.name()), fields)
    });
    let charts = lock.charts.iter().map(|chart| {
        let Chart { name, version, url, sha256, size } = chart;
        (format!("chart {name}"), file(version, url, sha256, *size))
    });
    let packages = lock.packages.iter().flat_map(|system| {
        let needs = system.needs.iter().map(|(name, needs)| {
            (format!("packages for {name}, {}", system.title()), vec![("needs", needs.join(" "))])
        });
        let files = system.files.iter().map(|package| {
            let Package { name, version, url, sha256, size } = package;
            (format!("package {name}, {}", system.title()), file(version, url, sha256, *size))
        });
        needs.chain(files)
    });
    files.chain(images).chain(charts).chain(packages).collect()
}

fn file(version: &str, url: &str, sha256: &str, size: u64) -> Vec<(&'static str, String)> {
    vec![
        ("version", version.to_owned()),
        ("url", url.to_owned()),
        ("sha256", sha256.to_owned()),
        ("size", size.to_string()),
    ]
}

fn compare(lines: &mut Vec<String>, old: &[Entry], new: &[Entry]) {
    for (name, was) in old {
        let Some((_, is)) = new.iter().find(|(other, _)| other == name) else {
            lines.push(format!("{name}: not needed any more"));
            continue;
        };
        for ((field, was), (_, is)) in was.iter().zip(is).filter(|(was, is)| was != is) {
            // Two digests do not fit into one line of a terminal.
            lines.push(format!("{name}, {field}:\n  locked {was}\n  found  {is}"));
        }
    }
    for (name, _) in new.iter().filter(|(name, _)| old.iter().all(|(other, _)| other != name)) {
        lines.push(format!("{name}: not locked yet"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::lock::{Architecture, tests::sample};

    #[test]
    fn only_what_is_different_is_said() {
        assert_eq!(differences(&sample(), &sample()), Vec::<String>::new());
        let (mut old, mut new) = (sample(), sample());
        new.kubernetes = "1.36.6".into();
        new.architectures.push(Architecture::Arm64);
        new.files[0].sha256 = "ef".repeat(32);
        new.images.clear();
        old.files.push(File { name: "gone".into(), ..old.files[0].clone() });
        new.files.push(File { name: "came".into(), ..old.files[0].clone() });
        insta::assert_snapshot!(differences(&old, &new).join("\n"), @"
        Kubernetes: 1.36.5 -> 1.36.6
        architectures: amd64 -> amd64,arm64
        crictl (amd64), sha256:
          locked abababababababababababababababababababababababababababababababab
          found  efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef
        gone (amd64): not needed any more
        image pause (amd64): not needed any more
        came (amd64): not locked yet
        ");
    }
}
