#!/bin/sh
# Runs in a node at boot, before anything that manages containers: gives the node what a machine with a kernel
# of its own has by itself. Nothing here changes the machine below.
set -eu

# cgroup v1: the controllers arrive read-only; on cgroup v2 the node's own tree is writable already.
if [ -d /sys/fs/cgroup/memory ]; then
    mount -o remount,rw /sys/fs/cgroup
    for controller in cpu cpuacct cpuset memory devices freezer blkio pids hugetlb perf_event net_cls net_prio; do
        if mountpoint -q "/sys/fs/cgroup/$controller"; then
            mount -o remount,bind,rw "/sys/fs/cgroup/$controller"
        fi
    done
fi

# Kernel settings that are one for the whole machine are read-only in a node. These are the ones that container
# software sets; a private file over each lets it read and write a value of the node's own.
mkdir -p /run/lab/sysctl
for key in vm/overcommit_memory vm/panic_on_oom vm/swappiness vm/max_map_count \
    kernel/panic kernel/panic_on_oops kernel/pid_max kernel/keys/root_maxkeys kernel/keys/root_maxbytes \
    fs/file-max fs/nr_open fs/inotify/max_user_instances fs/inotify/max_user_watches fs/may_detach_mounts; do
    [ -e "/proc/sys/$key" ] || continue
    file=/run/lab/sysctl/$(echo "$key" | tr / .)
    cat "/proc/sys/$key" >"$file"
    mount --bind "$file" "/proc/sys/$key"
done

# kubelet and containerd propagate mounts.
mount --make-rshared /
