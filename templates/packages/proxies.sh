# The proxies of the host's environment, which what asks the cluster must not see.
while IFS= read -r proxy; do [ -z "$proxy" ] || export "$proxy"; done <<END
$HOIST_PROXIES
END
