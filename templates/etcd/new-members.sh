# Whether all members of etcd that the API server here is to ask, and does not ask yet, have a vote; those that have none
# are said. One that still learns answers no read that needs a majority, and would refuse the API server.
new_members_vote() {
	manifest=/etc/kubernetes/manifests/kube-apiserver.yaml pki=/etc/kubernetes/etcd all=0
	[ -e $manifest ] || return 0
	for member in {{ cluster.etcd.endpoints | join(" ") }}; do
		grep -qF -e "$member" $manifest || echo '{"key":"aG9pc3Q="}' | kubectl --kubeconfig /dev/null \
			--certificate-authority $pki/ca.crt --client-certificate $pki/client.pem --client-key $pki/client.pem \
			--request-timeout 5s --server "$member" create --raw /v3/kv/range -f - >/dev/null 2>&1 || {
			echo "$member does not answer as a member of etcd that has a vote"
			all=1
		}
	done
	return $all
}
