# The mark is there while kubeadm is at work. When it is found, a run was killed in the middle, and what that run
# made is taken back first. A cluster that somebody else made has no mark and is never touched.
kubeadm_once() {
	mark=/var/lib/hoist/kubeadm-at-work
{% if cluster.etcd.external %}
	# What an API server has written to etcd outlives the reset, and only the same keys fit it.
	kept=/var/lib/hoist/pki
	if [ -e $mark ] && [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ]; then
		rm -rf $kept.part && cp -a /etc/kubernetes/pki $kept.part && rm -rf $kept && mv $kept.part $kept || exit 1
	fi
{% endif %}
	[ ! -e $mark ] || kubeadm reset --force </dev/null || exit 1
{% if cluster.etcd.external %}
	[ ! -e $kept ] || { mkdir -p /etc/kubernetes/pki && cp -a $kept/. /etc/kubernetes/pki/; } || exit 1
{% endif %}
	mkdir -p /var/lib/hoist && : > $mark && sync $mark && kubeadm "$@" && rm -f $mark || exit
{% if cluster.etcd.external %}
	rm -rf $kept
{% endif %}
	rmdir /var/lib/hoist 2>/dev/null || :
}
