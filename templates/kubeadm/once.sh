{# These remarks stay here: each byte counts in what a rented machine is given.
   The mark is there while kubeadm is at work. When it is found, a run was killed in the middle or kubeadm failed, and
   what that run made is taken back first. A cluster that somebody else made has no mark and is never touched. #}
kubeadm_once() {
	mark=/var/lib/hoist/kubeadm-at-work
	[ ! -e $mark ] || kubeadm_undo
	mkdir -p /var/lib/hoist && : > $mark && sync $mark || exit
	rm -f /etc/kubernetes/*.applied
{# What failed to initialise stays as it is: it failed at once, for a reason that stays, or after minutes, and then its
   containers and their logs say why. Nothing of another host's is lost by waiting for whoever looks into it. #}
	case $1 in
	join) kubeadm_join "$@" ;;
	*) kubeadm "$@" ;;
	esac || exit
	# Whoever initialises has made everything of what is there; who joins, of what the cluster has.
	touch /etc/kubernetes/kubelet-settings.applied
	[ "$1" != init ] || touch /etc/kubernetes/api-names.applied /etc/kubernetes/kubeadm.applied /etc/kubernetes/security.applied
{% if cluster.etcd.external %}
	rm -rf /var/lib/hoist/pki
{% endif %}
	rm -f $mark || exit
	${kubeadm_after:-:}
	rmdir /var/lib/hoist 2>/dev/null || :
}

{# What fails to join may do so because the API server was just busy elsewhere. So it is tried twice. #}
kubeadm_join() {
	{# In memory and not in a file, for there is a token in it. #}
	input=$(cat) begun=$(date +%s) said=/var/lib/hoist/kubeadm-said
	{ kubeadm_attempt "$@" 2>&1; echo $? > $mark; } | tee $said
	status=$(cat $mark)
	if [ "$status" != 0 ] && kubeadm_may_try_again; then
		echo "kubeadm is undone and tried once more"
		kubeadm_undo
		status=0
		kubeadm_attempt "$@" || {
			status=$?
			{ echo "The first attempt had ended with:" && tail -n 4 $said | cut -c 1-300; } >&2
		}
	fi
	rm -f $said
	{# On a full disk not even that is written. #}
	return ${status:-1}
}

kubeadm_attempt() { printf '%s\n' "$input" | { ${kubeadm_before:-:} && kubeadm "$@"; }; }

{# Not where kubeadm's checks refuse: there somebody else's may be in its way, and they would see the same again. Not when
   it has waited for minutes. And not once the cluster may know this host, which then has to make room for it first. #}
kubeadm_may_try_again() {
	[ -s $said ] && ! grep -qF '[ERROR ' $said && [ $(($(date +%s) - begun)) -lt 180 ] || return
{% if not cluster.etcd.external %}
	{# A control plane whose kubelet was begun may be a member of etcd. #}
	[ ! -e /etc/kubernetes/admin.conf ] || [ ! -e /var/lib/kubelet/config.yaml ] || return
{% endif %}
	[ ! -e /etc/kubernetes/kubelet.conf ]
}

kubeadm_undo() {
{% if cluster.etcd.external %}
	# What an API server has written to etcd outlives the reset, and only the same keys fit it.
	kept=/var/lib/hoist/pki
	if [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ]; then
		rm -rf $kept.part && cp -a /etc/kubernetes/pki $kept.part && rm -rf $kept && mv $kept.part $kept || exit 1
	fi
	kubeadm reset --force </dev/null || exit 1
	[ ! -e $kept ] || { mkdir -p /etc/kubernetes/pki && cp -a $kept/. /etc/kubernetes/pki/; } || exit 1
{% else %}
	kubeadm reset --force </dev/null || exit 1
	# Without a manifest of etcd, reset takes its data for somebody else's. The cluster has no such member any more.
	rm -rf /var/lib/etcd/member
{% endif %}
}
