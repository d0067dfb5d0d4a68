# renew_kubelet: a kubelet asks for its next certificate with the one that it has, and does not start with one that has
# expired. A control plane has the authority for another one; from then on the kubelet renews it again. What it reads is
# a link to a file with certificate and key.
renew_kubelet() {
	umask 077
	folder=$(mktemp -d -p /run) || exit 1
	trap 'rm -rf "$folder"' EXIT
	kubeadm init phase kubeconfig kubelet --config /etc/kubernetes/kubeadm.yaml --kubeconfig-dir "$folder" >/dev/null ||
		exit 1
	cd /var/lib/kubelet/pki || exit 1
	for part in certificate key; do
		sed -n "s/^ *client-$part-data: //p" "$folder/kubelet.conf" | base64 -d
	done > kubelet-client.part
	openssl x509 -noout -checkend 0 -in kubelet-client.part >/dev/null && openssl pkey -noout -in kubelet-client.part || {
		echo 'kubeadm made no certificate for the kubelet that holds now' >&2
		exit 1
	}
	new=$PWD/kubelet-client-$(date +%Y-%m-%d-%H-%M-%S).pem
	mv -f kubelet-client.part "$new" && ln -sf "$new" kubelet-client.link &&
		mv -f kubelet-client.link kubelet-client-current.pem && systemctl restart kubelet.service
}
