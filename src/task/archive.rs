//! Archives that are unpacked into a folder.

use std::{path::Path, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Act, Change, Delivery, Kind, Mode, Observations, Probe, is_template, quote,
    whole::{digest_mistake, short},
};

/// A `.tar.gz` with exactly this digest, unpacked into a folder as root's files. Each file is put in place by rename;
/// what else is in the folder stays. What an earlier archive of the same `list` brought and this one does not have is
/// removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// The local file that is sent.
    pub source: String,
    /// Where each host can fetch the archive itself; what it cannot comes from the installer.
    #[serde(default)]
    pub url: String,
    /// Lower-case hex SHA-256 of the archive.
    pub sha256: String,
    /// Absolute path of the folder on the host. It is made when it is missing.
    pub path: String,
    /// Absolute path of a file in which hoist lists what is unpacked: the digest of the archive, then that of each
    /// file. It is written last, so that it is also what a `service` restarts after.
    pub list: String,
}

impl Archive {
    /// The first line of the list.
    fn head(&self) -> String {
        format!("# archive {}", self.sha256)
    }

    /// A check that succeeds when everything is as it was unpacked.
    fn check(&self) -> String {
        let (list, head, path) = (quote(&self.list), quote(&self.head()), quote(&self.path));
        format!(
            "IFS= read -r head < {list} && [ \"$head\" = {head} ] && cd {path} && tail -n +2 {list} | sha256sum -c --status -"
        )
    }
}

impl Kind for Archive {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Path(self.list.clone()), Probe::Check(self.check())]
    }

    fn diff(&self, seen: &Observations) -> Option<Change> {
        if seen.passed.contains(&self.check()) {
            return None;
        }
        let name = Path::new(&self.source).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let change = Change::new(format!("unpack {name} into {}", self.path));
        let from = if seen.paths.contains_key(&self.list) { "another archive, or changed" } else { "absent" };
        Some(change.attribute("content", from, short(&self.sha256)))
    }

    fn acts(&self, _: &Observations) -> Vec<Act> {
        let archive = format!("/var/lib/hoist/archive-{}.tar.gz", self.sha256);
        let text = format!(
            "archive={} path={} list={} head={}\n{UNPACK}",
            quote(&archive),
            quote(self.path.trim_end_matches('/')),
            quote(&self.list),
            quote(&self.head())
        );
        vec![
            Act::Send(Delivery {
                source: self.source.clone(),
                // Unpacked, it is some three times as large.
                beside: Some((self.path.clone(), 3)),
                destination: archive,
                sha256: self.sha256.clone(),
                mode: Mode(0o600),
                url: (!self.url.is_empty()).then(|| self.url.clone()),
                public: true,
            }),
            Act::Script { text, stdin: None, timeout: Duration::from_secs(900) },
        ]
    }

    fn foresee(&self, seen: &mut Observations) {
        if !seen.passed.contains(&self.check()) {
            // What it will list is known only when it is unpacked; that it is newer than every unit is known now.
            seen.will_write(&self.list, "", None);
            seen.passed.insert(self.check());
        }
    }

    fn mistake(&self) -> Option<String> {
        let relative =
            [&self.path, &self.list].into_iter().find(|path| !is_template(path) && !path.starts_with('/'));
        relative
            .map(|path| format!("\"{path}\" is no absolute path"))
            .or_else(|| digest_mistake(&self.sha256))
    }
}

/// Unpacks `archive` beside its place, so that every file can be renamed into it; the list, which begins with `head`,
/// comes last.
const UNPACK: &str = r#"
part=$path/.hoist-unpack
fail() { rm -rf "$part" "$archive"; echo "$*" >&2; exit 1; }
umask 022
mkdir -p "$path" "${list%/*}" && rm -rf "$part" && mkdir "$part" "$part/files" || exit 1
gzip -dc < "$archive" | tar -xof - -C "$part/files" || fail 'the archive cannot be unpacked: the host needs tar and gzip, and room'
cd "$part/files" || exit 1
find . -type f | sed 's|^\./||' > ../names
[ -s ../names ] || fail 'the archive holds no file'
sums() {
    while IFS= read -r name; do sha256sum -- "$name" || return 1; done < ../names > ../sums
}
place() {
    while IFS= read -r name; do
        case $name in */*) mkdir -p "$path/${name%/*}" || return 1 ;; esac
        [ ! -d "$path/$name" ] || { echo "$path/$name is a directory" >&2; return 1; }
        mv -f -- "$name" "$path/$name" || return 1
        # A file keeps the label of the folder that it was made in.
        ! command -v restorecon >/dev/null || restorecon "$path/$name" || return 1
    done < ../names
}
sums || fail 'what was unpacked cannot be read'
place || fail 'what was unpacked cannot be put in place'
if [ -f "$list" ]; then
    sed -n 's/^[0-9a-f]\{64\}  //p' "$list" | while IFS= read -r old; do
        grep -qxF -e "$old" ../names || rm -f -- "$path/$old"
    done
fi
{ printf '%s\n' "$head"; cat ../sums; } > "$list.hoist" && mv -f "$list.hoist" "$list" || fail "cannot write $list"
cd / && rm -rf "$part" "$archive"
rmdir /var/lib/hoist 2>/dev/null || :
"#;
