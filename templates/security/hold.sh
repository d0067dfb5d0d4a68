# hold FILE…: none of these certificates has expired; one that is not there has not. Without openssl nobody could tell.
hold() {
	command -v openssl || return 0
	for certificate in "$@"; do
		[ ! -e "$certificate" ] || openssl x509 -noout -checkend 0 -in "$certificate" || return
	done
}
