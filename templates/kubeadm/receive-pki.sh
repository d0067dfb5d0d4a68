# Lines "FILE BASE64" up to one of "---", each of which becomes a file that is there whole or not at all.
receive_pki() (
	mkdir -p /etc/kubernetes/pki/etcd && cd /etc/kubernetes/pki || exit
	umask 077
	while read -r file data && [ "$file" != --- ]; do
		printf %s "$data" | base64 -d > "$file.part" && mv -f "$file.part" "$file" || exit
	done
)
