# private_files ACTION…: find(1)'s action for each file that others than root could read or change.
private_files() {
	for path in /etc/kubernetes/*.conf /etc/kubernetes/manifests /etc/kubernetes/pki /var/lib/kubelet/config.yaml \
		/var/lib/kubelet/kubeadm-flags.env /var/lib/kubelet/pki; do
		[ ! -e "$path" ] || find "$path" -type f ! -name '*.crt' ! -name '*.pub' \
			'(' -perm /077 -o ! -user root -o ! -group root ')' "$@" || return
	done
}
