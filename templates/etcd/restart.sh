{% include "etcd/ask.sh" %}
# Starts etcd anew, one member at a time: each is back before the next one goes. etcd itself keeps the lock, so that
# whoever is killed loses it. Without a majority elsewhere there is nobody to ask, and nothing to lose.
etcd_restart() {
	systemctl daemon-reload || exit 1
	if etcd_elsewhere get hoist >/dev/null 2>&1; then
		etcd_elsewhere lock hoist timeout 60 systemctl restart etcd.service
	else
		systemctl restart --no-block etcd.service
	fi
}
