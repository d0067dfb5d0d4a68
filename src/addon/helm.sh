# Runs $helm with the words in "$@" and, on its standard input, the line that comes first. Answers with one line: its status
# and the end of what it said, in base64. When the lines end before it does, helm is told to stop.
export HOME="$folder" KUBECONFIG=/etc/kubernetes/admin.conf
cd "$folder" && said=$(mktemp "$folder/said.XXXXXX") || exit 1
IFS= read -r input
exec 3<&0
printf %s "$input" | "$helm" "$@" >/dev/null 2>"$said" &
child=$!
{ cat <&3 >/dev/null; kill "$child"; } >/dev/null 2>&1 &
guard=$!
wait "$child"
status=$?
kill "$guard" 2>/dev/null
answer="$status $(tail -c 2500 "$said" | base64 | tr -d '\n')"
rm -f "$said"
echo "$answer"
