# Whoever joins is made from the cluster's settings. Where those of its own make the same of it, byte for byte, nothing is
# left to be carried over. They are carried out where nobody but this shell sees them: in a mount namespace of its own.
as_joined() {
	# Its API server began when these files were there.
	touch /etc/kubernetes/security.applied
	manifests=/etc/kubernetes/manifests
	drafts=$(mktemp -d) || return 0
	if unshare --mount sh -c 'mount --bind "$1" "$2" && kubeadm init phase control-plane all --config "$3"' \
		sh "$drafts" $manifests /etc/kubernetes/kubeadm.yaml </dev/null >/dev/null 2>&1 &&
		[ -e "$drafts/kube-apiserver.yaml" ] && [ "$(cat "$drafts"/kube-*.yaml)" = "$(cat $manifests/kube-*.yaml)" ]; then
		touch /etc/kubernetes/kubeadm.applied
	fi
	rm -rf "$drafts"
}
