//! Add-ons on a real cluster, by a real helm: installed in their order, mended, upgraded, rolled back, killed, removed.

#[path = "../support/helm.rs"]
mod helm;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};

use super::{
    skip,
    stage::{Ran, Stage, cache, text, until},
};

const LAB: &str = "cluster-addons";
const NODES: &str = "cp1=10.77.0.11,w1=10.77.0.12";

/// A chart of `tests/fixtures/charts`, packed; `edit` makes another version of it.
fn pack(folder: &Path, name: &str, version: &str, edit: (&str, &str)) -> PathBuf {
    let packed = folder.join(format!("charts/{name}-{version}.tgz"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/charts").join(name);
    let file = fs::File::create(&packed).unwrap();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(file, flate2::Compression::fast()));
    let mut add = |path: &str| {
        let Ok(content) = fs::read_to_string(root.join(path)) else { return };
        let content =
            content.replace("version: 1.0.0", &format!("version: {version}")).replace(edit.0, edit.1);
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, format!("{name}/{path}"), content.as_bytes()).unwrap();
    };
    for file in ["Chart.yaml", "values.yaml", "values.schema.json", "templates/all.yaml", "crds/queues.yaml"]
    {
        add(file);
    }
    archive.into_inner().unwrap().finish().unwrap().flush().unwrap();
    packed
}

/// The lab's artifacts, with helm and these versions of the charts.
fn artifacts(stage: &Stage, helm: &Path, web: &str, edit: (&str, &str)) {
    let (lab, folder) =
        (cache().join("artifacts/kubernetes-1.20.2"), stage.path("artifacts/kubernetes-1.20.2"));
    fs::create_dir_all(folder.join("charts")).unwrap();
    for name in ["kubeadm", "kubelet", "kubectl", "crictl", "images"] {
        let _ = symlink(lab.join(name), folder.join(name));
    }
    let _ = symlink(helm, folder.join("helm"));
    let entry = |name: &str, version: &str, path: &Path| {
        let (sha256, size) = (helm::sha256(path), fs::metadata(path).unwrap().len());
        let shown = path.strip_prefix(&folder).unwrap_or(Path::new("helm")).display();
        format!("- {{name: {name}, version: {version}, path: {shown}, sha256: {sha256}, size: {size}}}\n")
    };
    let mut index = fs::read_to_string(lab.join("index.yaml")).unwrap();
    index += &format!("extras:\n{}charts:\n", entry("helm", helm::VERSION, helm));
    index += &entry("queue", "1.0.0", &pack(&folder, "queue", "1.0.0", ("", "")));
    index += &entry("web", web, &pack(&folder, "web", web, edit));
    fs::write(folder.join("index.yaml"), index).unwrap();
}

/// The inventory with these values of the web server.
fn inventory(stage: &Stage, web: &str, values: &str) {
    let own = format!(
        "addons:\n  own:\n    \
         queue: {{namespace: work, timeout: 60, chart: {{name: queue, version: 1.0.0, repository: \"https://charts.test\"}}}}\n    \
         site:\n      namespace: site\n      timeout: 20\n      after: [queue]\n      \
         chart: {{name: web, version: {web}, repository: \"https://charts.test\"}}\n      \
         values: {{{values}}}\n      manifests: {}\n\nvars:",
        text(&stage.path("manifests"))
    );
    let folder = format!("folder: {}", text(&stage.path("artifacts")));
    stage.inventory(
        "inventory.yaml",
        &[("  w2: {address: 10.77.0.13, roles: [worker]}\n", ""), ("\nvars:", &own)],
    );
    let path = stage.path("inventory.yaml");
    let said = fs::read_to_string(&path).unwrap();
    let usual = format!("folder: {}/artifacts", cache().display());
    assert!(said.contains(&usual), "{said}");
    fs::write(&path, said.replace(&usual, &folder)).unwrap();
}

fn manifests(stage: &Stage, names: &[&str]) {
    let object = |name: &&str| {
        format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: one}}\n")
    };
    fs::create_dir_all(stage.path("manifests")).unwrap();
    fs::write(stage.path("manifests/all.yaml"), names.iter().map(object).collect::<String>()).unwrap();
}

