#!/bin/bash
# Checks of ./run and of what stands beside it. usage: checks.sh NAME
# Exit status 77: what the check needs is not installed.
# shellcheck disable=SC2031 # a subshell that sources ./run keeps its variables to itself
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
commands=(demo test sim bench appliance build clean doctor)

wrong() { echo "$*" >&2; exit 1; }

# files of the project, with git or without
project_files()
{
	git -C "$top" ls-files 2>/dev/null ||
		(cd "$top" && find . \( -path './build*' -o -path ./.git \) -prune -o -type f -printf '%P\n')
}

check_shellcheck()
{
	local path scripts=()
	command -v shellcheck >/dev/null || exit 77
	while IFS= read -r path; do
		[ -f "$top/$path" ] || continue
		if head -c 40 "$top/$path" | head -n 1 | grep -qE '^#!.*\b(ba)?sh\b'; then
			scripts+=("$top/$path")
		fi
	done < <(project_files)
	printf '%s\n' "${scripts[@]}" | grep -qx "$top/run" || wrong "run is not among the scripts"
	shellcheck --exclude=SC1091 "${scripts[@]}"
}

check_help()
{
	local command text
	text=$("$top/run" --help)
	for command in "${commands[@]}"; do
		grep -qE "^  $command +[a-zA-Z]" <<<"$text" || wrong "--help does not list $command"
		"$top/run" "$command" --help | head -n 1 | grep -qE "^usage: ./run $command( |\$)" ||
			wrong "$command --help does not say its usage"
	done
}

# refused ARGUMENT...: status 2 and one line
refused()
{
	local text rc=0
	text=$("$top/run" "$@" 2>&1 >/dev/null) || rc=$?
	[ "$rc" -eq 2 ] || wrong "./run $*: status $rc"
	[ "$(wc -l <<<"$text")" -eq 1 ] || wrong "./run $*: said more than one line: $text"
	[ -n "$text" ] || wrong "./run $*: said nothing"
}

check_bad_input()
{
	local rc=0
	refused nosuch
	refused test --nosuch
	refused test --only nosuch
	refused test --only
	refused test --fuzz-seconds 0
	refused build nosuch
	[ -d "$top/test/boot" ] || refused appliance
	"$top/run" >/dev/null 2>&1 || rc=$?
	[ "$rc" -eq 2 ] || wrong "./run without a command: status $rc"
}

# The sums that ./run test ends with, from a log with every kind of result.
check_counting()
{
	local log text rc=0
	log=$(mktemp)
	# shellcheck disable=SC2064 # this file, now
	trap "rm -f '$log'" EXIT
	printf '{"name": "%s", "result": "%s"}\n' a OK b EXPECTEDFAIL c SKIP d FAIL e TIMEOUT \
		f ERROR g UNEXPECTEDPASS h NEVERHEARD >"$log"
	text=$(. "$top/run" && count_log stage "$log" && summary) || rc=$?
	[ "$rc" -ne 0 ] || wrong "a failed test and status 0"
	[ "$(tail -n 1 <<<"$text")" = "2 passed, 5 failed, 1 skipped" ] || wrong "summed up: $text"
	grep -qx 'failed: stage: e (TIMEOUT)' <<<"$text" || wrong "a failure is not named: $text"
	head -n 1 "$log" >"$log.ok"
	text=$(. "$top/run" && count_log stage "$log.ok" && summary) || wrong "only passes and $?"
	rm -f "$log.ok"
	[ "$text" = "1 passed, 0 failed, 0 skipped" ] || wrong "summed up: $text"
	if (. "$top/run" && summary) >/dev/null; then wrong "nothing was run and status 0"; fi
}

# Each package that ./run installs has a row in the page on dependencies, and no row has none.
check_packages()
{
	local installed told
	installed=$(. "$top/run" && packages_for build demo test bench | LC_ALL=C sort)
	# shellcheck disable=SC2016 # these are backquotes of the page
	told=$(sed -nE 's/^\| `([a-z0-9.+-]+)` \|.*/\1/p' "$top/docs/dependencies.md" | LC_ALL=C sort)
	diff <(echo "$installed") <(echo "$told") || wrong "run (<) and docs/dependencies.md (>) differ"
}

check_manual()
{
	local pages
	mapfile -t pages < <(project_files | grep -E '\.[1-9]$' || true)
	[ ${#pages[@]} -gt 0 ] || exit 77
	command -v mandoc >/dev/null || exit 77
	cd "$top" && mandoc -T lint -W warning "${pages[@]}"
}

case ${1-} in
shellcheck | help | counting | packages | manual) "check_$1" ;;
bad-input) check_bad_input ;;
*) wrong "usage: checks.sh shellcheck|help|bad-input|counting|packages|manual" ;;
esac
