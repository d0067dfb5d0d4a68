#!/bin/sh
# Written by hoist. Keeps this machine's end of the tunnel to the workers in EC2. Where the gateway is and which key it has,
# the cluster says (ConfigMap hoist-burst/gateway); which networks are behind it, is said here alone.
#   hoist-tunnel --check   ends with 0 if there is nothing to do, and changes nothing
set -eu
umask 077
check=
if [ "${1:-}" = --check ]; then check=yes; fi
key=/etc/wireguard/hoist.key
file=/etc/wireguard/hoist.conf
# The timer's and an administrator's wait for each other.
exec 9> /run/hoist-tunnel.lock
flock -w 50 9

ask() { kubectl --kubeconfig /etc/kubernetes/kubelet.conf --request-timeout=10s "$@"; }
gateway() {
  ask -n hoist-burst get configmap gateway --ignore-not-found -o jsonpath='{.data.endpoint} {.data.key}'
}
to_do() { if [ "$check" ]; then exit 1; fi; }

# A node may write this to itself and to no other, so nobody else's packets come under its key.
own=$(wg pubkey < "$key")
known=$(ask get node '{{ host.name }}' -o jsonpath='{.metadata.annotations.hoist\.dev/tunnel-key}')
if [ "$known" != "$own" ]; then
  to_do
  ask annotate --overwrite node '{{ host.name }}' "hoist.dev/tunnel-key=$own"
fi

# Whatever the API server answers, or does not, the tunnel stays as it is. Nodes may not ask before there was a gateway.
if [ -e "$file" ]; then said=$(gateway); else said=$(gateway 2> /dev/null) || exit 0; fi
# shellcheck disable=SC2086 # two words
set -- $said
if [ $# -eq 0 ]; then
  if [ -e "$file" ]; then
    to_do
    systemctl -q disable --now wg-quick@hoist.service
    rm -f "$file"
  fi
  exit 0
fi
if [ $# -ne 2 ] || ! echo "$1" | grep -Eqx '[0-9]{1,3}(\.[0-9]{1,3}){3}:[0-9]{1,5}' ||
  ! echo "$2" | grep -Eqx '[A-Za-z0-9+/]{43}='; then
  echo "the ConfigMap hoist-burst/gateway is not understood: '$said' is no ADDRESS:PORT and no key" >&2
  exit 1
fi

{
  echo '[Interface]'
  echo "PrivateKey = $(cat "$key")"
  echo 'MTU = {{ cluster.tunnel.mtu }}'
  # What is sent there has the address that the gateway knows, whichever others the host has.
  echo 'Table = off'
  {% for network in cluster.tunnel.networks %}
  echo 'PostUp = ip -4 route replace {{ network }} dev %i src {{ host.address }}'
  {% endfor %}
  echo '[Peer]'
  echo "PublicKey = $2"
  echo "Endpoint = $1"
  echo 'AllowedIPs = {{ cluster.tunnel.networks | join(", ") }}'
  # What keeps a NAT router from forgetting who dialled.
  echo 'PersistentKeepalive = 25'
} > "$file.new"

if ! cmp -s "$file.new" "$file" || ! systemctl -q is-active wg-quick@hoist.service; then
  if [ "$check" ]; then rm -f "$file.new"; fi
  to_do
  # What is killed in between finds no unit that is active, and begins again.
  systemctl stop wg-quick@hoist.service
  mv "$file.new" "$file"
  systemctl -q enable wg-quick@hoist.service
  systemctl start wg-quick@hoist.service
fi
rm -f "$file.new"
if [ "$check" ]; then exit 0; fi
# WireGuard follows whoever last sent something that was right; workers' packets may have come another way.
wg set hoist peer "$2" endpoint "$1"
