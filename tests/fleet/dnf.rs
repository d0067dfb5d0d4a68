//! Packages on a host whose package manager is dnf: the real one, with two small packages in a repository of their own.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    process::{Command, Stdio},
};

use hoist::task::{Act, Observations, Package, PackageFile, Task};

use crate::{
    bed::{Fleet, Ran, address},
    skip::skip,
};

/// Nothing of this machine is changed: what a package manager writes to is an overlay of the host's. Debian's own
/// package manager is not there, or it would be the one that is used.
const HOST: &str = r#"set -e
cd "$layers"
for folder in usr var; do
    mkdir $folder-up $folder-work
    mount -t overlay -o lowerdir=/$folder,upperdir=$folder-up,workdir=$folder-work overlay /$folder
done
rm -f /usr/bin/apt-get /usr/bin/dpkg-query
rm -rf /var/lib/rpm/* /var/lib/dnf /var/cache/dnf /etc/yum.repos.d
mkdir -p /etc/yum.repos.d /etc/rpm
# Debian has the list of what is installed in the home folder.
echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros
cat >/etc/yum.repos.d/test.repo <<END
[test]
name=test
baseurl=file://$repository
gpgcheck=0
skip_if_unavailable=0
END"#;

/// Makes the files of two packages, of which the first needs the second, and the repository.
fn repository(fleet: &Fleet) {
    let specs = fleet.path("specs");
    fs::create_dir_all(&specs).unwrap();
    for (name, needs) in [("hoist-one", "Requires: hoist-two\n"), ("hoist-two", "")] {
        let spec = format!(
            "Name: {name}\nVersion: 1.5\nRelease: 2\nSummary: a test\nLicense: none\nBuildArch: noarch\n{needs}\
             %description\nA test.\n%install\nmkdir -p %{{buildroot}}/usr/share/{name}\n\
             echo {name} >%{{buildroot}}/usr/share/{name}/file\n%files\n/usr/share/{name}/file\n"
        );
        let file = specs.join(name);
        fs::write(&file, spec).unwrap();
        let mut build = Command::new("rpmbuild");
        build.arg("-bb").arg("--define").arg(format!("_topdir {}", fleet.path("build").display()));
        build.arg("--define").arg(format!("_rpmdir {}", fleet.path("repository").display()));
        quietly(build.env("HOME", fleet.path("build")).arg(file));
    }
    quietly(Command::new("createrepo_c").arg(fleet.path("repository")));
}

fn quietly(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn start() -> Option<Fleet> {
    // Not by asking them for their version: they would make a list of what is installed here.
    let there = "command -v dnf && command -v rpmbuild && command -v createrepo_c";
    if !Command::new("sh").args(["-c", there]).stdout(Stdio::null()).status().unwrap().success() {
        skip("a host with dnf needs Debian's packages dnf, rpm and createrepo-c");
        return None;
    }
    let fleet = Fleet::start(&["cp1"])?;
    repository(&fleet);
    let layers = fleet.path(&address(0)).display().to_string();
    let repository = fleet.path("repository").display().to_string();
    fleet.on("2222", 0, &format!("layers={layers} repository={repository}\n{HOST}"));
    Some(fleet)
}

#[test]
fn packages_of_a_repository_are_installed_once() {
    let Some(fleet) = start() else { return };
    let facts = Ran::of(fleet.command(&["facts", "--output", "json"])).exits(0);
    assert!(facts.stdout.contains("\"packages\": \"dnf\""), "{facts}");
    fleet.role("one", "tasks: [{name: tools, package: {names: [hoist-one]}}]");
    fleet.hoist("plan", &["--only", "one"]).exits(2).says("install hoist-one");
    fleet.hoist("apply", &["--only", "one"]).exits(0).says("1 change");
    fleet.hoist("plan", &["--only", "one"]).exits(0).says("Nothing to change: 1 statement");
    // It came with what it needs.
    fleet.on(
        "2222",
        0,
        "set -e; grep -q hoist-one /usr/share/hoist-one/file; grep -q hoist-two /usr/share/hoist-two/file",
    );
    fleet.role("both", "tasks: [{name: tools, package: {names: [hoist-two, hoist-one]}}]");
    fleet.hoist("apply", &["--only", "both"]).exits(0).says("Nothing to change");
    // Only what is missing is asked for.
    fleet.on("2222", 0, "rpm -e hoist-one 2>/dev/null");
    fleet.hoist("plan", &["--only", "both"]).exits(2).says("install hoist-one").says_nothing_of("hoist-two");
    fleet.hoist("apply", &["--only", "both"]).exits(0).says("1 change");
    for folder in ["/usr/share/hoist-one", "/.rpmdb"] {
        assert!(!std::path::Path::new(folder).exists(), "this machine was changed: {folder}");
    }
}

#[test]
fn a_package_that_nobody_has_and_a_repository_that_is_away_have_their_causes() {
    let Some(fleet) = start() else { return };
    fleet.role("none", "tasks: [{name: tools, package: {names: [hoist-two, nobody-has-this]}}]");
    let ran = fleet.hoist("apply", &["--only", "none"]).exits(1).says("cp1: none: tools: ");
    let ran = ran.says("Unable to find a match: nobody-has-this");
    ran.says("likely cause: the host's package repositories do not have the package")
        .says("/etc/yum.repos.d");
    fs::remove_dir_all(fleet.path("repository")).unwrap();
    fleet.on("2222", 0, "rm -rf /var/cache/dnf /var/lib/dnf");
    let ran = fleet.hoist("apply", &["--only", "none"]).exits(1).says("Failed to download metadata");
    ran.says("likely cause: the host does not reach one of its package repositories").says("dnf repolist");
}

/// Signs the packages with a key of its own, and puts its public half beside the repository.
fn sign(fleet: &Fleet) {
    let home = fleet.path("gpg");
    fs::DirBuilder::new().mode(0o700).create(&home).unwrap();
    let script = "set -e\n\
        gpg --batch --quiet --passphrase '' --quick-generate-key hoist@example.lan rsa2048 sign never 2>/dev/null\n\
        gpg --batch --armor --export hoist@example.lan >\"$1/RPM-GPG-KEY-test\"\n\
        rpmsign --define '__gpg /usr/bin/gpg' --define '_gpg_name hoist@example.lan' --addsign \"$1\"/noarch/*.rpm >/dev/null\n\
        gpgconf --kill gpg-agent";
    let mut command = Command::new("sh");
    quietly(
        command
            .args(["-c", script, "sh"])
            .arg(fleet.path("repository"))
            .env("GNUPGHOME", &home)
            .env("HOME", home),
    );
}

/// A host that has no network gets files, and its dnf has never asked for the distribution's key.
#[test]
fn pinned_packages_are_installed_with_the_keys_that_lie_on_the_host() {
    if !Command::new("sh")
        .args(["-c", "command -v gpg && command -v rpmsign"])
        .stdout(Stdio::null())
        .status()
        .unwrap()
        .success()
    {
        return skip("signed packages need Debian's packages gpg and rpm");
    }
    let Some(fleet) = start() else { return };
    sign(&fleet);
    let files = ["one", "two"].map(|name| PackageFile {
        name: format!("hoist-{name}"),
        version: "1.5-2".to_owned(),
        source: format!("hoist-{name}-1.5-2.noarch.rpm"),
        url: None,
        sha256: name.to_owned(),
    });
    let package = Package { names: vec!["hoist-one".to_owned()], files: Some(files.into()) };
    let acts = Task::Package(package).acts(&Observations::default());
    let Some(Act::Script { text, .. }) = acts.last() else { panic!("{acts:?}") };
    let repository = fleet.path("repository").display().to_string();
    // As they are when they were sent.
    let sent = format!(
        "mkdir -p /var/lib/hoist/packages /etc/pki/rpm-gpg\n\
         for name in one two; do cp {repository}/noarch/hoist-$name-*.rpm /var/lib/hoist/packages/$name.rpm || exit 1; done\n"
    );
    let tried = format!("( {text}\n) >/dev/null 2>/run/said");
    let refused = "grep -q 'Public key for .* is not installed' /run/said && grep -q 'rpmkeys --import' /run/said || \
                   { cat /run/said >&2; exit 1; }";
    fleet.on("2222", 0, &format!("{sent}{tried} && exit 1\n{refused}"));
    let key = format!("cp {repository}/RPM-GPG-KEY-test /etc/pki/rpm-gpg/ || exit 1\n");
    let there = "|| { cat /run/said >&2; exit 1; }\ngrep -q hoist-two /usr/share/hoist-two/file";
    fleet.on("2222", 0, &format!("{sent}{key}{tried} {there}"));
}
