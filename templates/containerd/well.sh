# node_is_well NAME: whether containerd answers the kubelet here, and the cluster knows this host as a node that is ready.
node_is_well() {
	crictl info || return
	ready='{.status.conditions[?(@.type=="Ready")].status}'
	[ "$(kubectl --kubeconfig /etc/kubernetes/kubelet.conf --request-timeout 5s get node "$1" -o jsonpath="$ready")" = True ]
}