/// Manifests with a Deployment of this image, which nobody pulls.
fn deployment(stage: &Stage, image: &str) {
    manifests(stage, &["notes"]);
    let path = stage.path("manifests/all.yaml");
    let object = format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: worker}}\nspec:\n  \
         selector: {{matchLabels: {{app: worker}}}}\n  template:\n    metadata: {{labels: {{app: worker}}}}\n    \
         spec: {{containers: [{{name: worker, image: \"{image}\", imagePullPolicy: Never}}]}}\n"
    );
    fs::write(&path, fs::read_to_string(&path).unwrap() + &object).unwrap();
}

/// Rewrites a part of the inventory.
fn edit(stage: &Stage, change: impl Fn(String) -> String) {
    let path = stage.path("inventory.yaml");
    let before = fs::read_to_string(&path).unwrap();
    let after = change(before.clone());
    assert_ne!(before, after);
    fs::write(&path, after).unwrap();
}

/// A library whose KEDA has no chart, but a gate that needs no image.
fn proven(stage: &Stage) -> PathBuf {
    let folder = stage.path("library/roles/addons/keda");
    fs::create_dir_all(&folder).unwrap();
    fs::write(
        folder.join("addon.yaml"),
        "about: A manifest with a gate.\nnamespace: demo\nmanifests: [all.yaml]\ngates: [pods-reach-each-other]\n",
    )
    .unwrap();
    let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: proven}\n";
    fs::write(folder.join("all.yaml"), object).unwrap();
    stage.path("library")
}

const ADMIN: &str = "kubectl --kubeconfig /etc/kubernetes/admin.conf";

fn kubectl(stage: &Stage, words: &str) -> String {
    stage.on("cp1", &format!("{ADMIN} {words}"))
}

fn page(stage: &Stage) -> String {
    kubectl(stage, "-n site get configmap site -o jsonpath='{.data.index\\.html}'")
}

#[track_caller]
fn nothing_left(stage: &Stage) -> Ran {
    stage.hoist(&["plan"]).exits(0)
}

#[test]
#[ignore = "needs root and the lab: run tests/run"]
fn addons() {
    if !nix::unistd::geteuid().is_root() || !cache().join("lab/node.tar").exists() {
        return skip::skip("needs root and a cache that `hoist lab setup` has filled");
    }
    let helm = match helm::helm(&cache()) {
        Ok(helm) => helm,
        Err(reason) => return skip::skip(&reason),
    };
    let stage = Stage::new(LAB, include_str!("../../inventory/lab.yaml"));
    eprintln!();
    artifacts(&stage, &helm, "1.0.0", ("", ""));
    manifests(&stage, &["notes", "more"]);
    stage.step("two nodes", || {
        stage.hoist(&["lab", "up", "--nodes", NODES]).exits(0);
    });
    stage.step("wrong values and a chart that is missing are refused first", || {
        inventory(&stage, "1.0.0", "pagee: x, replicas: three");
        let ran = stage.hoist(&["apply"]).exits(65);
        let ran = ran.says("addons.own.site.values.pagee: there is no such key: did you mean `page`?");
        ran.says("addons.own.site.values.replicas: it is the text \"three\", expected integer");
        let index = stage.path("artifacts/kubernetes-1.20.2/index.yaml");
        let whole = fs::read_to_string(&index).unwrap();
        fs::write(&index, whole.replace("{name: web,", "{name: other,")).unwrap();
        stage.hoist(&["apply"]).exits(65).says("its chart `web` is not among the artifacts");
        fs::write(&index, whole).unwrap();
        assert!(!stage.holds_on("cp1", "test -e /etc/kubernetes/admin.conf"), "nothing was changed");
    });
    stage.step("the cluster with two add-ons, one after the other", || {
        inventory(&stage, "1.0.0", "page: one");
        stage.hoist(&["plan"]).exits(2).says("install chart web 1.0.0 into site");
        let ran = stage.hoist(&["apply", "--output", "json"]).exits(0);
        let at = |what: &str| ran.stdout.find(what).unwrap_or_else(|| panic!("{what}: {ran}"));
        assert!(
            at("\"event\":\"addon-done\",\"addon\":\"queue\"")
                < at("\"event\":\"addon-started\",\"addon\":\"site\"")
        );
        assert_eq!(page(&stage), "one");
        assert_eq!(kubectl(&stage, "-n work get queue queue -o jsonpath={.spec.size}"), "1");
        assert_eq!(kubectl(&stage, "-n site get configmap notes -o jsonpath={.data.a}"), "one");
    });
    stage.step("a second apply changes nothing", || {
        stage.hoist(&["apply"]).exits(0).says("0 changes");
        nothing_left(&stage);
        stage.hoist(&["addon", "list"]).exits(0).says("site yes 1.0.0 1.0.0 installed");
        stage.hoist(&["addon", "status", "site"]).exits(0).says("1 of 1 pods ready");
    });
    stage.step(
        "an add-on is proven on all nodes when it is installed, and again when that is asked for",
        || {
            let library = proven(&stage);
            let with = |words: &[&str]| stage.hoist(&[words, &["--roles", text(&library)]].concat());
            edit(&stage, |said| said.replace("addons:\n", "addons:\n  keda: {}\n"));
            with(&["addon", "status", "keda", "--prove"]).exits(1).says("not proven: it is not installed");
            with(&["apply"]).exits(0).says("prove pods-reach-each-other");
            let ran = with(&["addon", "status", "keda", "--prove"]).exits(0);
            ran.says("proven: a pod on every node").says("pods on 2 nodes reached each other on all 4 ways");
            with(&["addon", "status", "keda", "--disrupt"]).exits(0).says("Nothing of what is installed");
            // What was proven on both nodes is nothing to prove again, and on one alone it is.
            with(&["plan"]).exits(0);
            let record = "-n demo patch configmap hoist-addon-keda --type merge -p";
            kubectl(&stage, &format!("{record} '{{\"data\":{{\"nodes\":\"[\\\"cp1\\\"]\"}}}}'"));
            with(&["plan"]).exits(2).says("prove by use: pods-reach-each-other, which w1 has not seen");
            with(&["apply"]).exits(0);
            with(&["plan"]).exits(0);
            edit(&stage, |said| said.replace("  keda: {}\n", ""));
            stage
                .hoist(&["addon", "remove", "keda", "--yes", "--with-namespace"])
                .exits(0)
                .says("Namespace demo");
            nothing_left(&stage);
        },
    );
    stage.step("what somebody changed is shown and mended", || {
        kubectl(&stage, "-n site delete deployment site");
        kubectl(&stage, "-n site patch configmap site -p '{\"data\":{\"index.html\":\"hand\"}}'");
        kubectl(&stage, "-n site delete configmap notes");
        kubectl(&stage, "-n work patch queue queue --type merge -p '{\"spec\":{\"size\":7}}'");
        let ran = stage.hoist(&["addon", "diff"]).exits(2);
        let ran = ran.says("mend Deployment site/site: it is gone").says("make ConfigMap site/notes");
        ran.says("mend ConfigMap site/site: somebody changed it").says("- size: 7");
        stage.hoist(&["apply"]).exits(0);
        assert_eq!(page(&stage), "one");
        assert_eq!(kubectl(&stage, "-n work get queue queue -o jsonpath={.spec.size}"), "1");
        nothing_left(&stage);
    });
    stage.step("an upgrade, values, and a manifest taken out, by a saved plan", || {
        artifacts(&stage, &helm, "1.1.0", ("targetPort: 8080", "targetPort: 8080, name: http"));
        inventory(&stage, "1.1.0", "page: two, podAnnotations: {by: hoist}");
        manifests(&stage, &["notes"]);
        let plan = stage.path("saved.plan");
        let ran = stage.hoist(&["plan", "--diff", "--out", text(&plan)]).exits(2);
        ran.says("web 1.0.0 -> web 1.1.0")
            .says("+page: two")
            .says("delete ConfigMap more: it is not declared any more");
        stage.hoist(&["apply", text(&plan)]).exits(0);
        stage.hoist(&["apply", text(&plan)]).exits(3).says("add-on site: holds by now");
        assert_eq!(page(&stage), "two");
        assert_eq!(
            stage.on("cp1", "ls /var/lib/hoist/addons | grep -c '^web-'").trim(),
            "1",
            "the old chart is gone"
        );
        assert!(!stage.holds_on("cp1", &format!("{ADMIN} -n site get configmap more")));
        nothing_left(&stage);
    });
    stage.step("a worker that fails keeps no add-on from the others", || {
        inventory(&stage, "1.1.0", "page: without w1");
        let taken = "/etc/modules-load.d/kubernetes.conf";
        stage.on("w1", &format!("rm {taken} && mkdir {taken}"));
        stage.hoist(&["apply"]).exits(1).says("w1").says("a directory is in its place");
        assert_eq!(page(&stage), "without w1");
        stage.on("w1", &format!("rmdir {taken}"));
        stage.hoist(&["apply"]).exits(0);
        nothing_left(&stage);
        inventory(&stage, "1.1.0", "page: two");
        stage.hoist(&["apply"]).exits(0);
    });
    stage.step("a worker without power keeps no DaemonSet of a chart from the others", || {
        stage.hoist(&["lab", "stop", "w1"]).exits(0);
        let ready = "get node w1 -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].status}'";
        until("w1 is not ready", 120, || kubectl(&stage, ready) == "Unknown");
        // The server has no other worker to run on.
        inventory(&stage, "1.1.0", "page: without power, replicas: 0, everywhere: true");
        let ran = stage.hoist(&["apply"]).exits(69);
        ran.says("not for pods of DaemonSets on nodes that are not ready: w1");
        assert_eq!(page(&stage), "without power");
        let pods = "-n site get daemonset site-everywhere -o jsonpath='{.status.numberReady}'";
        assert_eq!(kubectl(&stage, pods), "1");
        stage.hoist(&["lab", "start", "w1"]).exits(0);
        until("w1 is ready", 120, || kubectl(&stage, ready) == "True");
        until("its pod runs there, too", 60, || kubectl(&stage, pods) == "2");
        stage.hoist(&["apply"]).exits(0);
        nothing_left(&stage);
        inventory(&stage, "1.1.0", "page: two");
        stage.hoist(&["apply"]).exits(0);
    });
    stage.step("a release that does not get ready is rolled back, and why is said", || {
        inventory(&stage, "1.1.0", "page: three, probe: {port: 8081}");
        let ran = stage.hoist(&["apply"]).exits(1);
        ran.says("helm ended with status 1").says("rolled back").says("likely cause: pods did not get ready");
        assert_eq!(page(&stage), "two");
        stage.hoist(&["plan"]).exits(2);
    });
    stage.step("killed in the middle of helm", || {
        let mut command = stage.command(&["apply"]);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let pending = "-n site get secrets -l owner=helm,status=pending-upgrade -o name";
        until("helm is at work", 60, || stage.holds_on("cp1", &format!("{ADMIN} {pending} | grep -q .")));
        stage.on("cp1", "pkill -9 -f 'helm-.* [u]pgrade'; true");
        run.kill().unwrap();
        run.wait().unwrap();
        inventory(&stage, "1.1.0", "page: four");
        stage.hoist(&["addon", "list"]).exits(0).says("stuck");
        stage.hoist(&["apply"]).exits(0);
        assert_eq!(page(&stage), "four");
        nothing_left(&stage);
    });
    stage.step("the API server stops in the middle, and comes back", || {
        inventory(&stage, "1.1.0", "page: five, replicas: 2");
        let mut command = stage.command(&["apply"]);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("helm is at work", 60, || stage.holds_on("cp1", "pgrep -f 'helm-.* [u]pgrade'"));
        stage.on("cp1", "pkill -9 kube-apiserver");
        run.wait().unwrap();
        until("the API server answers", 120, || stage.holds_on("cp1", &format!("{ADMIN} get --raw /readyz")));
        stage.hoist(&["apply"]).exits(0);
        assert_eq!(page(&stage), "five");
        nothing_left(&stage);
    });
    stage.step("a chart that is taken out of an add-on goes, and what manifests declare stays", || {
        edit(&stage, |said| {
            let begin = said.find("      chart: {name: web").unwrap();
            let end = begin + said[begin..].find("      manifests: ").unwrap();
            format!("{}{}", &said[..begin], &said[end..])
        });
        // The chart has an object of this name, too: it stays, whoever deletes it.
        manifests(&stage, &["notes", "site"]);
        let gone = "remove the release site (chart web 1.1.0): its chart is not declared any more";
        stage.hoist(&["plan"]).exits(2).says(gone);
        stage.hoist(&["apply"]).exits(0).says("remove chart web 1.1.0");
        assert!(!stage.holds_on("cp1", "ls /var/lib/hoist/addons | grep '^web-'"), "nobody needs it");
        assert!(!stage.holds_on("cp1", &format!("{ADMIN} -n site get deployment site")));
        assert!(
            !stage.holds_on("cp1", &format!("{ADMIN} -n site get secrets -l owner=helm -o name | grep ."))
        );
        assert_eq!(kubectl(&stage, "-n site get configmap notes -o jsonpath={.data.a}"), "one");
        assert_eq!(kubectl(&stage, "-n site get configmap site -o jsonpath={.data.a}"), "one");
        stage.hoist(&["addon", "list"]).exits(0).says("site yes - - installed");
        nothing_left(&stage);
        // Helm takes over nothing that is there.
        manifests(&stage, &["notes"]);
        stage.hoist(&["apply"]).exits(0);
        inventory(&stage, "1.1.0", "page: five");
        stage.hoist(&["apply"]).exits(0);
        assert_eq!(page(&stage), "five");
        nothing_left(&stage);
    });
    stage.step("pods of manifests are waited for, and why they are not ready is said until they are", || {
        for _ in 0..2 {
            deployment(&stage, "registry.invalid/none:1");
            let ran = stage
                .hoist(&["apply"])
                .exits(1)
                .says("after 20 s Deployment site/worker has 0 of 1 pods ready");
            ran.says("likely cause: pods did not get ready: worker-").says("ErrImageNeverPull");
            stage.hoist(&["plan"]).exits(2).says("wait until its pods are ready");
        }
        deployment(&stage, "k8s.gcr.io/pause:3.2");
        stage.hoist(&["apply"]).exits(0);
        nothing_left(&stage);
        manifests(&stage, &["notes"]);
        stage.hoist(&["apply"]).exits(0);
        nothing_left(&stage);
    });
    stage.step("what is not wanted any more is named, and removed when asked", || {
        for args in [&["addon", "remove", "site"][..], &["addon", "remove", "site", "--yes"]] {
            stage.hoist(args).exits(64).says("the inventory asks for `site`");
        }
        let path = stage.path("inventory.yaml");
        let said = fs::read_to_string(&path).unwrap();
        let begin = said.find("    site:\n").unwrap();
        let end = said.find("\nvars:").unwrap();
        fs::write(&path, format!("{}{}", &said[..begin], &said[end..])).unwrap();
        stage.hoist(&["plan"]).exits(0).says("add-on site is not wanted any more: `hoist addon remove site`");
        stage
            .hoist(&["addon", "remove", "site"])
            .exits(0)
            .says("With --yes this is removed: release site/site");
        assert_eq!(page(&stage), "five");
        kubectl(&stage, "-n site create configmap theirs");
        stage.hoist(&["addon", "remove", "site", "--yes"]).exits(0).says("Namespace site and all else in it");
        assert!(stage.holds_on("cp1", &format!("{ADMIN} -n site get configmap theirs")));
        assert!(!stage.holds_on("cp1", &format!("{ADMIN} -n site get deployment site")));
        assert!(!stage.holds_on("cp1", &format!("{ADMIN} -n site get configmap notes")));
        nothing_left(&stage);
    });
}
