#!/usr/bin/env bash
# The Rust client crate, `redis`: its checks are the integration test tests/client_redis_rs, which starts its own
# pantry. This turns what cargo prints into the lines that compat/run counts.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
source compat/shell/checks.sh
printf 'redis-rs %s\n' "$(cargo pkgid redis | sed 's/.*[@#]//')"

out=$(cargo test --quiet --test client_redis_rs -- --format pretty 2>&1)
while read -r line; do
    case $line in
        test\ *\ ...\ ok) text=${line#test }; ok "${text% ... ok}" ;;
        test\ *\ ...\ FAILED) text=${line#test }; bad "${text% ... FAILED}" 'to pass' "$out" ;;
        test\ *\ ...\ ignored*) text=${line#test }; skip "${text%% ... ignored*}" ;;
    esac
done <<<"$out"
((passed + failed)) || bad 'cargo test runs' 'test results' "$out"
closing redis-rs
