# Passes files on to neighbours, each over one connection that only they can make. It is asked with lines and answers each
# with one line; when the lines end, so does everything here.
#
#   hold FILE PATH             keeps what PATH holds now, even if it is removed: "held", or why not
#   serve FILE OWN PEER PORT   waits at OWN for PEER to fetch it, at PORT or one of the next: "port PORT", or why not
#   drop FILE                  lets it go: "dropped"
#
# A file is kept by a process that has it open. It is named by the variable held_FILE.
mine() { # whether process $1 is still a child of this shell
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return
	set -- ${stat##*) }
	[ "$1" != Z ] && [ "$2" = $$ ]
}
listens() { grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") 00000000:0000 0A" /proc/net/tcp; }
serve() { # holder, own address, peer, port
	command -v socat >/dev/null || { echo 'there is no socat'; return; }
	for port in "$4" $(($4 + 1)) $(($4 + 2)); do
		! listens "$port" || continue
		socat -T 20 -u "OPEN:/proc/$1/fd/0,rdonly" \
			"TCP4-LISTEN:$port,bind=$2,range=$3/32,reuseaddr,accept-timeout=20" </dev/null >/dev/null 2>&1 &
		for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
			mine $! || break
			! listens "$port" || { echo "port $port"; return; }
			sleep 0.05 2>/dev/null || sleep 1
		done
		! mine $! || kill $! # it listens nowhere
	done
	echo "it cannot listen at $2"
}
while read -r verb file rest; do
	eval "holder=\${held_$file:-}"
	case $verb in
	hold)
		if [ -n "$holder" ] && mine "$holder"; then
			echo held
		elif { sleep 7200 <&3 >/dev/null 2>&1 & } 3<"$rest"; then # longer than runs take
			eval "held_$file=$!"
			echo held
		else
			echo 'it is not there any more'
		fi
		;;
	serve)
		# The address, the neighbour's, the port: three words.
		if [ -n "$holder" ] && mine "$holder"; then serve "$holder" $rest; else echo 'it is not held'; fi
		;;
	drop)
		[ -z "$holder" ] || ! mine "$holder" || kill "$holder"
		eval "held_$file="
		echo dropped
		;;
	esac
done
# Only children of this shell: by now other processes may have the numbers of those that ended. grep looks first, for shells
# read byte by byte.
for stat in $(printf '%s\n' /proc/[0-9]*/stat | xargs grep -slF " $$ "); do
	child=${stat#/proc/}
	child=${child%/stat}
	! mine "$child" || kill "$child"
done 2>/dev/null
