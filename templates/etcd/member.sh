{% include "etcd/ask.sh" %}
# How a host becomes a member of etcd. The mark is there from the beginning until the end: where it is found, a run was
# killed in the middle. What the parts are, and who has which, is decided in src/cluster/etcd/.
mark=/var/lib/hoist/etcd-at-work
data=/var/lib/etcd-external

etcd_mark() {
	mkdir -p /var/lib/hoist && printf '%s\n' "$1" > $mark.part && sync $mark.part && mv -f $mark.part $mark || exit 1
}

# A folder that is a file system of its own stays.
etcd_empty() {
	systemctl stop etcd.service && find $data -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} + || exit 1
}

etcd_start() { systemctl daemon-reload && systemctl start --no-block etcd.service || exit 1; }

# All hosts begin with the same list, whenever each of them comes, and go on with what they have: that is how etcd begins.
# What was begun with another list is given up.
etcd_begin() {
	initial='{{ cluster.etcd.initial }}'
	[ "$(cat $mark 2>/dev/null)" = "$initial" ] || etcd_empty
	etcd_mark "$initial"
	printf 'ETCD_INITIAL_CLUSTER=%s\nETCD_INITIAL_CLUSTER_STATE=new\nETCD_INITIAL_CLUSTER_TOKEN=%s\n' \
		"$initial" '{{ cluster.name }}' > /run/etcd-initial.conf || exit 1
	systemctl daemon-reload && systemctl restart --no-block etcd.service
}

# etcd_are_gone IDENTITY…: ends where one of them still runs elsewhere. Then a new machine has the name of a living one.
etcd_are_gone() {
	list=$(etcd_elsewhere member list) || exit 1
	for gone; do
		client=$(printf '%s\n' "$list" | sed -n "s/^$gone, [^ ]*, [^ ]*, [^ ]*, \([^ ]*\), [a-z]*$/\1/p")
		case $client in '' | *'//{{ host.address }}:'*) continue ;; esac
		! etcd_ask --endpoints "$client" endpoint status >/dev/null 2>&1 || {
			echo "{{ host.name }} shall join etcd from {{ host.address }}, but its member $gone lives elsewhere: $client answers." \
				"Either give the host that joins a name of its own, or give the old one up first: \`systemctl disable --now etcd\`" \
				"there, or switch it off for good" >&2
			exit 1
		}
	done
}

# etcd_join IDENTITY…: takes out what is gone, comes in as a learner, and votes when it has all data.
etcd_join() {
	etcd_are_gone "$@"
	etcd_empty
	etcd_mark joining
	# Here, for it is this host that changes them.
	hoist-etcd-snapshot $(echo "{{ host.etcd.others }}" | tr , ' ') || exit 1
	for gone; do
		etcd_elsewhere member remove "$gone" || { etcd_elsewhere member list | grep "^$gone," && exit 1; }
	done
	# One at a time, and not before etcd sees that everybody is there.
	added=$(etcd_patiently 'too many learner|unhealthy cluster' \
		member add {{ host.name }} --learner --peer-urls https://{{ host.address }}:2380) || exit 1
	printf '%s\n' "$added" | grep -E '^ETCD_INITIAL_CLUSTER(_STATE)?=' > /run/etcd-initial.conf || exit 1
	etcd_start
	etcd_promote
}

etcd_resume() {
	etcd_start
	[ -z "{{ host.etcd.others }}" ] || etcd_promote
}

etcd_promote() {
	learner=$(etcd_elsewhere member list | sed -n 's|^\([0-9a-f]*\),.* https://{{ host.address }}:2380, .*, true$|\1|p')
	[ -z "$learner" ] || etcd_patiently 'in sync|unhealthy cluster|timed out' member promote "$learner"
}

# etcd_patiently EARLY ARGUMENTS…: asks again, for two minutes, as long as the answer says that it is too early.
etcd_patiently() {
	early=$1 end=$(($(date +%s) + 120))
	shift
	until answer=$(etcd_elsewhere "$@" 2>&1); do
		if ! printf '%s\n' "$answer" | grep -Eq "$early" || [ "$(date +%s)" -gt $end ]; then
			printf '%s\n' "$answer" >&2
			exit 1
		fi
		sleep 0.5
	done
	printf '%s\n' "$answer"
}
