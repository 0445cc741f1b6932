#!/bin/sh
# Prints the folder of Debian's kernel and its modules, unpacked and not installed: nothing of this machine changes.
set -e
cache=${XDG_CACHE_HOME:-$HOME/.cache}/remaster-tests
mkdir -p "$cache"
exec 9>"$cache/kernel.lock"
flock 9 # two steps may ask at once
if [ ! -e "$cache/kernel" ]; then
    cd "$cache"
    rm -rf linux-image-*.deb kernel.new
    apt-get download "$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')" >/dev/null 2>&1
    dpkg -x linux-image-*.deb kernel.new
    mv kernel.new kernel
fi
echo "$cache/kernel"
