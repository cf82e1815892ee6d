#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A whole fleet as a user would run it: a Redis with a replica and three Sentinels, four mock engines with
# their bridge, three HTTP routers as proxies. `up` leaves it running until Ctrl-C (with --port N at ports
# from N on); `tour` sends it requests without a pause, kills each part in turn, and says what callers noticed.
#
# Every answer of a mock engine is a function of its prompt. So each stream that comes through a router is
# compared, byte by byte, with what a fifth engine answers that no router knows.
set -uo pipefail

usage() {
    echo "usage: $(basename "$0") tour | up [--port N]" >&2
    exit 2
}

do=${1:-} first=
case $do/${2:-}/$# in
tour//1 | up//1) ;;
up/--port/3)
    # As many ports as parts have one that somebody would want to know beforehand.
    [[ $3 =~ ^[0-9]{1,5}$ ]] && [ "$3" -ge 1 ] && [ "$3" -le $((65535 - 12)) ] || {
        echo "--port takes a number from 1 to $((65535 - 12)): that and the twelve after it are used" >&2
        exit 2
    }
    first=$3
    ;;
*) usage ;;
esac
. "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/processes.sh"

engines=(e1 e2 e3 e4) routers=(r1 r2 r3)

# ---- Parts ---------------------------------------------------------------------------------------

start_sentinel() {
    cat >"$home/$1.conf" <<CONF
port ${port[$1]}
bind 127.0.0.1
dir $home
sentinel monitor main 127.0.0.1 ${port[redis1]} 2
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 5000
CONF
    start "$1" "$redis_server" "$home/$1.conf" --sentinel
    wait_for "$1"
}

part() { # starts one part by its name, again if need be; of a Redis also the port of its primary
    case $1 in
    redis*) start_redis "$1" "${port[$1]}" ${2:+--replicaof "127.0.0.1 $2"} ;;
    s[123]) start_sentinel "$1" ;;
    e[1234]) start_engines --prefill-speed 4000 --decode-speed 60 -- "$1" ;;
    oracle) start_engines --no-events --time-scale 0 -- oracle ;;
    bridge) start_bridge "$redis" demo 'BLOCKSIZE 16 POLICY delay' 4096 "${engines[@]}" ;;
    r[123])
        start_router "$1" --redis "$redis" --pool 'demo blocks=tokenize'
        wait_for "$1"
        ;;
    esac
}

