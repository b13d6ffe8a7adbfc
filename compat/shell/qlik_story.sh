#!/usr/bin/env bash
# The main story: the load script of app A stores parameters over HTTP as it did with Butler, app B reads them, and
# redis-cli and a Python program see the same pairs with their TTLs; and the other way round.
#
# The requests are those that Qlik's REST connector sends: GET and POST only, POST bodies announced with
# `Expect: 100-continue`, DELETE by header, TTLs as strings, blanks in names.
# Started by compat/run as `qlik_story.sh PYTHON`. Not here: Butler's every answer (tests/ has those).
set -uo pipefail
cd "$(dirname "$0")" || exit 1
source ./checks.sh
python=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
curl --version | head -1

# One HTTP request; sets status, type and body. Arguments: METHOD PATH [curl arguments]
http() {
    local method=$1 path=$2
    shift 2
    : >"$scratch/body"
    read -r status type < <(timeout -k 2 "$COMMAND_TIMEOUT_S" curl -sS -X "$method" --max-time 15 \
        -o "$scratch/body" -w '%{http_code} %{content_type}\n' "$@" "http://127.0.0.1:$COMPAT_HTTP_PORT$path" 2>&1)
    body=$(cat "$scratch/body")
}

post_pair() { http POST "$1" -H 'Content-Type: application/json; charset=utf-8' -H 'Expect: 100-continue' --data-binary "$2"; }

delete_by_post() { http POST "$1" -H 'X-HTTP-Method-Override: DELETE' -H 'Content-Length: 0'; }

