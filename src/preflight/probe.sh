# What can go wrong on this host, beyond its facts. POSIX sh; each line of the answer is key=value. Changes nothing.
# $ports is a pattern of the ports that are needed, in hexadecimal; $name is the host's name in the inventory. What may
# take seconds comes last; where $quick is set, it is left out.
say() { printf '%s=%s\n' "$1" "$2"; }
tell() {
	line=
	[ -r "$2" ] && IFS= read -r line 2>/dev/null < "$2"
	[ -z "$line" ] || say "$1" "$line"
}
have() { command -v "$1" >/dev/null 2>&1; }

# Identities.
for file in /etc/ssh/ssh_host_*_key.pub; do
	[ -r "$file" ] && read -r kind blob rest < "$file" && say ssh_host_key "$kind $blob"
done
grep -s '^InitiatorName=..*' /etc/iscsi/initiatorname.iscsi | while IFS== read -r key value; do say iscsi "$value"; done
tell nvme /etc/nvme/hostnqn

# Name servers.
grep -hsE '^[[:space:]]*(nameserver|search|domain)[[:space:]]' /etc/resolv.conf | while read -r line; do say resolv "$line"; done
grep -hsE '^[[:space:]]*nameserver[[:space:]]' /run/systemd/resolve/resolv.conf |
	while read -r line; do say resolved "$line"; done

# Disks: what a folder will be on, whether it exists yet or not.
for folder in / /etc /usr/local/bin /var/lib/etcd /var/lib/etcd-external /var/lib/kubelet /var/lib/containerd; do
	place=$folder
	while [ ! -d "$place" ]; do place=${place%/*} place=${place:-/}; done
	{ df -Pk "$place" && df -Pi "$place" && findmnt -n -o OPTIONS -T "$place"; } 2>/dev/null | {
		read -r heading
		read -r device size used free rest
		read -r heading
		read -r device inodes used inodes_free rest
		read -r options
		say disk "$folder $size $free $inodes $inodes_free $options"
	}
done
grep -sE '^[[:space:]]*[^#[:space:]]+[[:space:]]+[^[:space:]]+[[:space:]]+swap([[:space:]]|$)' /etc/fstab >/dev/null &&
	say swap_in fstab
for file in /etc/systemd/zram-generator.conf /usr/lib/systemd/zram-generator.conf; do [ -s "$file" ] && say swap_in "$file"; done

# The kernel. A module counts when it is there, built in, or would be found.
for module in overlay br_netfilter nf_conntrack vxlan wireguard iscsi_tcp; do
	evidence=no
	[ -d "/sys/module/$module" ] && evidence=yes
	case $module in
		overlay) grep -qsw overlay /proc/filesystems && evidence=yes ;;
		br_netfilter) [ -d /proc/sys/net/bridge ] && evidence=yes ;;
	esac
	[ $evidence = no ] && have modprobe && modprobe -n -q "$module" 2>/dev/null && evidence=yes
	say module "$module $evidence"
done
if [ -r /sys/fs/cgroup/cgroup.controllers ]; then
	tell controllers /sys/fs/cgroup/cgroup.controllers
else
	while read -r controller hierarchy count enabled; do
		[ "$enabled" = 1 ] && say controllers "$controller"
	done < /proc/cgroups
fi
if [ -e /proc/sys/kernel/seccomp/actions_avail ]; then say seccomp yes; else say seccomp no; fi
if [ -r /sys/kernel/btf/vmlinux ]; then say btf yes; else say btf no; fi
tell selinux /sys/fs/selinux/enforce

# Services, in one question; an empty line ends what is said of one.
if have systemctl; then
	set -- firewalld docker crio k3s k3s-agent rke2-server rke2-agent k0scontroller k0sworker \
		snap.microk8s.daemon-kubelite NetworkManager multipathd iscsid systemd-resolved systemd-timesyncd chrony chronyd ntp ntpd ntpsec openntpd
	for unit; do shift; set -- "$@" "$unit.service"; done
	unit='' state=''
	{ systemctl show -p Id -p ActiveState "$@" 2>/dev/null; echo; } | while IFS== read -r key value; do
		case $key in
			Id) unit=${value%.service} ;;
			ActiveState) state=$value ;;
			'')
				[ "$state" = active ] && say active "$unit"
				[ -n "$state" ] && say asked "$unit"
				unit='' state=''
				;;
		esac
	done
fi

# Firewalls. A module that could be loaded but is not has no rules, and asking would load it. Told are chains that drop
# what no rule lets in, and the first rules that drop or reject; those of Kubernetes itself are not meant.
policies() {
	"$1" -S 2>/dev/null | grep -E -e '^-P (INPUT|FORWARD) DROP' | while read -r line; do say drops "$1: $line"; done
	"$1" -S 2>/dev/null | grep -E -e '^-A (INPUT|FORWARD) .*-j (DROP|REJECT)' | grep -v KUBE- | head -n 20 |
		while read -r line; do say rule "$1: $line"; done
}
chains() {
	table='' chain='' hooked='' left=20
	while read -r word rest; do
		case $word in
			table) table=${rest% \{} ;;
			chain) chain=${rest% \{} hooked='' ;;
			type)
				case $rest in *' hook input '* | *' hook forward '*) hooked=yes ;; esac
				case $hooked$rest in yes*'policy drop'*) say drops "nft: table $table, chain $chain: policy drop" ;; esac
				;;
			*)
				case $hooked$left in 0 | yes0 | [0-9]*) continue ;; esac
				case "$word $rest " in
					*invalid* | *KUBE-*) ;;
					*' drop '* | *' reject '*) 
						say rule "nft: table $table, chain $chain: $word $rest"
						left=$((left - 1))
						;;
				esac
				;;
		esac
	done
}
grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf && say firewall ufw
if [ -d /sys/module/nf_tables ] || ! grep -qs '/nf_tables\.ko' "/lib/modules/$(uname -r)/modules.dep"; then
	if have nft; then
		nft -t list ruleset 2>/dev/null | chains
	elif have iptables; then
		policies iptables
	elif [ -d /sys/module/nf_tables ]; then
		say unread nftables
	fi
fi
if grep -qs '^filter' /proc/net/ip_tables_names; then
	if have iptables-legacy; then
		policies iptables-legacy
	elif have iptables; then
		policies iptables
	else
		say unread iptables
	fi
fi

# What else has its hands in the network. Of interfaces that containers bring there can be hundreds.
for folder in /proc/sys/net/ipv4/conf/*; do
	case ${folder##*/} in veth* | lxc* | cali*) continue ;; esac
	# Such files end after one read, by which `read` counts as failed.
	value=
	read -r value 2>/dev/null < "$folder/rp_filter"
	[ -z "$value" ] || say rp_filter "${folder##*/} $value"
