# running NAME: the containers of this name that run, among those of the control plane.
running() {
	for id in $(ctr -n k8s.io containers list -q "labels.\"io.kubernetes.container.name\"==$1,labels.\"io.kubernetes.pod.namespace\"==kube-system" 2>/dev/null); do
		ctr -n k8s.io tasks list | awk -v id="$id" '$1 == id && $3 == "RUNNING" { print id }'
	done
}

# restarted NAME…: ends these containers at once, for the kubelet takes its time to start each, and waits until there are
# new ones. Of some there may be none.
restarted() {
	names= old=
	for name in "$@"; do
		ids=$(echo $(running "$name"))
		[ -z "$ids" ] || { names="$names $name" old="$old $ids"; }
	done
	for id in $old; do
		ctr -n k8s.io tasks kill --signal SIGTERM "$id" || return
	done
	attempts=0
	for name in $names; do
		until anew "$name" "$old"; do
			attempts=$((attempts + 1))
			[ $attempts -lt 180 ] || { echo "$name did not come back" >&2; return 1; }
			# As long as the kubelet itself lets them take to end.
			if [ $attempts = 30 ]; then
				for id in $old; do ctr -n k8s.io tasks kill --signal SIGKILL "$id" 2>/dev/null; done
			fi
			sleep 1
		done
	done
}

# anew NAME OLD: whether a container of the name runs that is none of the old ones.
anew() {
	for id in $(running "$1"); do
		case " $2 " in *" $id "*) ;; *) return 0 ;; esac
	done
	return 1
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
