# What both scripts by hand share; they source it. They give `address`, the nodes, and `endpoint`, HOST:PORT of the API server.

cache=${HOIST_CACHE:-$HOME/.cache/hoist}
artifacts=$cache/artifacts/kubernetes-1.20.2
version=v1.20.2
work=$(mktemp -d)
begun=${EPOCHREALTIME//[.,]/}

say() {
    local tenths=$(((${EPOCHREALTIME//[.,]/} - begun) / 100000))
    printf '%5d.%d s  %s\n' $((tenths / 10)) $((tenths % 10)) "$*"
}

on() { # on NODE COMMAND: as root, over the node's one connection
    local node=$1
    shift
    ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes \
        -o UserKnownHostsFile="$cache/lab/ssh/known_hosts" -o GlobalKnownHostsFile=none -o LogLevel=ERROR \
        -o ControlMaster=auto -o ControlPersist=60 -o ControlPath="$work/$node.socket" \
        -i "$cache/lab/ssh/id_ed25519" "root@${address[$node]}" "$@"
}

finish() {
    local node
    for node in "${!address[@]}"; do
        [ ! -S "$work/$node.socket" ] || on "$node" -O exit 2>/dev/null || true
    done
    rm -rf "$work"
}
trap finish EXIT

third() { # the third byte of a node's pod network is the last one of its address
    echo "${address[$1]##*.}"
}

configure() { # everything before kubeadm that is no file from here
    local node=$1 peer
    cat <<'SCRIPT'
set -e
printf 'overlay\nbr_netfilter\n' > /etc/modules-load.d/kubernetes.conf
printf 'net.ipv4.ip_forward = 1\nnet.bridge.bridge-nf-call-iptables = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\n' \
    > /etc/sysctl.d/zz-kubernetes.conf
sysctl -q -p /etc/sysctl.d/zz-kubernetes.conf
cat > /etc/containerd/config.toml <<'END'
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "k8s.gcr.io/pause:3.2"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
END
systemctl restart containerd
printf 'runtime-endpoint: unix:///run/containerd/containerd.sock\nimage-endpoint: unix:///run/containerd/containerd.sock\n' \
    > /etc/crictl.yaml
cat > /etc/systemd/system/kubelet.service <<'END'
[Unit]
Wants=network-online.target containerd.service
After=network-online.target containerd.service
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=/usr/local/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS
Restart=always
StartLimitInterval=0
RestartSec=10
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl -q enable kubelet
mkdir -p /etc/cni/net.d
SCRIPT
    cat <<SCRIPT
cat > /etc/cni/net.d/10-bridge.conflist <<'END'
{"cniVersion": "0.4.0", "name": "bridge", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": {"type": "host-local",
   "ranges": [[{"subnet": "10.244.$(third "$node").0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
cat > /etc/systemd/system/pod-routes.service <<'END'
[Unit]
After=network-online.target
Wants=network-online.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/iptables -w -t nat -A POSTROUTING -s 10.244.$(third "$node").0/24 ! -d 10.244.0.0/16 -j MASQUERADE
$(for peer in "${nodes[@]}"; do
    [ "$peer" = "$node" ] ||
        echo "ExecStart=/usr/sbin/ip route replace 10.244.$(third "$peer").0/24 via ${address[$peer]}"
done)
[Install]
WantedBy=multi-user.target
END
systemctl -q enable --now pod-routes
SCRIPT
}

spent() { # spent KIND NODE FUNCTION...: calls it for the node, and notes how long that took
    local kind=$1 node=$2 start=${EPOCHREALTIME//[.,]/}
    shift 2
    "$1" "$node" "${@:2}"
    echo "$node $kind $((${EPOCHREALTIME//[.,]/} - start))" >>"$work/spent"
}

binaries() { tar -C "$artifacts" -c kubeadm kubectl kubelet crictl | on "$1" 'tar -C /usr/local/bin -x --no-same-owner'; }
configured() { configure "$1" | on "$1" sh; }
images() { tar -C "$artifacts/images" -c "${@:2}" | on "$1" 'mkdir /root/images && tar -C /root/images -x'; }
import() {
    on "$1" '
        for image in /root/images/*; do ctr -n k8s.io images import --digests=false "$image" >/dev/null || exit 1; done
        rm -r /root/images'
}

prepare() { # prepare NODE IMAGE...: files, configuration and images
    local node=$1
    shift
    spent sending "$node" binaries
    spent systemd "$node" configured
    spent sending "$node" images "${@/%/.tar}"
    spent import "$node" import
    say "$node prepared"
}

share() { # share NODE NODE...: what is spent neither in kubeadm, nor in image import, nor in systemd: the first one leads, the
    # last to join of the others is waited for
    awk -v all=$((${EPOCHREALTIME//[.,]/} - begun)) -v leads="$1" '
        $2 == "sending" {next}
        $1 == leads {theirs += $3}
        $1 != leads && $2 == "kubeadm" && $3 > last {last = $3}
        END {printf "neither in kubeadm, nor in image import, nor in systemd: %.1f s of %.1f s, %.1f%%\n",
            (all - theirs - last) / 1e6, all / 1e6, 100 * (all - theirs - last) / all}' "$work/spent"
}

registration() { # registration NODE TAINTS: what init and join say about a node
    cat <<END
nodeRegistration:
  name: $1
  criSocket: /run/containerd/containerd.sock
  taints: $2
  kubeletExtraArgs: {node-ip: ${address[$1]}}
END
}

cluster() { # cluster NODE PORT EXTRA: the configuration of kubeadm init, with more lines of ClusterConfiguration
    cat <<END
apiVersion: kubeadm.k8s.io/v1beta2
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: ${address[$1]}, bindPort: $2}
$(registration "$1" '[{key: node-role.kubernetes.io/master, effect: NoSchedule}]')
---
apiVersion: kubeadm.k8s.io/v1beta2
kind: ClusterConfiguration
clusterName: lab
kubernetesVersion: $version
controlPlaneEndpoint: "$endpoint"
networking: {podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/12}
apiServer: {certSANs: ["${endpoint%:*}", 127.0.0.1]}
controllerManager: {extraArgs: {allocate-node-cidrs: "false"}}
$3
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
conntrack: {maxPerCore: 0, min: 0}
END
}

joined() { on "$1" 'kubeadm join --config /dev/stdin --ignore-preflight-errors=ImagePull' >"$work/$1.log"; }

join() { # join NODE TOKEN CA_HASH TAINTS [EXTRA]
    spent kubeadm "$1" joined <<END
apiVersion: kubeadm.k8s.io/v1beta2
kind: JoinConfiguration
discovery:
  bootstrapToken: {apiServerEndpoint: "$endpoint", token: "$2", caCertHashes: ["$3"]}
$(registration "$1" "$4")
${5:-}
END
    say "$1 joined"
}

initialised() { on "$1" "kubeadm init --config /dev/stdin --ignore-preflight-errors=ImagePull $2" >"$work/init.log"; }

token() { # token NODE: what to join with
    on "$1" 'KUBECONFIG=/etc/kubernetes/admin.conf kubeadm token create --ttl 30m --print-join-command' |
        { read -r _ _ _ _ token _ hash && echo "$token $hash"; }
}

serves() { # serves NODE PORT: until the API server of a control plane that joined answers, for kubeadm join does not wait for it
    on "$1" "until kubectl --kubeconfig /etc/kubernetes/admin.conf --server https://${address[$1]}:$2 get --raw /readyz >/dev/null 2>&1
        do sleep 0.5; done"
    say "$1 serves"
}

await() { # await NODE NODE...: asked of the first one, until all are ready
    on "$1" "kubectl --kubeconfig /etc/kubernetes/admin.conf wait --for=condition=Ready --timeout=300s ${*/#/node/} >/dev/null"
    say "$# nodes are ready"
}
