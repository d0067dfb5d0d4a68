#!/bin/sh
# Written by hoist. EC2 says two minutes before it takes a spot instance back: the cluster hears of it at once.
{% include "burst/metadata.sh" %}

[ '{{ host.rented.capacity }}' = spot ] || exit 0
until notice=$(metadata spot/instance-action); do sleep "${HOIST_EVERY:-5}"; done
# {"action": "terminate", "time": "2026-01-02T03:04:05Z"}
time=$(printf '%s\n' "$notice" | sed -n 's/.*"time" *: *"\([^"]*\)".*/\1/p')
echo "EC2 takes this instance back at ${time:-a time that it does not say}"
until kubectl --kubeconfig /etc/kubernetes/kubelet.conf --request-timeout 10s annotate node '{{ host.name }}' --overwrite \
	"hoist.dev/notice=${time:-soon}"; do
	sleep "${HOIST_EVERY:-5}"
done
