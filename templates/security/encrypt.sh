# has_to_do: whether this host's API server has a key that it does not encrypt with yet, or not all Secrets.
has_to_do() { grep -qs '^# to do' /etc/kubernetes/security/encryption.yaml; }

# all_have_the_key: whether every API server of the cluster runs with a key.
all_have_the_key() {
	commands='{range .items[*]}{.metadata.name} {.spec.containers[0].command}{"\n"}{end}'
	servers=$(kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system get pods -l component=kube-apiserver -o jsonpath="$commands") &&
		[ -n "$servers" ] || return
	! printf '%s\n' "$servers" | grep -v encryption-provider-config | grep -q .
}

# encrypt ADDRESS:PORT of this host's API server: from "can read encrypted Secrets" to "has encrypted all of them".
# Nothing may be encrypted before all API servers can read it. Each control plane does this on its own, and whichever
# comes last writes the Secrets that the others wrote in the clear meanwhile.
encrypt() {
	cd /etc/kubernetes/security && umask 077 || exit
	export KUBECONFIG=/etc/kubernetes/admin.conf
	# One may have got its old settings back while this host waited for its turn.
	all_have_the_key || { echo 'an API server still has no key: apply to all control planes' >&2; exit 1; }
	# The first provider writes; the last one reads what is in the clear.
	{ sed -e '/^# to do/d' -e '/- identity:/d' encryption.yaml && printf '%s\n' '      - identity: {}' '# to do: rewrite'; } \
		> .encryption.yaml && sync .encryption.yaml && mv -f .encryption.yaml encryption.yaml || exit
	restarted kube-apiserver && ready "$1" || exit
	# A Secret that somebody changed meanwhile is a conflict, and encrypted by that; the others are tried again.
	tries=0
	until rewrite "https://$1"; do
		tries=$((tries + 1))
		[ $tries -lt 5 ] || { echo 'not all Secrets could be written again' >&2; exit 1; }
		sleep 2
	done
	sed '/^# to do/d' encryption.yaml > .encryption.yaml && sync .encryption.yaml && mv -f .encryption.yaml encryption.yaml
}

rewrite() {
	[ -n "$(kubectl --server "$1" get secrets -A -o name)" ] || return 0
	# Neither what is written nor what is complained of is shown: both could hold a Secret.
	kubectl --server "$1" get secrets -A -o json | kubectl --server "$1" replace -f - >/dev/null 2>&1
}
