# Brings the cluster's settings of kubelets to this one. If it does not come up with them, it gets its old ones back.
config=/var/lib/kubelet/config.yaml

is_well() {
	grep -q '^healthzPort: 0$' $config ||
		kubectl --kubeconfig /dev/null --request-timeout 5s --server http://127.0.0.1:10248 get --raw /healthz </dev/null >/dev/null 2>&1
}

take_kubelet_settings() {
	cp -p $config $config.before || exit
	# The endpoint may lead to a control plane that is just taking its own settings.
	end=$(($(date +%s) + 90))
	until kubeadm upgrade node phase kubelet-config; do
		[ "$(date +%s)" -lt $end ] || exit 1
		sleep 2
	done
	if cmp -s $config $config.before; then
		# As old as it was, too: the kubelet has read it.
		mv -f $config.before $config
		exit
	fi
	systemctl restart kubelet || exit
	end=$(($(date +%s) + 60))
	until sleep 2 && is_well; do
		[ "$(date +%s)" -lt $end ] && continue
		journalctl -q --no-pager -o cat -u kubelet -n 10 | cut -c 1-300 >&2
		mv -f $config.before $config && systemctl restart kubelet
		echo "the kubelet did not get well within 60 s with its new settings; it has its old ones again" >&2
		exit 1
	done
	rm -f $config.before
}
