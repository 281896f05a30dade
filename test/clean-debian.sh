#!/bin/bash
# Shows that a fresh clone passes in a clean Debian 12: bootstraps one (minbase) from the package
# sources of this machine into a scratch directory, clones this repository into it, and runs there
# what follows -- (./run test unless told). Needs root, debootstrap, git, and about 4 GB.
# Mounts and processes live in namespaces of their own and go with them, however this ends.
# usage: test/clean-debian.sh [--keep DIR] [-- COMMAND...]
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
release=bookworm
root='' keep=no

say() { printf '[%2d:%02d] clean: %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*" >&2; }
die() { printf 'clean-debian: %s\n' "$*" >&2; exit 2; }

# Debian's own archives as this machine's apt knows them: address and suite
sources()
{
	# shellcheck disable=SC2016 # apt's own variables
	apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|$(REPO_URI)' 'Created-By: Packages' |
		awk -F'|' -v r="$release" '$1 == "Debian" && index($2, r) == 1 {print $3, $2}' | sort -u
}

bootstrap()
{
	local mirror
	mirror=$(sources | awk -v r="$release" '$2 == r {print $1; exit}')
	[ -n "$mirror" ] || die "apt on this machine knows no archive of Debian $release"
	say "bootstrapping $release"
	debootstrap --variant=minbase "$release" "$root/debian" "$mirror" >"$root/bootstrap.log" 2>&1 || {
		tail -n 5 "$root/bootstrap.log" >&2
		die "debootstrap failed"
	}
	sources | sed -E 's/(.*) (.*)/deb \1 \2 main/' >"$root/debian/etc/apt/sources.list"
	apt-config dump | grep -E '^Acquire::(https?|Check-)' \
		>"$root/debian/etc/apt/apt.conf.d/90machine" || true
	cp --dereference /etc/resolv.conf /etc/hosts "$root/debian/etc/" 2>/dev/null || true
}

# In the namespaces: mounts, then the command in the root, as process 1's child, with no terminal
inside()
{
	local debian=$1
	shift
	mount --make-rprivate /
	# ip netns wants a root that is a mount
	mount --bind "$debian" "$debian"
	mount -t proc proc "$debian/proc"
	mount --rbind /sys "$debian/sys"
	mount --rbind /dev "$debian/dev"
	mount -t tmpfs tmpfs "$debian/run"
	env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb CI=true \
		chroot "$debian" /bin/sh -c 'cd /root/perron && exec "$@"' sh "$@" </dev/null
}

remove()
{
	[ "$keep" = no ] || { say "kept in $root"; return 0; }
	[ -z "$root" ] || rm -rf --one-file-system "$root"
}

main()
{
	local rc=0
	while [ $# -gt 0 ]; do
		case $1 in
		--keep) keep=yes; root=${2-}; shift 2 || die "--keep wants a directory" ;;
		--) shift; break ;;
		*) die "unknown option '$1'; usage: test/clean-debian.sh [--keep DIR] [-- COMMAND...]" ;;
		esac
	done
	[ $# -gt 0 ] || set -- ./run test
	[ "$(id -u)" -eq 0 ] || die "needs root"
	command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
	[ "$keep" = yes ] || root=$(mktemp -d /var/tmp/clean-debian.XXXXXX)
	mkdir -p "$root"
	trap remove EXIT
	[ -e "$root/debian/etc/debian_version" ] || bootstrap
	rm -rf "$root/debian/root/perron"
	git clone -q "$top" "$root/debian/root/perron"
	say "$(git -C "$top" log -1 --format='%h %s')"
	say "starting there: $*"
	unshare --mount --pid --fork --kill-child "$0" --inside "$root/debian" "$@" || rc=$?
	say "ended with $rc"
	return "$rc"
}

if [ "${1-}" = --inside ]; then
	shift
	inside "$@"
else
	main "$@"
fi
