#!/usr/bin/env bash
# redis-cli as people use it: single commands, scripts on standard input, RESP3, its scanning and bulk modes.
# Started by compat/run, which sets the COMPAT_* variables; not the place for exact replies of single commands.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
source ./checks.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
redis-cli --version

check_hashes_and_strings() {
    cli FLUSHALL >/dev/null
    same 'HSET answers the number of new fields' 2 "$(cli HSET 'Sales ETL' 'last run' 2026-11-22 rows 17)"
    same 'HGETALL' $'last run|2026-11-22\nrows|17' "$(cli HGETALL 'Sales ETL' | paste - - -d '|' | sort)"
    same 'HMGET with a missing field' $'17\n\n2026-11-22' "$(cli HMGET 'Sales ETL' rows nope 'last run')"
    same 'HINCRBY, HINCRBYFLOAT' $'20\n20.5' "$(cli HINCRBY 'Sales ETL' rows 3; cli HINCRBYFLOAT 'Sales ETL' rows 0.5)"
    same 'HDEL of the last field removes the hash' $'2\n0' "$(cli HDEL 'Sales ETL' rows 'last run'; cli EXISTS 'Sales ETL')"
    same 'SET with EX, NX and GET' $'OK\n\nv1' "$(cli SET s v1 EX 100 NX; cli SET s v2 NX; cli SET s v3 XX GET KEEPTTL)"
    between 'KEEPTTL kept the time to live' 90 100 "$(cli TTL s)"
    same 'SET without options clears it' $'OK\n-1' "$(cli SET s v; cli TTL s)"
    same 'an integer, printed for a terminal' '(integer) 42' "$(cli --no-raw INCRBY n 42)"
    same 'a missing value, printed for a terminal' '(nil)' "$(cli --no-raw GET nope)"
    same 'WRONGTYPE' 'WRONGTYPE Operation against a key holding the wrong kind of value' "$(cli HGET s f | head -1)"
    like 'an unknown command' "^ERR unknown command 'NOSUCH', with args beginning with: 's' 'x'" "$(cli NOSUCH s x)"
    same 'a wrong number of arguments' "ERR wrong number of arguments for 'hget' command" "$(cli HGET s | head -1)"
}

check_field_ttl() {
    if lacks redis-8; then skip 'field TTLs (the peer has none)'; return; fi
    cli FLUSHALL >/dev/null
    same 'HSETEX with PX' 1 "$(cli HSETEX ns PX 60000 FIELDS 2 a 1 b 2)"
    between 'HPTTL' 50000 60000 "$(cli HPTTL ns FIELDS 1 a)"
    same 'HEXPIRE answers one code per field' $'1\n-2' "$(cli HEXPIRE ns 100 FIELDS 2 a nope)"
    between 'HTTL' 95 100 "$(cli HTTL ns FIELDS 1 a)"
    same 'HEXPIRE with a condition that does not hold' 0 "$(cli HEXPIRE ns 50 GT FIELDS 1 a)"
    same 'HPERSIST, then HTTL' $'1\n-1' "$(cli HPERSIST ns FIELDS 1 a; cli HTTL ns FIELDS 1 a)"
    same 'HGETEX reads and sets' 1 "$(cli HGETEX ns EX 70 FIELDS 1 a)"
    between 'the TTL that HGETEX set' 65 70 "$(cli HTTL ns FIELDS 1 a)"
    same 'HGETDEL reads and deletes' $'1\n0' "$(cli HGETDEL ns FIELDS 1 a; cli HEXISTS ns a)"
    same 'HPEXPIRE' 1 "$(cli HPEXPIRE ns 30 FIELDS 1 b)"
    sleep 0.3
    same 'the field ran out, and the hash with it' $'\n0' "$(cli HGET ns b; sleep 0.2; cli EXISTS ns)"
}

check_hints() {
    local hint=(timeout -k 2 "$COMMAND_TIMEOUT_S" python3 ./hint.py "$COMPAT_PORT")
    same 'a hint while typing' 'HGET key field' "$("${hint[@]}" 'HGET ')"
    same 'what was typed is no part of it' 'HGET ns field' "$("${hint[@]}" 'HGET ns ')"
    like 'choices and repetitions' '^SET key value \[NX ?\| ?XX\]' "$("${hint[@]}" 'SET ')"
    same 'a subcommand' 'CONFIG GET parameter [parameter ...]' "$("${hint[@]}" 'CONFIG GET ')"
    if ! lacks redis-8; then
        like 'a command of Redis 8' '^HSETEX key .*FIELDS numfields field value \[field value \.\.\.\]' "$("${hint[@]}" 'HSETEX ')"
    fi
}