done
grep -hsE '^[[:space:]]*unmanaged-devices' /etc/NetworkManager/NetworkManager.conf /etc/NetworkManager/conf.d/*.conf \
	/usr/lib/NetworkManager/conf.d/*.conf | while read -r line; do say unmanaged "$line"; done
grep -qsE '^[[:space:]]*blacklist' /etc/multipath.conf /etc/multipath/conf.d/*.conf && say blacklist yes

# What is on the host already.
for path in /etc/kubernetes/admin.conf /etc/kubernetes/kubelet.conf /etc/kubernetes/manifests/*.yaml /var/lib/etcd/member \
	/var/lib/kubelet/config.yaml /etc/rancher/k3s /etc/rancher/rke2 /var/lib/k0s /var/snap/microk8s /etc/cni/net.d/*.conf*; do
	[ -e "$path" ] && say trace "$path"
done

grep -qs '^# Written by hoist;' /etc/haproxy/haproxy.cfg && say balances yes

# Ports that are taken, and by whom: the socket's inode leads to the process.
taken=$(grep -hsE "^ *[0-9]+: [0-9A-F]+:($ports) [0-9A-F]+:0000 0A " /proc/net/tcp /proc/net/tcp6)
if [ -n "$taken" ]; then
	sockets=' '
	while read -r slot local remote state queues timer retries user timeout inode rest; do
		say listens "$local $inode"
		sockets="$sockets$inode "
	done <<-END
		$taken
	END
	ls -l /proc/[0-9]*/fd 2>/dev/null | grep -E '^/proc/|socket:' | while read -r line; do
		case $line in
			/proc/*) process=${line#/proc/} process=${process%%/*} ;;
			*socket:*)
				inode=${line##*socket:[} inode=${inode%]}
				case $sockets in
					*" $inode "*)
						read -r comm 2>/dev/null < "/proc/$process/comm"
						say holds "$inode $comm"
						;;
				esac
				;;
		esac
	done
fi

# Packages: half-configured ones, and who holds the database. fcntl locks are seen only in /proc/locks.
if have dpkg; then
	dpkg --audit 2>/dev/null | grep -E '^ [^ ]' | while read -r package rest; do say broken "$package"; done
fi
for file in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/rpm/.rpm.lock; do
	inode=$(stat -c %i "$file" 2>/dev/null) || continue
	while read -r number kind advice mode process place rest; do
		case $place in
			*":$inode")
				comm=
				read -r comm 2>/dev/null < "/proc/$process/comm"
				say locked "$file ${comm:-process $process}"
				;;
		esac
	done < /proc/locks
done

# Proxies: only whether there are any, for their addresses can hold passwords.
grep -rqsiE '^[^/#]*acquire::https?::proxy' /etc/apt/apt.conf /etc/apt/apt.conf.d && say proxy packages
grep -qsiE '^[[:space:]]*proxy[[:space:]]*=' /etc/dnf/dnf.conf /etc/yum.conf && say proxy packages
grep -qsiE 'https?_proxy' /etc/environment && say proxy environment
grep -rqsiE 'https?_proxy' /etc/systemd/system/containerd.service.d && say proxy containerd

# Routes. The address asked for is never contacted.
ip -4 -o route show table main 2>/dev/null | while read -r line; do say route "$line"; done
ip -4 -o route get 198.51.100.1 2>/dev/null | while read -r line; do say outward "$line"; done
[ -z "$quick" ] || exit 0

# Names, which a name server may be slow to tell. The last one exists nowhere, unless a search domain has a wildcard.
lookup() { timeout 6 getent "$@" 2>/dev/null; }
lookup hosts "$name" | while read -r address rest; do say own_name "$address"; done
lookup ahostsv4 localhost | while read -r address rest; do say localhost "$address"; done
if have getent; then
	answer=$(lookup ahostsv4 "no-such-host-$$")
	case $? in
		0) say wildcard "${answer%% *}" ;;
		2) say wildcard none ;;
		124) say wildcard timeout ;;
	esac
fi
have timedatectl && timeout 10 timedatectl show -p NTPSynchronized 2>/dev/null |
	while IFS== read -r key value; do say synchronized "$value"; done
exit 0
