# name_anew ADDRESS:PORT: makes the certificate of the API server there anew, with the names of kubeadm.yaml, and waits
# until it is served. It is made beside the old one, in a mount namespace where nobody else looks, and takes its place
# when it is whole: an API server that happens to start while there is none ends, and the kubelet lets it wait ten
# seconds and more.
name_anew() {
	pki=/etc/kubernetes/pki draft=/etc/kubernetes/.pki
	rm -rf $draft && mkdir -m 0700 $draft && cp -p $pki/ca.crt $pki/ca.key $draft || exit
	unshare --mount sh -c 'mount --bind "$1" "$2" && kubeadm init phase certs apiserver --config "$3"' \
		sh $draft $pki /etc/kubernetes/kubeadm.yaml || exit
	mv -f $draft/apiserver.key $draft/apiserver.crt $pki && rm -rf $draft || exit
	names_served "$1"
}

# names_served ADDRESS:PORT: waits until the API server there serves a certificate with the names. It sees a new one by
# itself, after a minute at the latest. Where none answers, whichever starts next reads the new one.
names_served() {
	attempts=0
	while missing=$(name_missing "$1"); do
		attempts=$((attempts + 1))
		[ $attempts -lt 120 ] || { echo "the API server at $1 still serves a certificate without $missing" >&2; return 1; }
		sleep 1
	done
}

# name_missing ADDRESS:PORT: prints a name that the certificate does not have which is served there, if there is one.
name_missing() {
	for name in $(cat /etc/kubernetes/api-names); do
		! kubectl --kubeconfig /etc/kubernetes/admin.conf --server "https://$1" --tls-server-name "$name" \
			--request-timeout 5s get --raw /version 2>&1 | grep -q 'x509: certificate is valid for' || { echo "$name"; return 0; }
	done
	return 1
}
