{% include "etcd/ask.sh" %}
# Starts etcd anew, one member at a time: each is back before the next one goes. etcd itself keeps the lock, so that
# whoever is killed loses it. Without a majority elsewhere there is nobody to ask, and a full etcd takes no lock: then one run
# alone still goes from one member to the next.
etcd_restart() {
	systemctl daemon-reload || exit 1
	systemctl reset-failed etcd.service 2>/dev/null
	if ! systemctl -q is-active etcd.service; then
		systemctl restart --no-block etcd.service || exit 1
		# Who waits for others, which come after this one, holds up nobody.
		! etcd_elsewhere get hoist >/dev/null 2>&1 || etcd_comes_back || exit 1
	elif etcd_elsewhere get hoist >/dev/null 2>&1 && ! etcd_elsewhere alarm list | grep -q NOSPACE; then
		etcd_elsewhere lock hoist -- sh -c "$etcd_alone"
	else
		sh -c "$etcd_alone"
	fi
}

# In a shell of its own, which etcdctl starts once it has the lock.
etcd_alone=$(cat <<'ALONE'
{% include "etcd/restart-alone.sh" %}
ALONE
)

etcd_comes_back() {
	attempts=0
	until etcd_here get hoist >/dev/null 2>&1; do
		attempts=$((attempts + 1))
		[ $attempts -lt 60 ] || { echo "etcd did not get well within 60 s" >&2; return 1; }
		sleep 1
	done
}
