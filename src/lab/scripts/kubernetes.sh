#!/bin/sh
# Runs as root inside the build chroot, in a mount namespace of its own (mounts end with it).
# Builds Kubernetes from Debian's source package and leaves the binaries in /out.
# Arguments: the source version wanted in the archive, and the version that the binaries report.
set -eu
source_version=$1
version=$2

mount -t proc proc /proc
mount -t tmpfs tmpfs /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/zero c 1 5
mknod -m 666 /dev/random c 1 8
mknod -m 666 /dev/urandom c 1 9
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr

export HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
mkdir -p /build /out
cd /build
echo "fetching source package kubernetes $source_version"
apt-get -q -o APT::Sandbox::User=root -o Acquire::Languages=none update
apt-get -q -o APT::Sandbox::User=root source --download-only "kubernetes=$source_version"
dpkg-source --no-check -x kubernetes_*.dsc source
rm -f kubernetes_*
cd source

# The vendored reflect2 reads runtime internals that Go 1.18 moved and panics; Debian's package of it is newer.
rm vendor/github.com/modern-go/reflect2/*.go vendor/github.com/modern-go/reflect2/*.s
cp /usr/share/gocode/src/github.com/modern-go/reflect2/*.go \
   /usr/share/gocode/src/github.com/modern-go/reflect2/*.s \
   vendor/github.com/modern-go/reflect2/

major=${version%%.*}
minor=${version#*.}
minor=${minor%%.*}
cat >/build/version <<EOF
KUBE_GIT_COMMIT='debian-$source_version'
KUBE_GIT_TREE_STATE='archive'
KUBE_GIT_VERSION='v$version'
KUBE_GIT_MAJOR='$major'
KUBE_GIT_MINOR='$minor'
EOF

# The same source gives the same bytes, so that artifacts made twice are not installed twice.
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -STimestamp)
export SOURCE_DATE_EPOCH

echo "building Kubernetes $version"
CGO_ENABLED=0 GOLDFLAGS='-s -w' KUBE_GIT_VERSION_FILE=/build/version KUBE_VERBOSE=1 \
    make WHAT='cmd/kubeadm cmd/kubelet cmd/kube-apiserver cmd/kube-controller-manager cmd/kube-scheduler cmd/kube-proxy cmd/kubectl'
for binary in kubeadm kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubectl; do
    install -m 0755 "_output/local/go/bin/$binary" /out/
done

echo "building pause"
gcc -Os -Wall -Wextra -Werror -static -s -o /out/pause /build/pause.c

echo "collecting etcd"
sh /build/collect.sh /out/etcd /usr/bin/etcd /usr/bin/etcdctl
chroot /out/etcd /usr/bin/etcd --version
chroot /out/etcd /usr/bin/etcdctl version
