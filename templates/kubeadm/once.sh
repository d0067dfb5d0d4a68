# The mark is there while kubeadm is at work. When it is found, a run was killed in the middle, and what that run
# made is taken back first. A cluster that somebody else made has no mark and is never touched.
kubeadm_once() {
	mark=/var/lib/hoist/kubeadm-at-work
	[ ! -e $mark ] || kubeadm reset --force </dev/null || exit 1
	mkdir -p /var/lib/hoist && : > $mark && sync $mark && kubeadm "$@" && rm -f $mark || exit
	rmdir /var/lib/hoist 2>/dev/null || :
}
