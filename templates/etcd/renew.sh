{% include "etcd/ask.sh" %}
etcd_sign() {
{% include "etcd/sign-member.sh" %}
}

# A new certificate for this member, which reads it at every handshake: it is asked with the new one, too, and a
# full etcd answers as well.
etcd_renew() {
	etcd_sign || exit
	attempts=0
	until etcd_here get hoist >/dev/null; do
		attempts=$((attempts + 1))
		[ $attempts -lt 20 ] || exit 1
		sleep 1
	done
}
