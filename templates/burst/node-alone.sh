#!/bin/sh
# Written by hoist. Once a minute: a rented node that hears nothing of the API server for an hour, or that is older than it
# should ever become, gives itself back: a cluster that has forgotten it would pay for it for ever. (It takes no pods
# meanwhile, for nobody gives it any.) What is counted is the time since the boot: a clock that is set changes nothing.
kubelet=${HOIST_KUBELET_CONF:-/etc/kubernetes/kubelet.conf}
state=${HOIST_STATE:-/run/hoist/node-alone}
mkdir -p "$state" && read -r up rest < "${HOIST_UPTIME:-/proc/uptime}" || exit
up=${up%%.*}
end() {
	echo "$1: this instance ends"
	systemctl poweroff
	exit
}

# By then a controller that is well has drained and ended it.
[ "$up" -lt {{ host.rented.lifetime }} ] || end "it is $up seconds old"
if [ -e "$kubelet" ] && kubectl --kubeconfig "$kubelet" --request-timeout 10s get --raw /healthz >/dev/null 2>&1; then
	echo "$up" > "$state/since"
	exit 0
fi
if [ ! -e "$state/since" ]; then
	# Until then it may still be joining.
	[ -e "$kubelet" ] || [ "$up" -ge "${HOIST_JOIN:-1200}" ] || exit 0
	echo "$up" > "$state/since"
fi
read -r since < "$state/since" || exit
alone=$((up - since))
[ "$alone" -lt "${HOIST_POWEROFF:-3600}" ] || end "nothing was heard of the API server for $alone seconds"
