//! What hoist keeps on control planes for add-ons and nobody needs any more: charts of other versions, and other helms.

use std::collections::BTreeSet;

use super::{
    Crew,
    helm::{FOLDER, chart_name, program_name},
};
use crate::{
    cluster::ways,
    transport::{Script, quote},
};

/// Names of charts and programs end with so much of their digest: nothing else is touched.
const DIGEST: &str = "????????????????????????????????";

impl Crew<'_> {
    /// Takes away what no add-on that is wanted needs, from every control plane that answers. That it fails is no matter: what
    /// is left goes another time.
    pub(super) async fn tidy(&self) {
        let charts = self.wanted.iter().filter_map(|desired| desired.release.as_ref()).map(chart_name);
        let kept: BTreeSet<String> = charts.chain(self.helm.as_ref().map(program_name)).collect();
        let script = script(FOLDER, &kept);
        for way in ways(self.inventory, self.session) {
            let _ = way.host.run(Script::new(script.clone())).await;
        }
    }
}

fn script(folder: &str, kept: &BTreeSet<String>) -> String {
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    format!(
        "cd {} 2>/dev/null || exit 0\n\
         for file in helm-{DIGEST} *-{DIGEST}.tgz; do\n\
           case {} in *\"/$file/\"*) ;; *) rm -f -- \"$file\" ;; esac\n\
         done\n",
        quote(folder),
        quote(&format!("/{}/", kept.join("/")))
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Host as _, Local};

    #[tokio::test]
    async fn other_charts_and_helms_go_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = ("a".repeat(32), "b".repeat(32));
        let names = [
            format!("web-{old}.tgz"),
            format!("web-{new}.tgz"),
            format!("gone-{new}.tgz"),
            format!("helm-{old}"),
            format!("helm-{new}"),
            "said.x".to_owned(),
            "web.tgz".to_owned(),
        ];
        for name in &names {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let kept = BTreeSet::from([format!("web-{new}.tgz"), format!("helm-{new}")]);
        let local = Local::open("here").await.unwrap();
        let there = async |folder: &str| local.run(Script::new(script(folder, &kept))).await.unwrap().status;
        assert_eq!(there(folder.path().to_str().unwrap()).await, 0);
        let left: BTreeSet<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let others = ["said.x".to_owned(), "web.tgz".to_owned()];
        assert_eq!(left, kept.iter().cloned().chain(others).collect());
        assert_eq!(there("/nowhere").await, 0);
    }
}
