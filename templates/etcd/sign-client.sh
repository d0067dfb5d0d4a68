hoist-etcd-sign /etc/kubernetes/etcd/client.pem /O=system:masters/CN=kube-apiserver-etcd-client &&
  install -m 0644 /etc/etcd/pki/ca.crt /etc/kubernetes/etcd/ca.crt
