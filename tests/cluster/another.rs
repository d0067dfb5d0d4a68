//! An etcd on hosts of its own that is not the one that API servers ask.

use crate::{
    etcd::nothing_to_change,
    stage::{Stage, until},
};

/// As where the inventory has another cluster's addresses for etcd; what its facts are read from is what kubeadm wrote.
pub fn is_refused(stage: &Stage) {
    stage.on(
        "cp1",
        "cd /etc/kubernetes/manifests && cp kube-apiserver.yaml /root/ && touch /root/other.crt\n\
         grep -q -e '--etcd-cafile=/etc/kubernetes/etcd/ca.crt' kube-apiserver.yaml || exit 1\n\
         sed -i -e 's,\\(--etcd-cafile=\\).*,\\1/root/other.crt,' -e 's,\\(--etcd-servers=\\).*,\\1https://10.77.0.99:2379,' \
         kube-apiserver.yaml",
    );
    let why = "etcd1 has data of etcd, and not of the etcd that the API server on cp1 asks (https://10.77.0.99:2379)";
    stage.hoist(&["plan"]).exits(1).says(why);
    stage
        .hoist(&["preflight"])
        .exits(1)
        .says("foreign-cluster")
        .says("and not of the etcd that the API server");
    stage.on("cp1", "mv /root/kube-apiserver.yaml /etc/kubernetes/manifests/");
    until("the API server asks its own etcd again", 120, || {
        stage.kubectl(&["get", "configmap", "kept", "--request-timeout=5s"]).exit == Some(0)
    });
    nothing_to_change(stage);
}
