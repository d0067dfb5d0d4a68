# The files about registries that hoist wrote and that the inventory does not ask for any more.
stale() {
	for file in /etc/containerd/certs.d/*/hosts.toml; do
		case $file in
{% for registry in cluster.registries %}
		{{ registry.folder }}/hosts.toml) ;;
{% endfor %}
		*) grep -qs '^# Written by hoist;' "$file" && printf '%s\n' "$file" ;;
		esac
	done
	:
}
