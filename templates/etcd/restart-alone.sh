{% include "etcd/ask.sh" %}
# The restart of a member that runs. One that does not get well with its new settings gets back those that it ran with.

# Whether the others have a majority, or all of them are there. Reading is what counts: a member that only lacks room does
# no harm by that.
others_suffice() {
	voters=0 well=0 away=
	while IFS='|' read -r name peer client; do
		voters=$((voters + 1))
		[ "$peer" != https://{{ host.address }}:2380 ] || continue
		if etcd_ask --endpoints "$client" get hoist >/dev/null 2>&1; then
			well=$((well + 1))
		else
			away="$away${away:+, }$name"
		fi
	done <<END
$(etcd_here member list | sed -n 's/^[0-9a-f]*, [a-z]*, \(.*\), \(.*\), \(.*\), false$/\1|\2|\3/p')
END
	[ -z "$away" ] || [ $well -gt $((voters / 2)) ]
}

# patiently SECONDS COMMAND…
patiently() {
	end=$(($(date +%s) + $1))
	shift
	until "$@"; do
		[ "$(date +%s)" -lt $end ] || return 1
		sleep 1
	done
}

is_well() { etcd_here get hoist >/dev/null 2>&1; }

anew() { systemctl reset-failed etcd.service 2>/dev/null; timeout 120 systemctl restart etcd.service && patiently 60 is_well; }

# Without a majority there is nothing to lose, and nothing to learn from it.
patiently 10 is_well || exec systemctl restart --no-block etcd.service
patiently 30 others_suffice || {
	echo "$away: away; restarting etcd here would cost the majority: bring it back, then apply again" >&2
	exit 1
}
process=$(systemctl show -p MainPID --value etcd.service)
before=$(tr '\0' '\n' < "/proc/$process/environ" | grep '^ETCD_' | grep -v '^ETCD_INITIAL_CLUSTER')
anew && exit
echo "etcd did not get well with its new settings; it says:" >&2
journalctl -q --no-pager -o cat -u etcd -n 10 | cut -c 1-300 >&2
[ -n "$before" ] || exit 1
printf '%s\n' '# What etcd ran with before settings that it did not get well with.' "$before" > /etc/etcd/etcd.conf.part &&
	mv -f /etc/etcd/etcd.conf.part /etc/etcd/etcd.conf || exit 1
anew && echo "it has its old settings again" >&2
exit 1
