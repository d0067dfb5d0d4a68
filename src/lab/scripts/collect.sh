#!/bin/sh
# Runs inside a root file system: copies files, and the libraries they load, into a new root for an image.
# Arguments: the new root, then the files.
set -eu
out=$1
shift
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
    if ! libraries=$(ldd "$file" 2>&1); then
        # A static program has no libraries, which ldd calls a failure.
        case $libraries in
        *'not a dynamic executable'*) continue ;;
        esac
        echo "ldd $file: $libraries" >&2
        exit 1
    fi
    case $libraries in
    *'not found'*)
        echo "ldd $file: $libraries" >&2
        exit 1
        ;;
    esac
    # The kernel's own library has no path; of all others the path is all that is wanted.
    for word in $libraries; do
        case $word in
        /*) take "$word" ;;
        esac
    done
done
