# Takes the lock of this host and goes on, or ends. It stands before a script that is run anyway, so that locking costs
# no round trip. $holder says who we are. Where $again is set we had the lock before, and it went with the shell that had
# it: so whoever had it since then may have changed everything that this run knows of the host.
command -v flock >/dev/null || { echo 'flock is missing' >&2; exit 74; }
true >>/run/hoist.lock || exit 74
exec 8>>/run/hoist.lock
if ! flock -n 8; then
	had=''
	# Longer than a keeper needs to end what a run left that was cut off.
	for attempt in 1 2 3 4 5 6 7 8 9 10; do
		# The keeper looks at once whether anybody is left to keep the lock for, when what it waits in is ended.
		waits_in=$(tail -n 1 /run/hoist.lock)
		{ read -r name </proc/"$waits_in"/comm && [ "$name" = tail ] && kill "$waits_in"; } 2>/dev/null
		flock -w 1 8 && had=yes && break
	done
	[ -n "$had" ] || { head -n 1 /run/hoist.lock; exit 75; }
fi
last=$(head -n 1 /run/hoist.lock)
if [ -n "$again" ] && [ -n "$last" ] && [ "$last" != "$holder" ]; then echo "$last"; exit 75; fi
printf '%s\n' "$holder" >/run/hoist.lock
# The keeper inherits the lock. It ends with the connection, or when somebody asks for the lock and the root shell has
# ended. When the connection goes first (hoist was killed, the network failed), it ends what the shell still runs there,
# so that the next run finds nobody at work.
(
	exec >/dev/null 2>&1 </dev/null
	read -r keeper rest </proc/self/stat
	read -r stat </proc/$$/stat
	set -- ${stat##*) }
	session=$4
	# The SSH server's process of this connection: the nearest ancestor in another session that is not sudo's. OpenSSH has
	# one for each connection, and it is what to wait for; another server may live on, and then it is the shell.
	server='' process=$$ waits_for=$$
	while [ "$process" -gt 1 ] && read -r stat </proc/"$process"/stat; do
		set -- ${stat##*) }
		case $stat in *'(sudo)'*) ;; *)
			if [ "$4" != "$session" ]; then
				server=$process
				case $stat in *'(sshd'*) waits_for=$process ;; esac
				break
			fi
			;;
		esac
		process=$2
	done
	alive() { kill -0 $$ && { [ -z "$server" ] || [ -e /proc/"$server" ]; }; }
	# One tail that looks every two seconds costs a host next to nothing; a `sleep` each time would be a process each, and
	# with 500 hosts that is felt. The last line of the file is its process, so that it can be ended.
	while alive; do
		tail -f /dev/null -s 2 --pid="$waits_for" 8>&- &
		echo $! >&8
		wait $!
		# Where tail has no --pid.
		[ $? != 1 ] || break
		alive && sleep 1
	done
	while alive; do sleep 1; done
	kill -0 $$ || exit 0
	for signal in TERM TERM KILL; do
		left=''
		# Shells read byte by byte, which takes seconds where there are thousands of processes: so grep looks first.
		for stat in $(printf '%s\n' /proc/[0-9]*/stat | xargs grep -slF " $session "); do
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
