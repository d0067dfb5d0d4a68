umask 077
read -r ca && read -r certificate && cd /etc/kubernetes/etcd || exit 1
printf '%s' "$ca" | base64 -d > ca.crt.part && printf '%s' "$certificate" | base64 -d > client.pem.part &&
  mv -f ca.crt.part ca.crt && mv -f client.pem.part client.pem
