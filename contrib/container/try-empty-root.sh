#!/bin/sh
# Build as the Containerfile does and run the program, as another user, in a
# root folder that holds nothing but it, its file, its data folder, /proc and
# /dev/null, which every container has. Needs root, unshare, chroot and Go, and
# no container engine.
set -eu
cd "$(dirname "$0")/../.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$dir/spare" ./cmd/spare
mkdir -p "$dir/etc/spare" "$dir/var/lib/spare" "$dir/proc" "$dir/dev"
: >"$dir/dev/null"
"$dir/spare" init --service shop --primary self:here=http://127.0.0.1:9 --listen 127.0.0.1:18080 --data /var/lib/spare -o "$dir/etc/spare/spare.yaml"
sed -i 's/127.0.0.1:7700/127.0.0.1:17700/' "$dir/etc/spare/spare.yaml"
chown -R 65532:65532 "$dir/var/lib/spare"
chmod 755 "$dir"
# The first process of the new process table is the shell: when it ends, all end.
unshare --mount --pid --fork --kill-child sh -eu -c '
	dir=$1
	mount -t proc proc "$dir/proc"
	mount --bind /dev/null "$dir/dev/null"
	root="chroot --userspec=65532:65532 $dir"
	$root /spare check /etc/spare/spare.yaml
	$root /spare run -c /etc/spare/spare.yaml >"$dir/log" 2>&1 &
	for i in $(seq 50); do
		if $root /spare status >"$dir/status" 2>"$dir/why"; then break; fi
		sleep 0.1
	done
	if [ ! -s "$dir/status" ] || ! kill $! || ! wait $!; then
		cat "$dir/why" "$dir/log"
		exit 1
	fi
	cat "$dir/status"
' sh "$dir"
echo "it runs in an empty root"
