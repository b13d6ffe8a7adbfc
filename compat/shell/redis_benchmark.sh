#!/usr/bin/env bash
# redis-benchmark must run through against us, in both protocols and with a password. It measures nothing here.
# Started by compat/run, which sets the COMPAT_* variables.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
source ./checks.sh
redis-benchmark --version

TESTS=(PING_INLINE PING_MBULK SET GET INCR HSET MSET)

benchmark() { # TEXT FLAGS...
    local text=$1 out status missing=()
    shift
    out=$(timeout -k 2 60 redis-benchmark -h 127.0.0.1 -t set,get,incr,hset,ping,mset -n 2000 -q "$@" 2>&1)
    status=$?
    for name in "${TESTS[@]}"; do
        [[ $out =~ $name( \(10 keys\))?:\ [0-9.]+\ requests\ per\ second ]] || missing+=("$name")
    done
    if ((status == 0 && ${#missing[@]} == 0)) && ! grep -qiE 'error|warn|ERR ' <<<"$out"; then
        ok "$text"
    else
        bad "$text" 'exit status 0, every test, no error' "status $status, without: ${missing[*]-} -- $out"
    fi
}

benchmark 'pipelines of 16' -p "$COMPAT_PORT" -P 16
benchmark 'one command at a time' -p "$COMPAT_PORT" -P 1
benchmark 'RESP3' -p "$COMPAT_PORT" -P 16 -3
benchmark 'random keys, values of 10 kB, two threads' -p "$COMPAT_PORT" -P 4 -r 1000 -d 10000 --threads 2
benchmark 'a password and another database' -p "$COMPAT_AUTH_PORT" -P 16 -a "$COMPAT_PASSWORD" --dbnum 4
same 'every INCR was counted' 2000 "$(cli DEL counter:__rand_int__ >/dev/null
    timeout 60 redis-benchmark -h 127.0.0.1 -p "$COMPAT_PORT" -t incr -n 2000 -P 16 -c 20 -q >/dev/null 2>&1
    cli GET counter:__rand_int__)"

# Every test that redis-benchmark has, each by itself: it stops at the first error. What is of other types is refused
# politely, and the others run.
OTHER_TYPES=(lpush rpush lpop rpop sadd spop zadd zpopmin lrange)
for name in ping_inline ping_mbulk set get incr hset mset "${OTHER_TYPES[@]}"; do
    out=$(timeout -k 2 60 redis-benchmark -h 127.0.0.1 -p "$COMPAT_PORT" -t "$name" -n 500 -q 2>&1 | tr '\r' '\n')
    if [[ " ${OTHER_TYPES[*]} " == *" $name "* ]]; then
        like "$name is refused politely" "Error from server: ERR unknown command '[A-Z]+'" "$out"
    else
        like "$name runs" 'requests per second' "$out"
    fi
done
out=$(timeout -k 2 60 redis-benchmark -h 127.0.0.1 -p "$COMPAT_PORT" -n 500 -q 2>&1 | tr '\r' '\n')
like 'its default run comes to the first test of another type' "Error from server: ERR unknown command 'LPUSH'" "$out"
like 'having run those before' $'\nINCR: [0-9.]+ requests per second' "$out"
same 'and the server goes on' PONG "$(cli PING)"
closing redis-benchmark
