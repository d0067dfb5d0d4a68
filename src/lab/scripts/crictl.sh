#!/bin/sh
# Not cri-tools' crictl, which Debian does not have: the handful of its calls that kubeadm makes, answered with
# containerd's own client. Anything else is refused, so that nobody takes it for the real one.
set -u

while [ $# -gt 0 ]; do
    case $1 in
    -r | --runtime-endpoint | -i | --image-endpoint | -t | --timeout) shift 2 ;;
    -*) shift ;;
    *) break ;;
    esac
done
verb=${1:-}
[ $# -gt 0 ] && shift

k8s_ctr() {
    ctr --namespace k8s.io "$@"
}

case $verb in
info)
    k8s_ctr version >/dev/null && echo '{}'
    ;;
inspecti)
    k8s_ctr images list --quiet | grep --quiet --fixed-strings --line-regexp "$1"
    ;;
pull)
    k8s_ctr images pull "$1"
    ;;
pods)
    # kubeadm takes every word on either stream for the name of a pod, warnings of containerd's client as well.
    k8s_ctr containers list --quiet 'labels."io.cri-containerd.kind"==sandbox' 2>/dev/null
    ;;
stopp)
    k8s_ctr tasks kill --signal 9 "$1" 2>/dev/null || true
    ;;
rmp)
    # A pod goes with the containers in it: the kubelet does not start where one is left whose pod is gone.
    for pod in "$@"; do
        case $pod in -*) continue ;; esac
        uid=$(k8s_ctr containers info "$pod" 2>/dev/null | sed -n 's/.*"io.kubernetes.pod.uid": "\(.*\)".*/\1/p' | head -n 1)
        [ -n "$uid" ] || continue
        # What the network's plugins would be asked for: the namespace goes, with it both ends of its cable, and the address
        # is free for another pod.
        network=$(k8s_ctr containers info "$pod" 2>/dev/null | sed -n 's,.*"path": "/.*/netns/\([^"]*\)".*,\1,p' | head -n 1)
        [ -z "$network" ] || ip netns delete "$network"
        grep -slF "$pod" /var/lib/cni/networks/*/* | xargs -r rm -f
        for container in $(k8s_ctr containers list --quiet "labels.\"io.kubernetes.pod.uid\"==$uid" 2>/dev/null); do
            k8s_ctr tasks delete --force "$container" 2>/dev/null
            k8s_ctr containers delete "$container" 2>/dev/null
        done
    done
    # containerd keeps a list of its own for Kubernetes and does not see what its client deletes. The first command
    # forgets how often it was started, for each pod comes here.
    systemctl reset-failed containerd
    systemctl restart containerd
    ;;
*)
    echo "crictl: '$verb' is not one of the calls that this stand-in answers (info, inspecti, pull, pods, stopp, rmp)" >&2
    exit 1
    ;;
esac