up() {
    local p
    [ -z "$first" ] || fix_ports "$first" "${routers[@]}" "${engines[@]}" bridge redis1 redis2 s1 s2 s3
    choose_port redis1 redis2 s1 s2 s3
    redis=sentinel://127.0.0.1:${port[s1]},127.0.0.1:${port[s2]},127.0.0.1:${port[s3]}/main
    part redis1
    part redis2 "${port[redis1]}"
    for p in s1 s2 s3 "${engines[@]}" oracle bridge "${routers[@]}"; do part "$p"; done
    wait_for_engines ${#engines[@]} "${routers[@]}"
}

show() {
    local p
    cat <<TEXT

  routers    $(for p in "${routers[@]}"; do printf 'http://127.0.0.1:%s  ' "${port[$p]}"; done)
  engines    $(for p in "${engines[@]}"; do printf '%s http://127.0.0.1:%s  ' "$p" "${port[$p]}"; done)
  Redis      primary 127.0.0.1:${port[redis1]}, replica 127.0.0.1:${port[redis2]}, Sentinels ${port[s1]} ${port[s2]} ${port[s3]}
  bridge     http://127.0.0.1:${port[bridge]}/metrics

Try, in another terminal:

  curl -i http://127.0.0.1:${port[r1]}/v1/chat/completions -H 'Content-Type: application/json' -d '{"model":"mock","max_tokens":20,"messages":[{"role":"user","content":"$(seq -s ' ' 1 60)"}]}'
  (again, through ${port[r2]}: the same X-Kvroute-Worker, and X-Kvroute-Overlap says what it has)
  curl -N http://127.0.0.1:${port[r3]}/v1/completions -H 'Content-Type: application/json' -d '{"model":"mock","stream":true,"max_tokens":40,"prompt":"Once upon a time"}'
  curl http://127.0.0.1:${port[r1]}/kvroute/workers
  redis-cli -p ${port[redis1]} KVROUTE.INFO demo
  a page to look at: http://127.0.0.1:${port[r1]}/

TEXT
}

# ---- Callers -------------------------------------------------------------------------------------
# A caller has one conversation after the other, of four turns, each turn through the next router. What a
# frontend or a balancer does when its router dies, it does too: it asks the next one.

text() { # as many words, of a seed
    awk -v n="$1" -v seed="$2" 'BEGIN { srand(seed); for (i = 0; i < n; i++) printf "%s%c%c%c%d", i ? " " : "", 97 + rand() * 26, 97 + rand() * 26, 97 + rand() * 26, rand() * 100 }'
}

ask() { # file of the body, port → its answer into $home/$caller.got; sets code, first, worker
    local out
    out=$(curl -sN --max-time 20 -o "$home/$caller.got" -D "$home/$caller.head" -w '%{http_code} %{time_starttransfer}' \
        -H 'Content-Type: application/json' --data-binary "@$1" "http://127.0.0.1:$2/v1/chat/completions")
    rc=$?
    read -r code first <<<"$out"
    overlap=$(tr -d '\r' <"$home/$caller.head" 2>/dev/null | awk -F': ' 'tolower($1) == "x-kvroute-overlap" { print $2 }')
}

converse() { # number; one line an answer: ms, outcome, tries, first byte in s, blocks of overlap
    local caller=$1 turn=0 conversation=0 messages='' tries r body
    body=$home/$caller.body
    : >"$home/$caller.head"
    # If nobody is left who could stop us, that is the end, too.
    while [ ! -e "$home/stop" ] && kill -0 $$ 2>/dev/null; do
        if [ $((turn % 4)) = 0 ]; then
            conversation=$((conversation + 1))
            messages='{"role":"system","content":"'$(text 150 $((conversation % 6)))'"}'
        fi
        turn=$((turn + 1))
        messages+=',{"role":"user","content":"'$(text 40 $((caller * 10000 + turn)))'"}'
        printf '{"model":"mock","stream":true,"max_tokens":40,"messages":[%s]}' "$messages" >"$body"
        curl -s -o "$home/$caller.want" -H 'Content-Type: application/json' --data-binary "@$body" \
            "http://127.0.0.1:${port[oracle]}/v1/chat/completions"
        local outcome=whole
        for ((tries = 1; tries <= 6; tries++)); do
            r=${routers[(caller + turn + tries) % 3]}
            ask "$body" "${port[$r]}"
            [ "$rc" = 0 ] && [ "$code" = 200 ] && cmp -s "$home/$caller.got" "$home/$caller.want" && break
            # Of an answer that had begun only the caller can know whether to ask again.
            if [ "$code" = 200 ]; then
                outcome=cut
            elif [ "$code" != 000 ]; then
                outcome=refused
            fi
            cp "$home/$caller.got" "$home/bad.$caller.$turn" 2>/dev/null
            sleep 0.2
        done
        [ "$tries" -le 6 ] || outcome=lost
        printf '%s %s %s %s %s\n' "$(date +%s%3N)" "$outcome" "$tries" "$first" "${overlap:-0}" >>"$home/$caller.log"
    done
}

callers() {
    local i
    for ((i = 1; i <= 8; i++)); do converse "$i" & done
    wait
}

since() { # lines of all callers from a time on
    cat "$home"/[1-8].log 2>/dev/null | awk -v from="$1" '$1 >= from'
}

row() { # what, from
    since "$2" | sort -k4,4g | awk -v what="$1" '
        { n++; k[$2]++; if ($3 > 1) again++; overlap += $5; first[n] = $4 }
        END {
            printf "  %-46s %7d %7d %7d %7d %7d %9.0f %9.1f\n", what, n, k["whole"], again, k["cut"],
                k["refused"] + k["lost"], first[int((n + 1) / 2)] * 1000, n ? overlap / n : 0
        }'
}

trial() { # what, seconds, parts to kill …; those are started again after a while
    local what=$1 seconds=$2 from
    shift 2
    from=$(date +%s%3N)
    nap 1
    end "$@"
    nap "$((seconds / 2))"
    local p
    for p in "$@"; do
        if [[ $p == redis* ]]; then
            part "$p" "$(primary_port)"
        else
            part "$p"
        fi
    done
    nap "$((seconds - seconds / 2))"
    row "$what" "$from"
}

primary_port() {
    redis-cli -p "${port[s1]}" SENTINEL GET-MASTER-ADDR-BY-NAME main | sed -n 2p
}

primary() { # the name of the part that is the primary now
    local p
    p=$(primary_port)
    [ "$p" = "${port[redis1]}" ] && echo redis1 || echo redis2
}

tour() {
    local whole failed from
    say "Starting Redis with a replica, three Sentinels, four engines, a bridge, three routers …"
    up
    show
    say "Eight callers ask through all three routers; each answer is compared byte by byte."
    say ""
    from=$(date +%s%3N)
    set -m # the callers are a group, so that they can be ended as one
    callers &
    pid[callers]=-$!
    set +m
    printf '  %-46s %7s %7s %7s %7s %7s %9s %9s\n' '' answers whole 'again' cut failed 'first ms' 'overlap'
    trial 'nothing' 6
    trial 'kill -9 of an engine' 8 e2
    trial 'kill -9 of a router' 6 r1
    trial 'kill -9 of the Redis primary: a failover' 10 "$(primary)"
    trial 'kill -9 of the bridge' 6 bridge
    trial 'kill -9 of two Sentinels and a router' 6 s1 s2 r2
    touch "$home/stop"
    wait "${pid[callers]#-}" 2>/dev/null
    unset 'pid[callers]'
    row 'all' "$from"
    cat <<'TEXT'

  whole    streams that came byte for byte as the engine's answer is
  again    a caller had to ask a second time: its router was gone (000) or its stream was cut
  cut      streams that were open at the engine or router that was killed; nobody else's are
  failed   answered with an error, or not at all
  first    milliseconds to the first byte, median; overlap: blocks of the prompt that the engine had, mean
TEXT
    whole=$(since "$from" | awk '$2 == "whole"' | wc -l)
    failed=$(since "$from" | awk '$2 == "refused" || $2 == "lost"' | wc -l)
    [ "$whole" -gt 50 ] && [ "$failed" = 0 ] && return
    tail -n 5 "$home"/r?.log >&2
    die "$whole whole answers, $failed callers who were not served"
}

stay() {
    say "Starting …"
    up
    show
    say "Running until Ctrl-C."
    while :; do nap 10; done
}

case $do in
tour) work tour ;;
up) work stay ;;
esac
