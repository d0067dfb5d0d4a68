{% include "security/restarted.sh" %}

# renew ADDRESS:PORT of this host's API server: new certificates from the cluster's own authorities, and everything
# that reads its certificates only when it starts is started anew. Not etcd, which reads its own at every handshake:
# where another member is away, each restart would cost the majority.
#
# An API server that did not serve before, as where certificates have expired, may do so only when other members of etcd
# are renewed: that is not waited for here.
renew() {
	export KUBECONFIG=/etc/kubernetes/admin.conf
	if serves "$1"; then
		kubeadm certs renew all >/dev/null || exit
		restarted kube-apiserver kube-controller-manager kube-scheduler || exit
		ready "$1" || exit
	else
		# Without the file kubeadm would ask the API server.
		kubeadm certs renew all --config /etc/kubernetes/kubeadm.yaml >/dev/null || exit
		for id in $(running kube-apiserver) $(running kube-controller-manager) $(running kube-scheduler); do
			ctr -n k8s.io tasks kill --signal SIGTERM "$id"
		done
		# The kubelet lets what has ended often wait for up to five minutes, and forgets that when it starts.
		systemctl restart kubelet.service || exit
	fi
}

# serves ADDRESS:PORT: one that has only just been started may take some seconds.
serves() {
	looks=0
	until kubectl --request-timeout 5s --server "https://$1" get --raw /readyz >/dev/null 2>&1; do
		looks=$((looks + 1))
		[ $looks -lt 10 ] || return 1
		sleep 1
	done
}
