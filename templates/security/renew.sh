{% include "security/restarted.sh" %}

# renew ADDRESS:PORT of this host's API server: new certificates from the cluster's own authorities, and everything
# that reads its certificates only when it starts is started anew. Not etcd, which reads its own at every handshake:
# where another member is away, each restart would cost the majority.
renew() {
	export KUBECONFIG=/etc/kubernetes/admin.conf
	kubeadm certs renew all >/dev/null || exit
	restarted kube-apiserver kube-controller-manager kube-scheduler || exit
	ready "$1" || exit
}