# The answer must have this status and be this JSON value; the order of an object's members does not count.
answered() { # TEXT STATUS JSON
    local verdict
    verdict=$(python3 -c 'import json, sys
print("equal" if json.loads(sys.argv[1]) == json.loads(sys.argv[2]) else "other")' "$3" "$body" 2>/dev/null)
    same "$1" "$2 equal" "$status ${verdict:-not JSON}${body:+$([[ $verdict == equal ]] || printf ': %s' "$body")}"
}

# What the Python program prints: run with the client library, `r` is connected.
program() {
    timeout -k 2 "$COMMAND_TIMEOUT_S" "$python" -c "import os, time, redis
r = redis.Redis(host='127.0.0.1', port=int(os.environ['COMPAT_PORT']), decode_responses=True)
$1" 2>&1
}

app_a_stores() {
    cli FLUSHALL >/dev/null
    http GET /v4/butlerping
    same 'the connection can be tested' '200' "$status"
    post_pair '/v4/keyvalues/Sales%20ETL%20step%202' '{"key":"Last extract timestamp","value":"2026-09-29 17:14:56"}'
    answered 'A stores a pair in a namespace with blanks' 201 \
        '{"namespace":"Sales ETL step 2","key":"Last extract timestamp","value":"2026-09-29 17:14:56","ttl":0}'
    post_pair '/v4/keyvalues/Sales%20ETL%20step%202' '{"key":"short lived","value":"123","ttl":"60000"}'
    answered 'A stores a pair with a TTL, sent as a string' 201 \
        '{"namespace":"Sales ETL step 2","key":"short lived","value":"123","ttl":60000}'
    post_pair '/v4/keyvalues/Ums%C3%A4tze%20%E6%97%A5%E6%9C%AC' '{"key":"größte \"Menge\"","value":"süß, \\ und 12 %"}'
    answered 'A stores names and values beyond ASCII' 201 \
        '{"namespace":"Umsätze 日本","key":"größte \"Menge\"","value":"süß, \\ und 12 %","ttl":0}'
    post_pair '/v4/keyvalues/numbers' '{"key":"n","value":12.5,"ttl":30000}'
    answered 'a number is stored as its text' 201 '{"namespace":"numbers","key":"n","value":"12.5","ttl":30000}'
}

expect_100() {
    local log
    head -c 900000 /dev/zero | tr '\0' 'x' >"$scratch/value"
    { printf '{"key":"long","value":"'; cat "$scratch/value"; printf '"}'; } >"$scratch/long.json"
    log=$(timeout -k 2 "$COMMAND_TIMEOUT_S" curl -svo /dev/null --expect100-timeout 10 --max-time 15 \
        -w 'total_ms=%{time_total}' -H 'Content-Type: application/json' -H 'Expect: 100-continue' \
        --data-binary @"$scratch/long.json" "http://127.0.0.1:$COMPAT_HTTP_PORT/v4/keyvalues/long" 2>&1)
    like 'Expect: 100-continue is answered before the body' 'HTTP/1.1 100 Continue.*HTTP/1.1 201' "$log"
    same 'a value of 900 kB arrives whole' 900000 "$(cli HSTRLEN long long)"
    log=$(timeout -k 2 "$COMMAND_TIMEOUT_S" curl -sv --max-time 15 \
        "http://127.0.0.1:$COMPAT_HTTP_PORT/v4/keyvalues/numbers?key=n" -o /dev/null \
        "http://127.0.0.1:$COMPAT_HTTP_PORT/v4/keylist/numbers" -o /dev/null 2>&1)
    like 'two requests share a connection' 'Re-using existing connection' "$log"
}

app_b_reads() {
    http GET '/v4/keyvalues/Sales%20ETL%20step%202?key=Last%20extract%20timestamp'
    answered 'B reads it' 200 \
        '{"namespace":"Sales ETL step 2","key":"Last extract timestamp","value":"2026-09-29 17:14:56"}'
    same 'and it is declared as JSON' 'application/json; charset=utf-8' "$type"
    http GET '/v4/keyvalues/Sales%20ETL%20step%202?key=Last+extract+timestamp'
    answered 'B reads it with + for a blank in the query' 200 \
        '{"namespace":"Sales ETL step 2","key":"Last extract timestamp","value":"2026-09-29 17:14:56"}'
    http GET '/v4/keyvalues/Ums%C3%A4tze%20%E6%97%A5%E6%9C%AC?key=gr%C3%B6%C3%9Fte%20%22Menge%22'
    answered 'B reads names beyond ASCII' 200 \
        '{"namespace":"Umsätze 日本","key":"größte \"Menge\"","value":"süß, \\ und 12 %"}'
    http GET '/v4/keyvalues/Sales%20ETL%20step%202/keyexists?key=short%20lived'
    answered 'keyexists of a pair' 200 \
        '{"keyExists":true,"keyValue":{"namespace":"Sales ETL step 2","key":"short lived","value":"123"}}'
    http GET '/v4/keyvalues/Sales%20ETL%20step%202/keyexists?key=nope'
    answered 'keyexists of nothing' 200 '{"keyExists":false,"keyValue":{}}'
    http GET '/v4/keylist/numbers'
    answered 'keylist' 200 '{"namespace":"numbers","keys":[{"key":"n"}]}'
    http GET '/v4/keyvaluesnamespaces'
    body=$(python3 -c 'import json, sys; print(json.dumps(sorted(json.loads(sys.argv[1]))))' "$body" 2>/dev/null)
    answered 'the namespaces' 200 '["Sales ETL step 2","Umsätze 日本","long","numbers"]'
    http GET '/v4/keyvalues/nope?key=x'
    answered 'an unknown namespace' 400 '{"statusCode":400,"error":"Bad Request","message":"Namespace not found: nope"}'
}

others_see_them() {
    same 'redis-cli sees the pairs' $'Last extract timestamp\n2026-09-29 17:14:56\nshort lived\n123' \
        "$(cli HGETALL 'Sales ETL step 2' | paste - - -d '|' | sort | tr '|' '\n')"
    between 'redis-cli sees the TTL' 30000 60000 "$(cli HPTTL 'Sales ETL step 2' FIELDS 1 'short lived')"
    same 'and that the other pair has none' -1 "$(cli HPTTL 'Sales ETL step 2' FIELDS 1 'Last extract timestamp')"
    same 'redis-cli sees the names beyond ASCII' 'süß, \ und 12 %' "$(cli HGET 'Umsätze 日本' 'größte "Menge"')"
    same 'a Python program sees the pairs' 'True' "$(program 'print(r.hgetall("Sales ETL step 2") ==
    {"Last extract timestamp": "2026-09-29 17:14:56", "short lived": "123"})')"
    same 'a Python program sees the TTL' 'True' \
        "$(program 'print(30000 < r.hpttl("Sales ETL step 2", "short lived")[0] <= 60000)')"
    same 'and scans the namespaces' "['Sales ETL step 2', 'Umsätze 日本', 'long', 'numbers']" \
        "$(program 'print(sorted(r.scan_iter(_type="hash")))')"
}

