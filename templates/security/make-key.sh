# make_key from-the-start: everything is encrypted. make_key at-work: API servers that have no key yet run beside this one
# and could not read what it encrypts, so that it only reads; the role encryption goes on from there.
make_key() {
	cd /etc/kubernetes/security && umask 077 || exit
	key=$(head -c 32 /dev/urandom | base64 -w 0) && [ "$(printf %s "$key" | wc -c)" = 44 ] || exit
	secretbox="      - secretbox: {keys: [{name: key1, secret: $key}]}"
	identity='      - identity: {}'
	{
		echo 'apiVersion: apiserver.config.k8s.io/v1'
		echo 'kind: EncryptionConfiguration'
		echo 'resources:'
		echo '  - resources: [secrets]'
		echo '    providers:'
		case $1 in
			at-work) printf '%s\n' "$identity" "$secretbox" '# to do: encrypt' ;;
			*) printf '%s\n' "$secretbox" "$identity" ;;
		esac
	} > .encryption.yaml && sync .encryption.yaml && mv -f .encryption.yaml encryption.yaml
}
