# A name that changes while volumes are attached makes targets refuse to attach them again.
for session in /sys/class/iscsi_session/*; do
	[ ! -e "$session" ] || { echo 'volumes are attached over iSCSI: drain the host, then run this again' >&2; exit 1; }
done
file=/etc/iscsi/initiatorname.iscsi
name=$(iscsi-iname) && [ -n "$name" ] || { echo 'iscsi-iname gave no name' >&2; exit 1; }
(umask 077; printf '# Written by hoist: a name of its own, once.\nInitiatorName=%s\n' "$name" > "$file.hoist") && mv -f "$file.hoist" "$file"
