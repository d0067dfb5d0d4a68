# read_anew ADDRESS:PORT FILE…: this host's API server has read these files as they are. It does so only when it starts.
read_anew() {
	server=$1
	shift
	! is_older "$@" || restarted kube-apiserver || exit
	ready "$server" || exit
}

# is_older FILE…: whether an API server runs that began before one of them became what it is, or in the same second.
# Where none runs, whichever starts next reads all.
is_older() {
	kernel=$(sed -n 's/^btime //p' /proc/stat)
	for process in $(ctr -n k8s.io tasks list | awk -v ids=" $(echo $(running kube-apiserver)) " 'index(ids, " " $1 " ") { print $2 }'); do
		# The 22nd field, in hundredths of a second since the kernel began; in the second one there may be blanks.
		ticks=$(sed 's/.*) //' "/proc/$process/stat" | cut -d ' ' -f 20)
		for file; do
			[ ! -e "$file" ] || [ "$(stat -c %Y "$file")" -lt $((${kernel:-0} + ${ticks:-0} / 100)) ] || return 0
		done
	done
	return 1
}
