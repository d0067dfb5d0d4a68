#!/bin/sh
# Written by hoist. Keeps this machine's end of the tunnel to the workers in EC2. Where the gateway is and which key it has,
# the cluster says (ConfigMap hoist-burst/gateway); which networks are behind it, is said here alone.
#   hoist-tunnel --check   ends with 1 if there is something to do, as far as can be known, and changes nothing
set -eu
umask 077
check=
if [ "${1:-}" = --check ]; then check=yes; fi
key=/etc/wireguard/hoist.key
file=/etc/wireguard/hoist.conf
# The timer's and an administrator's wait for each other.
exec 9> /run/hoist-tunnel.lock
flock -w 20 9

ask() { kubectl --kubeconfig /etc/kubernetes/kubelet.conf --request-timeout=10s "$@"; }
gateway() {
  ask -n hoist-burst get configmap gateway --ignore-not-found -o jsonpath='{.data.endpoint} {.data.key}'
}
to_do() { if [ "$check" ]; then exit 1; fi; }
# Without an answer a check has nothing to say: the timer asks again.
unanswered() { if [ "$check" ]; then exit 0; else exit 1; fi; }
# Whether the tunnel is there with all that leads into it, whoever may have taken something away.
stands() {
  systemctl -q is-active wg-quick@hoist.service && wg show hoist > /dev/null 2>&1 || return 1
  for network in {{ cluster.tunnel.networks | join(" ") }}; do
    ip -4 route show "$network" | grep -q ' dev hoist ' || return 1
  done
}

# A node may write this to itself and to no other, so nobody else's packets come under its key.
note() { ask annotate --overwrite node '{{ host.name }}' "hoist.dev/$1=$2"; }
own=$(wg pubkey < "$key")
notes='{.metadata.annotations.hoist\.dev/tunnel-key} {.metadata.annotations.hoist\.dev/tunnel-answered}'
known=$(ask get node '{{ host.name }}' -o jsonpath="$notes") || unanswered
if [ "${known% *}" != "$own" ]; then
  to_do
  note tunnel-key "$own"
fi
# Whether the gateway answers: written when it changes.
answered() { if [ "${known##* }" != "$1" ]; then note tunnel-answered "$1"; fi; }
# What does not come up answers nobody.
fails() {
  rm -f "$file.new"
  answered no
  exit 1
}

# Whatever the API server answers, or does not, the tunnel stays as it is. Nodes may not ask before there was a gateway.
if [ -e "$file" ]; then said=$(gateway) || unanswered; else said=$(gateway 2> /dev/null) || exit 0; fi
# shellcheck disable=SC2086 # two words
set -- $said
if [ $# -eq 0 ]; then
  if [ -e "$file" ]; then
    to_do
    systemctl -q disable --now wg-quick@hoist.service
    rm -f "$file"
    answered no
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

if [ "$(cat "$file.new")" != "$(cat "$file" 2> /dev/null)" ] || ! stands; then
  if [ "$check" ]; then rm -f "$file.new"; fi
  to_do
  # What this machine reaches in another way now would be lost.
  for network in {{ cluster.tunnel.networks | join(" ") }}; do
    if ip -4 route show root "$network" | grep -v ' dev hoist ' | grep -q .; then
      rm -f "$file.new"
      echo "this machine has a route into $network already, where the workers in EC2 are (burst.subnets):" >&2
      ip -4 route show root "$network" >&2
      if [ -z "$check" ]; then answered no; fi
      exit 1
    fi
  done
  # What is killed in between finds no unit that is active, and begins again.
  systemctl stop wg-quick@hoist.service || fails
  mv "$file.new" "$file"
  systemctl -q enable wg-quick@hoist.service || fails
  systemctl start wg-quick@hoist.service || fails
fi
rm -f "$file.new"
if [ "$check" ]; then exit 0; fi
# WireGuard follows whoever last sent something that was right; workers' packets may have come another way.
wg set hoist peer "$2" endpoint "$1" || fails
# They shake hands every two minutes.
last=$(wg show hoist latest-handshakes | cut -f 2)
if [ $(($(date +%s) - ${last:-0})) -lt 180 ]; then answered yes; else answered no; fi