others_write() {
    same 'a Python program stores a pair with a TTL' 1 \
        "$(program 'print(r.hsetex("Sales ETL step 2", mapping={"from python": "größer"}, px=45000))')"
    same 'redis-cli stores another in a new namespace' 1 "$(cli HSET 'from redis' key value)"
    http GET '/v4/keyvalues/Sales%20ETL%20step%202?key=from%20python'
    answered 'B reads what Python stored' 200 '{"namespace":"Sales ETL step 2","key":"from python","value":"größer"}'
    http GET '/v4/keyvalues/from%20redis?key=key'
    answered 'B reads what redis-cli stored' 200 '{"namespace":"from redis","key":"key","value":"value"}'
    post_pair '/v4/keyvalues/Sales%20ETL%20step%202' '{"key":"from python","value":"rewritten"}'
    same 'A rewrites it without a TTL, which clears the TTL' $'rewritten\n-1' \
        "$(cli HGET 'Sales ETL step 2' 'from python'; cli HPTTL 'Sales ETL step 2' FIELDS 1 'from python')"
}

pairs_go_away() {
    delete_by_post '/v4/keyvalues/Sales%20ETL%20step%202/from%20python'
    same 'A deletes a pair with a POST and the override header' '204 ' "$status $body"
    same 'redis-cli no longer sees it' 0 "$(cli HEXISTS 'Sales ETL step 2' 'from python')"
    post_pair '/v4/keyvalues/fleeting' '{"key":"t","value":"x","ttl":"300"}'
    answered 'A stores a pair for 300 ms' 201 '{"namespace":"fleeting","key":"t","value":"x","ttl":300}'
    sleep 0.8
    http GET '/v4/keyvalues/fleeting/keyexists?key=t'
    answered 'afterwards it does not exist, which is no error' 200 '{"keyExists":false,"keyValue":{}}'
    http GET '/v4/keyvalues/fleeting?key=t'
    answered 'reading it is one' 400 \
        '{"statusCode":400,"error":"Bad Request","message":"Key '"'t'"' not found in namespace: fleeting"}'
    http GET '/v4/keylist/fleeting'
    answered 'its namespace stays for HTTP' 200 '{"namespace":"fleeting","keys":[]}'
    same 'and does not exist for Redis clients' $'0\nnone' "$(cli EXISTS fleeting; cli TYPE fleeting)"
    delete_by_post '/v4/keyvalues/Sales%20ETL%20step%202'
    same 'A deletes a namespace' '204 ' "$status $body"
    http GET '/v4/keyvalues/Sales%20ETL%20step%202?key=short%20lived'
    answered 'and B is told so' 400 \
        '{"statusCode":400,"error":"Bad Request","message":"Namespace not found: Sales ETL step 2"}'
    same 'redis-cli too' 0 "$(cli EXISTS 'Sales ETL step 2')"
}

app_a_stores
expect_100
app_b_reads
others_see_them
others_write
pairs_go_away
closing qlik-story
