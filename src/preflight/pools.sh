# Who has the addresses $addresses, as this host sees it. Changes nothing but what the kernel remembers of neighbours.
say() { printf '%s=%s\n' "$1" "$2"; }
have() { command -v "$1" >/dev/null 2>&1; }

have ip || { say unasked 'there is no ip (iproute2) on the host'; exit 0; }
asked=
# ARP: whatever is sent to a neighbour makes the kernel ask who has the address, three times, once a second.
for address in $addresses; do
	set -- $(ip -4 route get "$address" 2>/dev/null)
	[ "${1:-}" = "$address" ] && [ "${2:-}" = dev ] || continue
	asked="$asked $address"
	ip neigh del "$address" dev "$3" 2>/dev/null
	if have ping; then
		ping -n -c 1 -W 1 "$address" >/dev/null 2>&1 &
	else
		bash -c "echo > /dev/udp/$address/9" 2>/dev/null &
	fi
done
wait
sleep 3
owners=
while read -r address rest; do
	case " $asked " in *" $address "*) ;; *) continue ;; esac
	case $rest in
		*lladdr*)
			mac=${rest#*lladdr }
			say owner "$address ${mac%% *}"
			owners="$owners $address"
			;;
	esac
done <<END
$(ip -4 neigh show)
END
# The kernel forgets soon whom nobody answered for.
for address in $asked; do
	case " $owners " in *" $address "*) ;; *) say nobody "$address" ;; esac
done
exit 0
