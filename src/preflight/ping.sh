# How large packets may be on the way to each of $peers (INDEX=ADDRESS …), and how long they take. One line a peer:
# INDEX MTU LARGEST HOW MILLISECONDS. LARGEST is the largest packet of a ladder that arrives, 0 when none does; HOW is
# "told" when somebody on the way said that it was too large, "silent" when it just disappeared.
case $(ping -V 2>&1) in
	*iputils*) ;;
	*) echo 'no ping of iputils'; exit 0 ;;
esac
# Sends two packets of so many bytes that nobody may cut into pieces.
send() { answer=$(ping -n -c 2 -i 0.2 -W 1 -M do -s $(($1 - 28)) "$2" 2>&1); }
fastest() { fast=${answer##*= } fast=${fast%%/*}; }
probe() {
	index=${1%%=*} address=${1#*=} device='' mtu=1500
	set -- $(ip -4 -o route get "$address" 2>/dev/null)
	while [ $# -gt 0 ]; do
		[ "$1" = dev ] && device=$2
		shift
	done
	[ -r "/sys/class/net/$device/mtu" ] && read -r mtu < "/sys/class/net/$device/mtu"
	# The largest packet that IP knows; loopback interfaces allow for more.
	[ "$mtu" -le 65535 ] || mtu=65535
	if send "$mtu" "$address"; then
		fastest
		echo "$index $mtu $mtu - $fast"
		return
	fi
	how=silent
	case $answer in *[Ff]'rag needed'* | *'oo long'*) how=told ;; esac
	if ! send 84 "$address"; then
		echo "$index $mtu 0 silent -"
		return
	fi
	fastest
	largest=84
	for size in 1280 1400 1420 1450 1480 1492 1500 4000 9000; do
		[ "$size" -lt "$mtu" ] && send "$size" "$address" || break
		largest=$size
	done
	echo "$index $mtu $largest $how $fast"
}
count=0
for peer in $peers; do
	probe "$peer" &
	count=$((count + 1))
	[ $((count % 32)) -ne 0 ] || wait
done
wait
exit 0
