#!/usr/bin/env bash
# redis_exporter, as Prometheus' users run it, reads INFO, CONFIG, CLIENT LIST, SLOWLOG, LATENCY and some keys of ours.
# Started by compat/run, which sets the COMPAT_* variables. Not here: pantry's own /metrics.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
source ./checks.sh
scratch=$(mktemp -d)
exporter=''
trap '[[ $exporter ]] && kill "$exporter" 2>/dev/null; rm -rf "$scratch"' EXIT

# Starts it with these flags and waits until it shows what it has read.
scrape() { # FLAGS...
    local port _
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    [[ $exporter ]] && kill "$exporter" 2>/dev/null
    prometheus-redis-exporter --web.listen-address "127.0.0.1:$port" "$@" >"$scratch/log" 2>&1 &
    exporter=$!
    for _ in {1..50}; do
        curl -sf --max-time 15 "http://127.0.0.1:$port/metrics" >"$scratch/metrics" && return
        sleep 0.1
    done
}

metric() { grep -vF '#' "$scratch/metrics" | grep -F "$1 " | awk '{ print $NF }'; }

cli FLUSHALL >/dev/null
cli SET hot 12345 EX 1000 >/dev/null
cli HSET ns a 1 b 2 >/dev/null
cli GET hot >/dev/null
scrape --redis.addr "redis://127.0.0.1:$COMPAT_PORT" --check-keys 'hot,ns' --export-client-list --include-config-metrics
like 'its version' 'Redis Metrics Exporter' "$(cat "$scratch/log")"
same 'the server is up, and all could be read' $'1\n0' "$(metric redis_up; metric redis_exporter_last_scrape_error{err=\"\"})"
same 'keys, and how many run out' $'2\n1' "$(metric 'redis_db_keys{db="db0"}'; metric 'redis_db_keys_expiring{db="db0"}')"
same 'a value, and the sizes of a string and a hash' $'12345\n5\n2' \
    "$(metric 'redis_key_value{db="db0",key="hot"}'; metric 'redis_key_size{db="db0",key="hot"}'; metric 'redis_key_size{db="db0",key="ns"}')"
like 'commands are counted' '^[1-9][0-9]*$' "$(metric 'redis_commands_total{cmd="hset"}')"
like 'memory, clients, uptime' $'^[1-9][0-9.e+]*\n[1-9][0-9]*\n[0-9]+$' \
    "$(metric redis_memory_used_bytes; metric redis_connected_clients; metric redis_uptime_in_seconds)"
like 'role and version' 'redis_instance_info[{][^}]*redis_version="8.0.0",role="master"' "$(cat "$scratch/metrics")"
like 'every connection' 'redis_connected_clients_details[{][^}]*name="redis_exporter"' "$(cat "$scratch/metrics")"
like 'the configuration' 'redis_config_(key_value|value)[{][^}]*key="maxmemory"' "$(cat "$scratch/metrics")"
scrape --redis.addr "redis://127.0.0.1:$COMPAT_AUTH_PORT" --redis.password "$COMPAT_PASSWORD"
same 'with a password' 1 "$(metric redis_up)"
scrape --redis.addr "redis://127.0.0.1:$COMPAT_AUTH_PORT" --redis.password wrong
same 'with a wrong one' 0 "$(metric redis_up)"
closing redis-exporter
