{# metadata PATH: what EC2 says of this instance (IMDSv2). It fails where there is no such thing. By bash, for curl need not be
   there: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html #}
metadata() {
	timeout 10 bash -c '
		to=${2#http://} && to=${to%%/*}
		case $to in *:*) ;; *) to=$to:80 ;; esac
		ask() {
			exec 3<> "/dev/tcp/${to%:*}/${to##*:}" || exit
			printf "%s HTTP/1.0\r\nHost: %s\r\n%s\r\n\r\n" "$1" "${to%:80}" "$2" >&3
			IFS= read -r status <&3
			while IFS= read -r line <&3; do case $line in ??*) ;; *) break ;; esac; done
			case $status in *" 200"*) cat <&3 ;; *) exit 1 ;; esac
		}
		token=$(ask "PUT /latest/api/token" "X-aws-ec2-metadata-token-ttl-seconds: 60") &&
			ask "GET /latest/meta-data/$1" "X-aws-ec2-metadata-token: $token"
	' metadata "$1" "${HOIST_IMDS:-http://169.254.169.254}" 2>/dev/null
}
