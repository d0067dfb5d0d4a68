# end_old_watches ADDRESS:PORT: ends this host's API server if etcd had no leader in its time, and waits for the next one.
end_old_watches() {
	log=$(ls -t /var/log/pods/kube-system_kube-apiserver-*/kube-apiserver/*.log | head -n 1)
	if grep -q 'etcdserver: no leader' "$log"; then
		restarted kube-apiserver && ready "$1" || exit
	fi
	touch /etc/kubernetes/watches.applied
}
