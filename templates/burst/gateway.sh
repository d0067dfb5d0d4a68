#!/bin/sh
# The gateway between the machines of {{ site.cluster }} and its workers in EC2. cloud-init runs this once; what it
# enables is there after a reboot, too.
set -eu
# One that does not get so far would be paid for and pass nothing on: it ends, and the controller makes another.
trap '[ $? -eq 0 ] || systemctl poweroff' EXIT
export DEBIAN_FRONTEND=noninteractive

echo 'net.ipv4.ip_forward = 1' > /etc/sysctl.d/90-hoist.conf
sysctl -q -p /etc/sysctl.d/90-hoist.conf

# An image may have them; each minute without the gateway counts.
tries=0
until { command -v nft && command -v wg-quick; } > /dev/null; do
  [ "$tries" -lt 60 ] || exit 1
  [ "$tries" -eq 0 ] || sleep 5
  tries=$((tries + 1))
  apt-get -q update && apt-get -q -y --no-install-recommends install nftables wireguard-tools || true
done

umask 077
mkdir -p /etc/wireguard
# Machines dial: none of them has an endpoint. Each is reached at its own address alone, and may send from no other.
cat > /etc/wireguard/hoist.conf <<'END'
[Interface]
PrivateKey = {{ private_key }}
ListenPort = {{ wireguard }}
MTU = {{ mtu }}
{% for peer in site.peers %}

# {{ peer.name }}
[Peer]
PublicKey = {{ peer.key }}
AllowedIPs = {{ peer.address }}/32
{% endfor %}
END

cat > /etc/nftables.conf <<'END'
flush ruleset
define workers = { {{ site.workers | join(", ") }} }
table inet hoist {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iif lo accept
    udp dport { 68, {{ wireguard }} } accept
    icmp type echo-request accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    # Workers' interfaces take larger packets than the tunnel.
    tcp flags & (syn | rst) == syn tcp option maxseg size set rt mtu
    ct state established,related accept
    ip saddr $workers accept
    iifname "hoist" ip daddr $workers accept
  }
  # To the internet, not to the machines: they see workers' own addresses.
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr $workers oifname != "hoist" masquerade
  }
}
END

# The same when no machine has been there for six hours: then nobody may be left who would end it.
cat > /usr/local/sbin/hoist-alone <<'END'
#!/bin/sh
[ "$(cut -d. -f1 /proc/uptime)" -gt 21600 ] || exit 0
last=$(wg show hoist latest-handshakes | awk '$2 > last { last = $2 } END { print last + 0 }')
[ $(($(date +%s) - last)) -lt 21600 ] || systemctl poweroff
END
chmod 700 /usr/local/sbin/hoist-alone
cat > /etc/systemd/system/hoist-alone.service <<'END'
[Unit]
Description=hoist: ends the gateway that nobody dials any more
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/hoist-alone
END
cat > /etc/systemd/system/hoist-alone.timer <<'END'
[Timer]
OnBootSec=1h
OnUnitActiveSec=10min
[Install]
WantedBy=timers.target
END

systemctl daemon-reload
systemctl -q enable --now hoist-alone.timer
systemctl enable nftables.service
systemctl restart nftables.service
systemctl enable --now wg-quick@hoist.service
