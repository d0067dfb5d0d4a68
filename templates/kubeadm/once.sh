{# The mark is there while kubeadm is at work. When it is found, a run was killed in the middle, and what that run
   made is taken back first. A cluster that somebody else made has no mark and is never touched. #}
kubeadm_once() {
	mark=/var/lib/hoist/kubeadm-at-work
	[ ! -e $mark ] || kubeadm_undo
	mkdir -p /var/lib/hoist && : > $mark && sync $mark || exit
	rm -f /etc/kubernetes/*.applied
	${kubeadm_before:-:} || exit
	kubeadm "$@" || exit
	# Whoever initialises has made everything of what is there; who joins, of what the cluster has.
	touch /etc/kubernetes/kubelet-settings.applied
	[ "$1" != init ] || touch /etc/kubernetes/api-names.applied /etc/kubernetes/kubeadm.applied
{% if cluster.etcd.external %}
	rm -rf /var/lib/hoist/pki
{% endif %}
	rm -f $mark || exit
	rmdir /var/lib/hoist 2>/dev/null || :
}

kubeadm_undo() {
{% if cluster.etcd.external %}
	# What an API server has written to etcd outlives the reset, and only the same keys fit it.
	kept=/var/lib/hoist/pki
	if [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ]; then
		rm -rf $kept.part && cp -a /etc/kubernetes/pki $kept.part && rm -rf $kept && mv $kept.part $kept || exit 1
	fi
	kubeadm reset --force </dev/null || exit 1
	[ ! -e $kept ] || { mkdir -p /etc/kubernetes/pki && cp -a $kept/. /etc/kubernetes/pki/; } || exit 1
{% else %}
	kubeadm reset --force </dev/null || exit 1
	# Without a manifest of etcd, reset takes its data for somebody else's. The cluster has no such member any more.
	rm -rf /var/lib/etcd/member
{% endif %}
}
