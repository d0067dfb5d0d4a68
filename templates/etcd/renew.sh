{% include "etcd/ask.sh" %}
etcd_sign() {
{% include "etcd/sign-member.sh" %}
}

# A new certificate for this member, which reads it at every handshake: it is asked with the new one, too, and a full etcd
# answers as well. A member that had no majority before, as where certificates have expired, may have one only when others
# are renewed: that is not waited for here.
etcd_renew() {
	well=yes
	etcd_gets_well 3 || well=
	etcd_sign || exit
	[ -z "$well" ] || etcd_gets_well 20 || exit
}

# etcd_gets_well LOOKS
etcd_gets_well() {
	looks=0
	until etcd_here get hoist >/dev/null; do
		looks=$((looks + 1))
		[ $looks -lt "$1" ] || return 1
		sleep 1
	done
}