check_generic() {
    cli FLUSHALL >/dev/null
    cli MSET a 1 b 2 >/dev/null
    cli HSET h f v >/dev/null
    same 'TYPE' $'string\nhash\nnone' "$(cli TYPE a; cli TYPE h; cli TYPE nope)"
    like 'EXPIRE, TTL, PERSIST, TTL' $'^1\n(9[0-9]|100)\n1\n-1$' "$(cli EXPIRE h 100; cli TTL h; cli PERSIST h; cli TTL h)"
    same 'RENAME, RENAMENX' $'OK\n0' "$(cli RENAME a c; cli RENAMENX c b)"
    same 'RENAME of nothing' 'ERR no such key' "$(cli RENAME nope x | head -1)"
    same 'COPY, COPY again, COPY REPLACE' $'1\n0\n1' "$(cli COPY h h2; cli COPY h h2; cli COPY h h2 REPLACE)"
    same 'MOVE to database 3, seen there with -n' $'1\nv' "$(cli MOVE h2 3; cli -n 3 HGET h2 f)"
    same 'DBSIZE, with and without -n' $'3\n1' "$(cli DBSIZE; cli -n 3 DBSIZE)"
    same 'a database out of range' 'ERR DB index is out of range' "$(cli SELECT 16 | head -1)"
    like 'OBJECT ENCODING' '^(int|embstr|raw)$' "$(cli OBJECT ENCODING b)"
    like 'OBJECT ENCODING of a hash' '^(listpack|listpackex|hashtable)$' "$(cli OBJECT ENCODING h)"
    like 'OBJECT HELP' '^OBJECT <subcommand>' "$(cli OBJECT HELP)"
    same 'TOUCH, UNLINK, EXISTS' $'2\n2\n0' "$(cli TOUCH b c; cli UNLINK b c; cli EXISTS b c)"
}

check_piped_input() {
    cli FLUSHALL >/dev/null
    same 'commands on standard input, with quoting' $'OK\nx y\n"q"' \
        "$(printf 'SET k "x y"\nGET k\nECHO "\\"q\\""\n' | cli)"
    same 'MULTI, EXEC' $'OK\nQUEUED\nQUEUED\n1\n2' "$(printf 'MULTI\nINCR n\nHSET h a 1 b 2\nEXEC\n' | cli)"
    same 'DISCARD' $'OK\nQUEUED\nOK\n1' "$(printf 'MULTI\nINCR n\nDISCARD\nGET n\n' | cli)"
    like 'an error while queueing aborts EXEC' 'EXECABORT Transaction discarded because of previous errors' \
        "$(printf 'MULTI\nHSET h\nEXEC\n' | cli)"
    same 'SELECT and -r keep their connection' $'OK\n1\n2\n3' "$(printf 'SELECT 5\nINCR n\nINCR n\nINCR n\n' | cli)"
    same '-r repeats' $'4\n5\n6' "$(cli -n 5 -r 3 INCR n)"
    printf 'blank \000 zero \r\n newline \377' >"$scratch/binary"
    same '-x reads a value from standard input' OK "$(cli -x SET bin <"$scratch/binary")"
    cli GET bin >"$scratch/back"
    { cat "$scratch/binary"; echo; } >"$scratch/binary_line" # redis-cli ends its output with a newline
    same_bytes 'and every byte comes back' "$scratch/binary_line" "$scratch/back"
    same '--quoted-input' 1 "$(cli --quoted-input HSET '"bi\x00n"' '"\xff"' v)"
    same 'binary names are printed with escapes' '1) "bi\x00n"' "$(cli --no-raw KEYS 'bi?n')"
    head -c 8388608 /dev/urandom >"$scratch/big"
    same 'a value of 8 MiB goes in' 1 "$(cli -x HSET big value <"$scratch/big")"
    same 'has its length' 8388608 "$(cli HSTRLEN big value)"
    { cat "$scratch/big"; echo; } >"$scratch/big_line"
    cli HGET big value >"$scratch/back"
    same_bytes 'and comes back' "$scratch/big_line" "$scratch/back"
}

