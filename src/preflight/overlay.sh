# Full-size TCP between hosts, through VXLAN where pods will go that way. Four stages, of which each is one script:
#   begin    servers that echo what they are sent. With $mode=vxlan in a network namespace of their own, with a VXLAN
#            interface whose outer packets are those of the host: all of it is gone when the process is that holds it
#   try      each of $peers (INDEX=ADDRESS …) is pinged and sent data, small and full-size
#   software the VXLAN interface leaves nothing to the network card
#   end      nothing is left; says whose datagrams came to which port
# $own is the host's address, $number its INDEX, $port the TCP port of the servers, which end after $life seconds
# whatever happens; $started and $receivers (PORT=PROCESS …) are what `begin` said. Datagrams are sent to the ports of $udp,
# and with $datagrams, where there is no VXLAN, to its port.
have() { command -v "$1" >/dev/null 2>&1; }
vxlan=8472 bytes=262144
inner() { echo "198.18.$((($1 + 1) / 250)).$((($1 + 1) % 250 + 1))"; }
# $there runs something where the servers are.
place() { if [ "$mode" = vxlan ]; then there="nsenter --net=/proc/$holder/ns/net"; else there=''; fi; }
begin() {
	for tool in bash ip timeout unshare nsenter systemd-socket-activate; do
		have $tool || { echo "missing $tool"; return; }
	done
	timeout $life unshare --net sleep $life </dev/null >/dev/null 2>&1 &
	outer=$!
	holder=''
	for turn in 1 2 3 4 5 6 7 8 9 10; do
		read -r holder rest 2>/dev/null <"/proc/$outer/task/$outer/children"
		[ -n "$holder" ] && [ "$(readlink "/proc/$holder/ns/net")" != "$(readlink /proc/self/ns/net)" ] && break
		holder=''
		sleep 0.1 2>/dev/null || sleep 1
	done
	if [ "$mode" = vxlan ]; then
		device=$(ip -4 -o addr show to "$own" | { read -r index name rest && echo "$name"; })
		why='no network namespace could be made'
		place
		if [ -n "$holder" ] && why=$({ ip link add hoist-vxlan type vxlan id 7340033 local "$own" dev "$device" dstport $vxlan &&
			ip link set hoist-vxlan netns "$holder" || { ip link del hoist-vxlan; false; }; } 2>&1); then
			$there ip addr add "$(inner "$number")/15" dev hoist-vxlan
			$there ip link set hoist-vxlan up
			$there ip link set lo up
			for peer in $peers; do
				$there bridge fdb append 00:00:00:00:00:00 dev hoist-vxlan dst "${peer#*=}"
			done
			listen=$(inner "$number")
		else
			echo "no-vxlan $(echo "$why" | head -n 1)"
			mode=plain
		fi
	fi
	if [ "$mode" = plain ]; then
		kill "$outer"
		outer='' holder='' listen=$own
	fi
	ports
	for udp in $ports; do receive "$udp"; done
	place
	# No function: what a shell keeps of its own streams to run one would keep the script from ending.
	$there timeout $life systemd-socket-activate --inetd --accept --listen="$listen:$port" cat </dev/null >/dev/null 2>&1 &
	echo "started $mode ${holder:--} $! $outer"
}
ports() { ports=$udp; [ -z "$datagrams" ] || [ "$mode" = vxlan ] || ports="$vxlan $udp"; }
# Keeps what arrives on a UDP port in a file that has no name any more.
receive() {
	exec 9<>"/run/hoist-datagrams.$$.$1" && rm -f "/run/hoist-datagrams.$$.$1"
	timeout $life systemd-socket-activate --datagram --listen="$own:$1" \
		sh -c 'exec dd bs=65536 <&3' </dev/null >&9 2>/dev/null &
	echo "receiver $1=$!"
	exec 9>&-
}
try_one() {
	index=${1%%=*} outer=${1#*=} address=${1#*=}
	[ "$mode" = vxlan ] && address=$(inner "$index")
	ping=untried
	if have ping; then
		ping=silent
		$there ping -n -c 2 -i 0.2 -W 1 "$address" >/dev/null 2>&1 && ping=answered
	fi
	step=$($there timeout 6 bash -c '
		exec 2>/dev/null 3<>"/dev/tcp/$0/$1" || exit
		echo connected
		echo hello >&3
		read -r line <&3 && [ "$line" = hello ] || exit
		echo small
		head -c "$2" /dev/zero >&3 &
		[ "$(head -c "$2" <&3 | wc -c)" -eq "$2" ] && echo full' "$address" "$port" $bytes | tail -n 1)
	echo "tried $index $ping ${step:-none}"
	for udp in $ports; do datagram "$outer" "$udp"; done
}
# Three datagrams that make packets as large as the interface allows, which Linux sends with the DF bit.
datagram() {
	device=$(ip -4 -o route get "$1" | { read -r line && line=${line#* dev } && echo "${line%% *}"; })
	mtu=$(ip -o link show dev "$device" | { read -r line && line=${line#* mtu } && echo "${line%% *}"; })
	size=$((mtu - 28))
	for turn in 1 2 3; do
		bash -c '{ echo "from=$0;"; head -c "$2" /dev/zero; } | dd bs="$2" count=1 iflag=fullblock >"/dev/udp/$1/$3"' \
			"$number" "$1" $size "$2" 2>/dev/null
	done
}
set -- $started
case $stage in
	begin) begin ;;
	try)
		mode=$1 holder=$2
		place
		ports
		count=0
		for peer in $peers; do
			try_one "$peer" &
			count=$((count + 1))
			[ $((count % 16)) -ne 0 ] || wait
		done
		wait
		;;
	software)
		mode=$1 holder=$2
		place
		have ethtool && $there ethtool -K hoist-vxlan tx off tso off gso off gro off >/dev/null 2>&1 && echo done
		;;
	end)
		shift 2
		processes=$*
		for receiver in $receivers; do
			udp=${receiver%%=*} process=${receiver#*=}
			processes="$processes $process"
			# One that could not have its port is gone, and heard nothing.
			[ -e "/proc/$process/fd/9" ] || { echo "deaf $udp"; continue; }
			# One that ends only now was asked for by nobody: what it has read is in its file.
			tr '\0' '\n' 2>/dev/null <"/proc/$process/fd/9" | grep -a '^from=' | sort -u |
				while IFS='=;' read -r key number; do echo "came $udp ${number%;}"; done
		done
		for process in $processes; do
			read -r name 2>/dev/null <"/proc/$process/comm" && [ "$name" = timeout ] && kill "$process"
		done
		;;
esac
exit 0
