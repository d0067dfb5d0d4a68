//! Packages on a host whose package manager is apt: the real one, with small packages in a repository of their own.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use hoist::artifact::Lock;

use crate::{
    bed::{Fleet, Ran, address},
    files::{digest, events, serve, sources},
    skip::skip,
};

/// Nothing of this machine is changed: what a package manager writes to is an overlay of the host's.
const HOST: &str = r#"set -e
cd "$layers"
for folder in usr var; do
    mkdir $folder-up $folder-work
    mount -t overlay -o lowerdir=/$folder,upperdir=$folder-up,workdir=$folder-work overlay /$folder
done
rm -rf /etc/apt/* /var/lib/apt/lists /var/cache/apt /etc/dpkg/dpkg.cfg.d
mkdir -p /etc/apt/apt.conf.d /etc/apt/preferences.d /var/lib/apt/lists/partial /var/cache/apt/archives/partial
echo "deb [trusted=yes] file:$repository ./" >/etc/apt/sources.list
# The folder of a test is closed to others.
echo 'APT::Sandbox::User "root";' >/etc/apt/apt.conf.d/00test"#;

struct Host(Fleet);

impl Host {
    fn start() -> Option<Host> {
        let there = "command -v apt-get && command -v dpkg-deb";
        if !Command::new("sh").args(["-c", there]).stdout(Stdio::null()).status().unwrap().success() {
            skip("a host with apt needs Debian's packages apt and dpkg");
            return None;
        }
        let fleet = Fleet::start(&["cp1"])?;
        fs::create_dir(fleet.path("repository")).unwrap();
        let layers = fleet.path(&address(0)).display().to_string();
        let repository = fleet.path("repository").display().to_string();
        fleet.on("2222", 0, &format!("layers={layers} repository={repository}\n{HOST}"));
        Some(Host(fleet))
    }

    /// Puts a package into the repository, in place of another version of it.
    fn publish(&self, name: &str, version: &str, fields: &str, postinst: &str) {
        let Host(fleet) = self;
        let tree = fleet.path(&format!("build/{name}"));
        fs::create_dir_all(tree.join("DEBIAN")).unwrap();
        fs::create_dir_all(tree.join("usr/share").join(name)).unwrap();
        fs::write(tree.join("usr/share").join(name).join("file"), version).unwrap();
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: a test <test@example.lan>\n{fields}\
             Description: a test\n"
        );
        fs::write(tree.join("DEBIAN/control"), control).unwrap();
        let script = tree.join("DEBIAN/postinst");
        fs::write(&script, format!("#!/bin/sh\n{postinst}\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let index = "set -e\ncd \"$1\"\nrm -f \"$3\"_*.deb\ndpkg-deb --root-owner-group -b \"$2\" . >/dev/null\n\
                     for file in *.deb; do\ndpkg-deb -f \"$file\"\n\
                     printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' \"$file\" $(wc -c <\"$file\") \
                     $(sha256sum <\"$file\" | cut -d ' ' -f 1)\ndone >Packages";
        let mut command = Command::new("sh");
        command.args(["-c", index, "sh"]).arg(fleet.path("repository")).arg(tree).arg(name);
        assert!(command.status().unwrap().success(), "{name}");
    }

    /// A role that installs these, by its own name.
    fn wants(&self, role: &str, names: &str) {
        self.0.role(role, &format!("tasks: [{{name: tools, package: {{names: [{names}]}}}}]"));
    }

    fn hoist(&self, verb: &str, role: &str) -> Ran {
        self.0.hoist(verb, &["--only", role])
    }

    fn on(&self, script: &str) {
        self.0.on("2222", 0, &format!("set -e\n{script}"));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let touched =
            Path::new("/usr/share/hoist-one").exists() || Path::new("/usr/share/hoist-two").exists();
        assert!(!touched || std::thread::panicking(), "this machine was changed");
    }
}

#[test]
fn packages_of_a_repository_are_installed_once() {
    let Some(host) = Host::start() else { return };
    let facts = Ran::of(host.0.command(&["facts", "--output", "json"])).exits(0);
    assert!(facts.stdout.contains("\"packages\": \"apt\""), "{facts}");
    host.publish("hoist-one", "1.5", "Depends: hoist-two\n", "");
    host.publish("hoist-two", "1.5", "", "");
    // The host has no list of what is in the repository yet.
    host.wants("one", "hoist-one");
    host.hoist("plan", "one").exits(2).says("install hoist-one").says_nothing_of("hoist-two");
    host.hoist("apply", "one").exits(0).says("1 change");
    host.hoist("plan", "one").exits(0).says("Nothing to change: 1 statement");
    host.on("grep -q 1.5 /usr/share/hoist-one/file; grep -q 1.5 /usr/share/hoist-two/file");
    // Nor of what came since: its list names a file that is gone.
    host.on("dpkg --purge hoist-one hoist-two >/dev/null");
    host.publish("hoist-two", "1.6", "", "");
    host.wants("both", "hoist-two, hoist-one");
    host.hoist("apply", "both").exits(0).says("1 change");
    host.on("grep -q 1.6 /usr/share/hoist-two/file");
    host.hoist("apply", "both").exits(0).says("Nothing to change");
}

#[test]
fn an_installation_that_was_cut_off_is_finished() {
    let Some(host) = Host::start() else { return };
    host.publish("hoist-one", "1.5", "", "[ ! -e /run/broken ]");
    host.publish("hoist-two", "1.5", "", "");
    // As dpkg leaves it when it is killed: half configured, and with an update that is not in its list yet.
    host.on(
        "touch /run/broken\napt-get -qy update >/dev/null\n! apt-get -qy install hoist-one >/dev/null 2>&1\n\
         dpkg-query -s hoist-one >/var/lib/dpkg/updates/0000\nrm /run/broken",
    );
    host.on("[ \"$(dpkg-query -W -f '${db:Status-Status}' hoist-one)\" = half-configured ]");
    host.wants("two", "hoist-two");
    host.hoist("apply", "two").exits(0).says("1 change");
    host.on("[ \"$(dpkg-query -W -f '${db:Status-Status}' hoist-one hoist-two)\" = installedinstalled ]");
}

#[test]
fn nothing_is_removed_for_a_package() {
    let Some(host) = Host::start() else { return };
    host.publish("hoist-one", "1.5", "Conflicts: hoist-two\n", "");
    host.publish("hoist-two", "1.5", "", "");
    host.wants("two", "hoist-two");
    host.hoist("apply", "two").exits(0);
    host.wants("one", "hoist-one");
    let ran = host.hoist("apply", "one").exits(1).says("cp1: one: tools: ").says("remove is disabled");
    ran.says("likely cause: the package conflicts with others that are installed, and hoist removes none");
    host.on("[ \"$(dpkg-query -W -f '${db:Status-Status}' hoist-two)\" = installed ]");
    host.wants("none", "nobody-has-this");
    let ran = host.hoist("apply", "none").exits(1).says("Unable to locate package nobody-has-this");
    ran.says("likely cause: the host's package repositories do not have the package");
}

#[test]
fn a_pinned_package_is_fetched_where_the_lock_says_and_sent_where_that_does_not_answer() {
    let Some(host) = Host::start() else { return };
    host.publish("hoist-one", "1.5", "", "");
    host.wants("one", "hoist-one");
    let fleet = &host.0;
    let package = fs::read(fleet.path("repository/hoist-one_1.5_all.deb")).unwrap();
    let (url, asked) = serve(fleet, package.clone());
    let inventory = fs::read_to_string(fleet.path("inventory.yaml")).unwrap();
    let fetching = inventory.replace("artifacts: {", "artifacts: {packages: pinned, from: origin, ");
    fleet.write("inventory.yaml", &fetching);
    pins(fleet, &package, &format!("{url}/file.deb"));
    let apply = || fleet.hoist("apply", &["--only", "one", "--output", "json"]).exits(0);
    assert_eq!(sources(&apply()), [format!("{url}/file.deb")]);
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
    host.on("grep -q 1.5 /usr/share/hoist-one/file");
    host.hoist("plan", "one").exits(0).says("Nothing to change");

    // Only the inventory's proxy can answer for this name.
    host.on("dpkg --purge hoist-one >/dev/null");
    pins(fleet, &package, "http://nowhere.invalid/file.deb");
    let proxy = format!("kubernetes: \"1.20.2\", proxy: {{http: \"{url}\"}}");
    fleet.write("inventory.yaml", &fetching.replace("kubernetes: \"1.20.2\"", &proxy));
    assert_eq!(sources(&apply()), ["http://nowhere.invalid/file.deb"]);

    // Nobody does: it comes from here.
    host.on("dpkg --purge hoist-one >/dev/null");
    fleet.write("inventory.yaml", &fetching);
    pins(fleet, &package, "http://127.0.0.1:9/file.deb");
    let ran = apply();
    assert_eq!(sources(&ran), ["installer"]);
    assert_eq!(events(&ran, "fallback")[0]["from"], "http://127.0.0.1:9/file.deb", "{ran}");
    host.on("grep -q 1.5 /usr/share/hoist-one/file");
}

/// A lock that pins the package at this address, and the folder of artifacts that is made from it.
fn pins(fleet: &Fleet, package: &[u8], url: &str) {
    let facts = Ran::of(fleet.command(&["facts", "--output", "json"])).exits(0);
    let facts: serde_json::Value = serde_json::from_str(&facts.stdout).unwrap();
    let os = &facts[0]["facts"]["os"];
    let text = |key: &str| os[key].as_str().unwrap_or_else(|| panic!("{facts}")).to_string();
    let os = format!("{}-{}", text("id"), text("version"));
    let (sha256, size) = (digest(package), package.len());
    let system = |place: &str, more: &str| {
        format!(
            "packages:\n- os: {os}\n{more}  needs: {{hoist-one: [hoist-one]}}\n  files:\n  \
             - {{name: hoist-one, version: '1.5', {place}, sha256: {sha256}, size: {size}}}\n"
        )
    };
    let pinned = system(&format!("url: '{url}'"), "  architecture: amd64\n");
    let kubeadm = "{name: kubeadm, version: 1.20.2, architecture: amd64, place: host, url: 'https://nowhere.invalid/kubeadm'";
    let lock = format!(
        "kubernetes: 1.20.2\narchitectures: [amd64]\nfiles:\n- {kubeadm}, sha256: {sha256}, size: 7}}\nimages: []\n{pinned}"
    );
    fleet.write("hoist.lock", &lock);
    let lock = Lock::load(&fleet.path("hoist.lock")).unwrap().digest().unwrap();
    let head = format!("kubernetes: 1.20.2\norigin: hoist.lock sha256:{lock}\nfiles: []\nimages: []\n");
    fleet.write(
        "artifacts/kubernetes-1.20.2/index.yaml",
        &format!("{head}{}", system("path: hoist-one.deb", "")),
    );
    fs::write(fleet.path("artifacts/kubernetes-1.20.2/hoist-one.deb"), package).unwrap();
}
