names='DNS:{{ host.name }},DNS:localhost,IP:{{ host.address }},IP:127.0.0.1'
hoist-etcd-sign /etc/etcd/pki/member.pem '/CN={{ host.name }}' "$names"
