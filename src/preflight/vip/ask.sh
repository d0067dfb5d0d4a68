# Who has the address $vip, as this host sees it, and from which control planes VRRP packets arrive here. $self is the
# number of this host, $peers are the addresses of the others; with $quick a second has to do for an answer. Changes nothing
# but what the kernel remembers of neighbours.
say() { printf '%s=%s\n' "$1" "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }

keeps=
if grep -qs '^# Written by hoist;' /etc/keepalived/keepalived.conf && systemctl -q is-active keepalived.service 2>/dev/null; then
	keeps=yes
	say keeps yes
fi

# VRRP: packets of its protocol that are nothing else, for some seconds to and from everybody, or until all were heard. Not
# where it is at work.
tool=
for program in socat perl python3 /usr/libexec/platform-python; do
	[ -n "$tool" ] || ! have "$program" || tool=$program
done
receive() {
	case $tool in
		socat) timeout 6 socat -u IP4-RECV:112 - ;;
		perl)
			timeout 6 perl -MSocket -e '$| = 1; socket(S, AF_INET, SOCK_RAW, 112) or exit 1;
				while (defined recv(S, $packet, 1024, 0)) { print "$packet\n" }'
			;;
		*)
			timeout 6 "$tool" -c 'import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
while True: os.write(1, s.recv(1024) + b"\n")'
			;;
	esac
}
send() {
	case $tool in
		socat) echo "hoist $token $self" | timeout 1 socat -u - "IP4-SENDTO:$1:112" ;;
		perl)
			timeout 1 perl -MSocket -e 'socket(S, AF_INET, SOCK_RAW, 112);
				send(S, "$ARGV[0]\n", 0, pack_sockaddr_in(0, inet_aton($ARGV[1])))' "hoist $token $self" "$1"
			;;
		*)
			timeout 1 "$tool" -c 'import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 112)
s.sendto(sys.argv[1].encode() + b"\n", (sys.argv[2], 0))' "hoist $token $self" "$1"
			;;
	esac
}
listening=
if [ -n "$peers" ] && [ -z "$keeps" ] && [ -n "$tool" ]; then
	say listens yes
	set -- $peers
	receive 2>/dev/null | grep --line-buffered -ao "hoist $token [0-9]*" | {
		heard=' ' missing=$#
		while [ "$missing" -gt 0 ] && read -r word marker number; do
			case $heard in *" $number "*) continue ;; esac
			heard="$heard$number " missing=$((missing - 1))
			say hears "$number"
		done
	} &
	listening=$!
	# Also when this host has heard all: others may begin later.
	for turn in 1 2 3 4 5 6 7 8; do
		for peer in $peers; do send "$peer"; done
		sleep 0.5
	done >/dev/null 2>&1 &
fi

# ARP: whatever is sent to a neighbour makes the kernel ask who has the address, three times, once a second.
if ! have ip; then
	say unasked 'there is no ip (iproute2) on the host'
elif [ -n "$(ip -4 -o address show to "$vip")" ]; then
	say owner self
else
	set -- $(ip -4 -o route get "$vip" 2>/dev/null)
	device='' via=''
	while [ $# -gt 0 ]; do
		case $1 in dev) device=$2 ;; via) via=$2 ;; esac
		shift
	done
	if [ -z "$device" ] || [ -n "$via" ]; then
		say unasked 'it is in no network of the host'
	else
		ip neigh del "$vip" dev "$device" 2>/dev/null
		if have ping; then
			ping -n -c 1 -W 1 "$vip" >/dev/null 2>&1
		else
			bash -c "echo > /dev/udp/$vip/9" 2>/dev/null
		fi
		state=
		for turn in 1 2 3 4 5 6 7 8 9 10; do
			state=$(ip -4 neigh show to "$vip" dev "$device")
			case $state in *lladdr* | *FAILED*) break ;; esac
			[ -z "$quick" ] || break
			sleep 0.5
		done
		case $state in
			*lladdr*)
				mac=${state#*lladdr }
				say owner "${mac%% *}"
				;;
			*FAILED*) say owner nobody ;;
			*INCOMPLETE*) [ -n "$quick" ] && say owner nobody || say unasked 'the kernel got no answer yet' ;;
			*) say unasked 'the kernel did not ask' ;;
		esac
	fi
fi
# Until those were heard who can be. Not by `wait`: some shells would wait for the program that listens as well.
while [ -n "$listening" ] && kill -0 "$listening" 2>/dev/null; do sleep 0.1; done
exit 0
