# Whoever joins is made from the cluster's settings. Where those of its own make the same of it, byte for byte, nothing is
# left to be carried over. They are carried out where nobody but this shell sees them: in a mount namespace of its own.
as_joined() {
	# Its API server began when these files were there.
	touch /etc/kubernetes/security.applied
	! certificate_has_names || touch /etc/kubernetes/api-names.applied
	manifests=/etc/kubernetes/manifests
	drafts=$(mktemp -d) || return 0
	if unshare --mount sh -c 'mount --bind "$1" "$2" && kubeadm init phase control-plane all --config "$3"' \
		sh "$drafts" $manifests /etc/kubernetes/kubeadm.yaml </dev/null >/dev/null 2>&1 &&
		[ -e "$drafts/kube-apiserver.yaml" ] && [ "$(cat "$drafts"/kube-*.yaml)" = "$(cat $manifests/kube-*.yaml)" ]; then
		touch /etc/kubernetes/kubeadm.applied
	fi
	rm -rf "$drafts"
}

# Its certificate was made with the names that the cluster has, which may be older than those here.
certificate_has_names() {
	certificate=/etc/kubernetes/pki/apiserver.crt
	[ -e $certificate ] || return
	for name in $(cat /etc/kubernetes/api-names); do
		# What is no address matches, as an address, every certificate.
		case $name in *[!0-9.]*) kind=host ;; *) kind=ip ;; esac
		openssl x509 -noout -in $certificate -check$kind "$name" 2>/dev/null | grep -q 'does match' || return
	done
}
