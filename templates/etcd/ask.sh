# etcdctl with the host's own certificate: here, or at the members that live elsewhere.
etcd_ask() {
	etcdctl --dial-timeout 2s --command-timeout 5s --cacert /etc/etcd/pki/ca.crt \
		--cert /etc/etcd/pki/member.pem --key /etc/etcd/pki/member.pem "$@"
}
etcd_here() { etcd_ask --endpoints https://127.0.0.1:2379 "$@"; }
etcd_elsewhere() { etcd_ask --endpoints "{{ host.etcd.others }}" "$@"; }
