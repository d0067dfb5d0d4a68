# Who has the addresses $addresses, as this host sees it: one look at all of them at once. Changes nothing but what the
# kernel remembers of neighbours.
say() { printf '%s=%s\n' "$1" "$2"; }

command -v ip >/dev/null 2>&1 || { say unasked 'there is no ip (iproute2) on the host'; exit 0; }
command -v bash >/dev/null 2>&1 || { say unasked 'there is no bash on the host'; exit 0; }
asked=
for address in $addresses; do
	set -- $(ip -4 route get "$address" 2>/dev/null)
	case "${1:-} ${2:-}" in
		local*) say own "$address" ;;
		# On its own wire; what a router would have to pass on is asked by nobody here.
		"$address dev") ip neigh del "$address" dev "$3" 2>/dev/null; asked="$asked $address" ;;
	esac
done
[ -n "$asked" ] || exit 0
# ARP: whatever is sent to a neighbour makes the kernel ask who has the address, three times, once a second.
bash -c 'for address; do echo >"/dev/udp/$address/9"; done' asking $asked 2>/dev/null
# It knows the answer, or it gives up: then no question is open any more.
looks=0
while [ "$looks" -lt 25 ]; do
	sleep 0.2
	looks=$((looks + 1))
	open=$(ip -4 neigh show nud incomplete | while read -r address rest; do
		case " $asked " in *" $address "*) echo "$address" ;; esac
	done)
	[ -n "$open" ] || break
done
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
for address in $asked; do
	case " $owners " in *" $address "*) ;; *) say nobody "$address" ;; esac
done
exit 0