check_modes() {
    cli FLUSHALL >/dev/null
    awk 'BEGIN { for (i = 1; i <= 2000; i++) printf "HSET user:%d name n%d\r\n", i, i }' >"$scratch/commands"
    like '--pipe takes 2000 commands' 'errors: 0, replies: 2000' "$(cli --pipe <"$scratch/commands")"
    same '--scan finds every key once' 2000 "$(cli --scan | sort -u | wc -l)"
    same '--scan with a pattern' 11 "$(cli --scan --pattern 'user:123*' | wc -l)"
    same '--csv' '"n1",NULL,NULL' "$(cli --csv HMGET user:1 name nope nope2 | sed 's/NIL/NULL/g')"
    like '--bigkeys' '2000 hashs with 2000 fields' "$(cli --bigkeys -i 0)"
    like '--memkeys' $'Biggest +hash found .+user:[0-9]+.+ has [0-9]+ bytes.*2000 hashs with [0-9]+ bytes' "$(cli --memkeys -i 0)"
    like '--hotkeys wants a policy that counts uses' 'ERR An LFU maxmemory policy is not selected' "$(cli --hotkeys -i 0)"
    cli CONFIG SET maxmemory-policy allkeys-lfu >/dev/null
    cli -r 300 HGET user:7 name >/dev/null
    like '--hotkeys' $'Sampled 2000 keys.*hot key found with counter: [0-9]+\tkeyname: "user:7"' "$(cli --hotkeys -i 0)"
    cli CONFIG SET maxmemory-policy noeviction >/dev/null
    like '--latency' '^[0-9]+ [0-9]+ [0-9.]+ [0-9]+$' "$(COMMAND_TIMEOUT_S=5 cli --latency)"
    like '--stat shows the keys' $'(^|\n)2000 +[0-9.]+[KMGB]* +[0-9]+ ' "$(timeout 1 stdbuf -oL redis-cli -h 127.0.0.1 -p "$COMPAT_PORT" -i 0.2 --stat)"
    same '-3: a map stays a map' '1# "name" => "n7"' "$(cli -3 --no-raw HGETALL user:7)"
    same '--json' '{"name":"n8"}' "$(cli --json HGETALL user:8)"
    same '-3: null' '(nil)' "$(cli -3 --no-raw GET nope)"
    like 'HELLO 3 answers the protocol' $'(^|\n)proto 3\n' "$(cli -3 HELLO 3)"
    like 'HELLO 4 is refused' '^NOPROTO unsupported protocol version' "$(cli HELLO 4)"
    like 'COMMAND COUNT' '^[0-9]+$' "$(cli COMMAND COUNT)"
    like 'COMMAND DOCS of one command' $'^hset\nsummary\n' "$(cli COMMAND DOCS hset)"
    local listed
    listed=$(cli --json COMMAND | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))' 2>&1)
    same 'COMMAND lists as many as COMMAND COUNT says' "$(cli COMMAND COUNT)" "$listed"
    like 'an error with -e is a failed exit' 'failed' "$(cli -e HGET only-one >/dev/null || echo failed)"
    like 'INFO has sections' $'# Server.*redis_version:.*# Clients.*# Keyspace.*db0:keys=2000' "$(cli INFO)"
}

check_auth() {
    same 'without a password: NOAUTH' 'NOAUTH Authentication required.' "$(cli_auth GET x | head -1)"
    same '-a' PONG "$(cli_auth -a "$COMPAT_PASSWORD" --no-auth-warning PING)"
    same 'REDISCLI_AUTH' PONG "$(REDISCLI_AUTH=$COMPAT_PASSWORD cli_auth PING)"
    same '--user default --pass, RESP3' PONG "$(cli_auth -3 --user default --pass "$COMPAT_PASSWORD" --no-auth-warning PING)"
    like 'a wrong password' 'WRONGPASS invalid username-password pair or user is disabled' "$(cli_auth -a wrong PING)"
    local encoded
    encoded=$(python3 -c 'import sys, urllib.parse; print(urllib.parse.quote(sys.argv[1]))' "$COMPAT_PASSWORD")
    same 'redis:// URL with a password and a database' OK \
        "$(timeout 10 redis-cli -u "redis://default:$encoded@127.0.0.1:$COMPAT_AUTH_PORT/2" --no-auth-warning SET in2 x 2>&1)"
    same 'and it is in that database' x "$(REDISCLI_AUTH=$COMPAT_PASSWORD cli_auth -n 2 GET in2)"
    same 'AUTH on standard input' $'OK\nPONG' "$(printf 'AUTH "%s"\nPING\n' "$COMPAT_PASSWORD" | cli_auth)"
    like 'AUTH where none is set' 'AUTH <password> called without any password configured' "$(cli AUTH x)"
}

check_hashes_and_strings
check_field_ttl
check_hints
check_generic
check_piped_input
check_modes
check_auth
closing redis-cli
