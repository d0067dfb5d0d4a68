# The kubelet has a certificate that has not expired, or none yet. Without openssl nobody could tell.
certificate=/var/lib/kubelet/pki/kubelet-client-current.pem
[ ! -e $certificate ] || ! command -v openssl || openssl x509 -noout -checkend 0 -in $certificate
