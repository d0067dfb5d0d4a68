# Carries kubeadm.yaml over to a control plane that runs. A part that does not come up with its new settings gets its
# old ones back, so that the control plane lives on.

is_well() {
	case $1 in
	apiserver) set -- --kubeconfig /etc/kubernetes/admin.conf --server https://{{ host.address }}:{{ cluster.api_port }} --raw /readyz ;;
	# The certificates of these two are their own; here, on the loopback, there is nobody else.
	controller-manager) set -- --kubeconfig /etc/kubernetes/$1.conf --insecure-skip-tls-verify --server https://127.0.0.1:10257 --raw /healthz ;;
	scheduler) set -- --kubeconfig /etc/kubernetes/$1.conf --insecure-skip-tls-verify --server https://127.0.0.1:10259 --raw /healthz ;;
	esac
	kubectl --request-timeout 5s get "$@" </dev/null >/dev/null 2>&1
}

# The kubelet takes a while to see a new manifest: until the process is another one, the old one answers.
comes_back() {
	end=$(($(date +%s) + 120))
	until [ ! -d "/proc/${2:-none}" ] && is_well $1; do
		[ "$(date +%s)" -lt $end ] || return 1
		sleep 1
	done
}

in_cluster() { kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-system "$@"; }
proxy_settings() { in_cluster get configmap kube-proxy -o 'jsonpath={.data.config\.conf}'; }

take_settings() {
	config=$1
	for part in apiserver controller-manager scheduler; do
		manifest=/etc/kubernetes/manifests/kube-$part.yaml
		before=$(cat $manifest 2>/dev/null) process=$(pidof -s kube-$part)
		kubeadm init phase control-plane $part --config $config || exit
		[ "$(cat $manifest)" != "$before" ] || process=
		comes_back $part $process && continue
		echo "kube-$part did not get well within 120 s with its new settings" >&2
		for log in /var/log/containers/kube-$part-*.log; do [ ! -e "$log" ] || tail -n 5 "$log" | cut -c 1-300 >&2; done
		if [ -n "$before" ] && [ -n "$process" ]; then
			printf '%s\n' "$before" > $config.before && mv -f $config.before $manifest && echo "it has its old ones again" >&2
		fi
		exit 1
	done
	kubeadm init phase upload-config all --config $config || exit
{% if cluster.kubeadm.kube_proxy %}
	before=$(proxy_settings)
	kubeadm init phase addon kube-proxy --config $config || exit
	[ "$(proxy_settings)" = "$before" ] || in_cluster rollout restart daemonset kube-proxy || exit
{% endif %}
}
