# What every host's prepared script begins with: look at everything at once, then change what does not hold.
# POSIX sh and coreutils. It knows nothing but these statements, and says nothing.
set -e
umask 022
end='
'
holds() { case $end$1$end in *"$end$2$end"*) return 0 ;; *) return 1 ;; esac; }

directory() { # directory PATH MODE
	holds "$attributes" "$1 directory $2 root:root" && return
	mkdir -p "$1" && chown root:root "$1" && chmod "$2" "$1"
}

file() { # file PATH MODE SHA256 <CONTENT
	holds "$attributes" "$1 regular file $2 root:root" && holds "$digests" "$3  $1" && return
	cat >"$1.new" && chown root:root "$1.new" && chmod "$2" "$1.new" && mv "$1.new" "$1"
}

line() { # line PATH LINE
	holds "$lines" "$2" || printf '%s\n' "$2" >>"$1"
}
