#!/bin/bash
# The program that docs/clients.md shows compiles against the public header and links the library.
# Usage: clients_test.sh SOURCE_ROOT LIBRARY
set -eu
top=$1 library=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# shellcheck disable=SC2016 # these are backquotes of the page
sed -n '/^```c$/,/^```$/{/^```/d;p}' "$top/docs/clients.md" >"$dir/follow.c"
[ -s "$dir/follow.c" ] || { echo "docs/clients.md shows no program"; exit 1; }
"${CC:-cc}" -std=c17 -Wall -Wextra -Werror -I "$top/apps/libperron" "$dir/follow.c" "$library" \
	-Wl,-rpath,"$(dirname "$library")" -o "$dir/follow"
if "$dir/follow" nowhere gps >"$dir/out" 2>&1; then
	echo "it follows a sensor of nowhere"
	exit 1
fi
grep -q nowhere "$dir/out" || { cat "$dir/out"; exit 1; }
