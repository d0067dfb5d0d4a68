# The mark is there while kubeadm is at work. When it is found, a run was killed in the middle, and what that run
# made is taken back first. A cluster that somebody else made has no mark and is never touched.
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
	rm -f $mark || exit
	rmdir /var/lib/hoist 2>/dev/null || :
}

kubeadm_undo() {
	kubeadm reset --force </dev/null || exit 1
{% if not cluster.etcd.external %}
	# Without a manifest of etcd, reset takes its data for somebody else's. The cluster has no such member any more.
	rm -rf /var/lib/etcd/member
{% endif %}
}
