# Makes the API server's certificate anew with the names of kubeadm.yaml. It is made beside the old one, in a mount
# namespace where nobody else looks, and takes its place when it is whole: an API server that happens to start while
# there is none ends, and the kubelet lets it wait ten seconds and more.
name_anew() {
	pki=/etc/kubernetes/pki draft=/etc/kubernetes/.pki
	rm -rf $draft && mkdir -m 0700 $draft && cp -p $pki/ca.crt $pki/ca.key $draft || exit
	unshare --mount sh -c 'mount --bind "$1" "$2" && kubeadm init phase certs apiserver --config "$3"' \
		sh $draft $pki /etc/kubernetes/kubeadm.yaml || exit
	mv -f $draft/apiserver.key $draft/apiserver.crt $pki && rm -rf $draft || exit
}
