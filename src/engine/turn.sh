# Keeps the turn $turn of a cluster's runs for $holder, for as long as its input does not end. It is asked with lines and
# answers each with one line:
#
#   try     "taken", or who has it
#   wait    "taken", as soon as nobody else has it
#   leave   "left"
kept=/run/hoist-turn.$turn
exec 8>>"$kept" || exit
taken() { printf '%s\n' "$holder" >"$kept" && echo taken; }
while read -r verb; do
	case $verb in
	try)
		flock -n 8
		case $? in 0) taken ;; 1) echo "$(head -n 1 "$kept")" ;; *) exit ;; esac
		;;
	wait) flock 8 && taken || exit ;;
	leave)
		exec 8>&-
		echo left
		exit
		;;
	esac
done
# The run was cut off. What it had begun may take this long to end.
sleep 5
