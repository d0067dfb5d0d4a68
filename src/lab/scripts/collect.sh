#!/bin/sh
# Runs inside a root file system: copies files, and the libraries they load, into a new root for an image.
# Arguments: the new root, then the files.
set -eu
out=$1
shift
# ldd and this script write to it, and a root that was only unpacked has none.
[ -e /dev/null ] || { mkdir -p /dev && : >/dev/null; }
for folder in bin sbin lib lib64; do
    mkdir -p "$out/usr/$folder"
    ln -sfn "usr/$folder" "$out/$folder"
done

# The real file, and the link that leads to it where the name is one.
take() {
    folder=$(readlink -f "$(dirname "$1")")
    link=$folder/$(basename "$1")
    real=$(readlink -f "$1")
    mkdir -p "$out$folder" "$out$(dirname "$real")"
    [ -e "$out$real" ] || cp --preserve=mode "$real" "$out$real"
    [ "$link" = "$real" ] || ln -sf "$real" "$out$link"
}

for file in "$@"; do
    take "$file"
    # A static program has no libraries, which ldd calls a failure.
    for library in $(ldd "$file" 2>/dev/null | grep -o '/[^ ]*' || true); do
        take "$library"
    done
done
