#!/bin/sh
# Written by hoist: makes this instance the node {{ host.name }} of {{ cluster.name }}. It holds a token to join with.
PATH=${HOIST_BIN:+$HOIST_BIN:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C HOME=/root
export PATH LC_ALL HOME
{# Should this script end before the role burst has set up what gives the instance back, nobody pays for ever. #}
[ "$1" = filled ] || systemd-run -q -u hoist-unjoined --on-active 1h systemctl poweroff

begin() {
	step=$1
	printf 'hoist: %s\n' "$step"
}

failed() {
	printf 'hoist: failed: %s\n' "$step"
	exit 1
}

{# What only the instance knows is filled in first; what then runs is this file, filled in. #}
if [ "$1" != filled ]; then
{% include "burst/metadata.sh" %}
	begin 'burst: the instance knows who it is'
	tries=0
	until id=$(metadata instance-id) && zone=$(metadata placement/availability-zone) && address=$(metadata local-ipv4); do
		tries=$((tries + 1))
		[ $tries -lt 30 ] || failed
		sleep 2
	done
	case $id$zone$address in *[!a-z0-9.-]*) failed ;; esac
	umask 077
	mkdir -p "${HOIST_RUN:=/run/hoist}" && sed "
		s/{{ fill.instance }}/$id/g
		s/{{ fill.zone }}/$zone/g
		s/{{ fill.address }}/$address/g" "$0" > "$HOIST_RUN/join" || failed
	exec sh "$HOIST_RUN/join" filled
fi
{# It is open, and nobody else needs to read the token. #}
rm -f "$0"
set --
umask 022
cd / || exit
{{ steps }}
echo 'hoist: this is a node of {{ cluster.name }}'
