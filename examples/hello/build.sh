#!/bin/sh
# Writes the file system of the hello image as a tar archive to standard output: busybox and one script, no registry.
#   examples/hello/build.sh | swarmctl image import --change 'CMD ["/serve"]' - hello:1
set -eu
here=$(dirname "$0")
busybox=$(command -v busybox) || { echo "build.sh: busybox is missing: apt-get install busybox-static" >&2; exit 1; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin" "$root/etc" "$root/tmp" "$root/www"
chmod 1777 "$root/tmp"
cp "$busybox" "$root/bin/busybox"
for name in $("$busybox" --list); do
    [ "$name" = busybox ] || ln -s busybox "$root/bin/$name"
done
cp "$here/serve" "$root/serve"
echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
tar -C "$root" --sort=name --owner=0 --group=0 --numeric-owner --mtime='2026-01-01 00:00Z' -cf - .
