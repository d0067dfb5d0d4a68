# What the packages in $names need on a host that has nothing, from this host's own sources. Nothing on the host is
# changed: apt works in a folder of its own, with an empty list of what is installed.
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" && : >"$dir/status" || exit 1
apt() {
    apt-get -qq -o Dir::State::Lists="$dir/lists" -o Dir::State::status="$dir/status" -o Dir::Cache="$dir/cache" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=2 "$@"
}
apt -o APT::Update::Error-Mode=any update </dev/null || exit 1
for name in $names; do
    echo "#needs $name"
    apt -o Acquire::ForceHash=SHA256 --print-uris --no-install-recommends install "$name" </dev/null || exit 1
done
