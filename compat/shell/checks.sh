# shellcheck shell=bash
# Checks for the clients that are shell commands: one printed line per check, counted, and a closing line.
# Sourced by the scripts beside it; does nothing by itself.
#
# Ports, password and what a peer lacks come from compat/run in COMPAT_* variables.

passed=0 failed=0 skipped=0
COMMAND_TIMEOUT_S=20

# redis-cli against the server without a password; no command may run for longer than the timeout.
cli() { timeout -k 2 "$COMMAND_TIMEOUT_S" redis-cli -h 127.0.0.1 -p "$COMPAT_PORT" "$@" 2>&1; }

# The same against the server that wants a password.
cli_auth() { timeout -k 2 "$COMMAND_TIMEOUT_S" redis-cli -h 127.0.0.1 -p "$COMPAT_AUTH_PORT" "$@" 2>&1; }

ok() { passed=$((passed + 1)); printf 'ok    %s\n' "$1"; }

bad() { # TEXT EXPECTED ACTUAL
    failed=$((failed + 1))
    printf 'FAIL  %s\n      expected: %q\n      got:      %q\n' "$1" "$2" "${3:0:600}"
}

skip() { skipped=$((skipped + 1)); printf 'skip  %s\n' "$1"; }

same() { if [[ $3 == "$2" ]]; then ok "$1"; else bad "$@"; fi; } # TEXT EXPECTED ACTUAL

like() { if [[ $3 =~ $2 ]]; then ok "$1"; else bad "$@"; fi; } # TEXT REGULAR_EXPRESSION ACTUAL

between() { # TEXT LOWEST HIGHEST ACTUAL
    if [[ $4 =~ ^-?[0-9]+$ ]] && (($4 >= $2 && $4 <= $3)); then ok "$1"; else bad "$1" "$2..$3" "$4"; fi
}

same_bytes() { if cmp -s "$2" "$3"; then ok "$1"; else bad "$1" "the bytes of $2" "other bytes in $3"; fi; } # TEXT FILE FILE

# True when the server is a peer that cannot do it. pantry lacks nothing that is checked here.
lacks() { [[ " ${COMPAT_LACKS-} " == *" $1 "* ]]; }

closing() { # NAME
    printf '%s: %d passed, %d failed, %d skipped\n' "$1" "$passed" "$failed" "$skipped"
    ((failed == 0))
}
