# What the packages in $names need on a host that has nothing, from this host's own repositories. Nothing on the host
# is changed: dnf keeps what it learns in a folder of its own.
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
for name in $names; do
    echo "#needs $name"
    dnf -q --setopt=cachedir="$dir" --setopt=install_weak_deps=False download --resolve --alldeps --url "$name" </dev/null || exit 1
done
