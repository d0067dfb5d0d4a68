# Whoever joins is made from the cluster's settings. Where those of its own make the same of it, byte for byte, nothing is
# left to be carried over. Otherwise it stays as it joined, until its turn has come.
as_joined() {
	manifests=/etc/kubernetes/manifests joined=/var/lib/hoist/joined
	rm -rf $joined && cp -a $manifests $joined || return 0
	if kubeadm init phase control-plane all --config /etc/kubernetes/kubeadm.yaml </dev/null >/dev/null 2>&1 &&
		[ "$(cat $manifests/kube-*.yaml)" = "$(cat $joined/kube-*.yaml)" ]; then
		touch /etc/kubernetes/kubeadm.applied
	else
		cp -a $joined/kube-*.yaml $manifests/
	fi
	rm -rf $joined
}
