# Takes the lock of this host and goes on, or ends. It stands before a script that is run anyway, so that locking costs
# no round trip. $holder says who we are.
command -v flock >/dev/null || { echo 'flock is missing' >&2; exit 74; }
true >>/run/hoist.lock || exit 74
exec 8>>/run/hoist.lock
# Longer than a keeper needs to end what a run left that was cut off.
flock -w 10 8 || { cat /run/hoist.lock; exit 75; }
printf '%s\n' "$holder" >/run/hoist.lock
# The keeper inherits the lock. It ends within a second of the root shell that asked for it. When the connection goes
# first (hoist was killed, the network failed), it ends what the shell still runs there, so that the next run finds
# nobody at work.
(
	exec >/dev/null 2>&1 </dev/null
	read -r keeper rest </proc/self/stat
	read -r stat </proc/$$/stat
	set -- ${stat##*) }
	session=$4
	# The SSH server's process of this connection: the nearest ancestor in another session that is not sudo's.
	server='' process=$$
	while [ "$process" -gt 1 ] && read -r stat </proc/"$process"/stat; do
		set -- ${stat##*) }
		case $stat in *'(sudo)'*) ;; *)
			if [ "$4" != "$session" ]; then
				server=$process
				break
			fi
			;;
		esac
		process=$2
	done
	alive() { kill -0 $$ && { [ -z "$server" ] || [ -e /proc/"$server" ]; }; }
	sleep 1
	# A tail that looks once a second costs a host next to nothing, a `sleep` each second a process. Both tails are
	# started for what takes longer, and where tail has no --pid they end at once, and sleep it is.
	if alive; then
		{ for process in $$ $server; do { tail -f /dev/null -s 1 --pid="$process" && echo gone; } & done; } 8>&- | read -r _
	fi
	while alive; do sleep 1; done
	kill -0 $$ || exit 0
	for signal in TERM TERM KILL; do
		left=''
		for stat in /proc/[0-9]*/stat; do
			read -r stat <"$stat" || continue
			set -- ${stat##*) }
			if [ "$4" = "$session" ] && [ "$1" != Z ] && [ "${stat%% *}" != "$keeper" ]; then
				left=yes
				kill -"$signal" "${stat%% *}"
			fi
		done
		[ -n "$left" ] || exit 0
		sleep 1
	done
) &
exec 8>&-
