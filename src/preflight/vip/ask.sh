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

# VRRP: packets of its protocol that are nothing else, for some seconds to and from everybody. Not where it is at work.
listening=
if [ -n "$peers" ] && [ -z "$keeps" ] && have socat; then
	say listens yes
	timeout 6 socat -u IP4-RECV:112 - 2>/dev/null | grep -ao "hoist $token [0-9]*" | sort -u |
		while read -r word marker number; do say hears "$number"; done &
	listening=$!
	for turn in 1 2 3 4 5 6 7 8; do
		for peer in $peers; do
			echo "hoist $token $self" | timeout 1 socat -u - "IP4-SENDTO:$peer:112" 2>/dev/null
		done
		sleep 0.5
	done &
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
[ -z "$listening" ] || wait
exit 0
