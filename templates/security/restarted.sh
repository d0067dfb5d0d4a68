# running NAME: the containers of this name that run, among those of the control plane.
running() {
	for id in $(ctr -n k8s.io containers list -q "labels.\"io.kubernetes.container.name\"==$1,labels.\"io.kubernetes.pod.namespace\"==kube-system" 2>/dev/null); do
		ctr -n k8s.io tasks list | awk -v id="$id" '$1 == id && $3 == "RUNNING" { print id }'
	done
}

# restarted NAME: ends the container, and waits until the kubelet has started another one. There may be none, such as etcd
# that runs elsewhere.
restarted() {
	old=$(running "$1")
	[ -n "$old" ] || return 0
	for id in $old; do
		ctr -n k8s.io tasks kill --signal SIGTERM "$id" || return
	done
	attempts=0
	until new=$(running "$1") && [ -n "$new" ] && [ "$new" != "$old" ]; do
		attempts=$((attempts + 1))
		[ $attempts -lt 180 ] || { echo "$1 did not come back" >&2; return 1; }
		sleep 1
	done
}

# ready ADDRESS:PORT: waits until this host's own API server serves.
ready() {
	attempts=0
	until kubectl --kubeconfig /etc/kubernetes/admin.conf --server "https://$1" get --raw /readyz >/dev/null 2>&1; do
		attempts=$((attempts + 1))
		[ $attempts -lt 180 ] || { echo "the API server at $1 is not ready" >&2; return 1; }
		sleep 1
	done
}
