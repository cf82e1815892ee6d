#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demo: one load, five times, one table. All of it are the programs that ship, as processes:
#
#   kvroute-load ── POST /v1/select, /v1/update, /v1/release ──▶ kvroute-routers ──▶ redis-server, one pool
#        │                                                                                ▲
#        └── POST /v1/completions ──▶ mock engines ── events, ZeroMQ ──▶ kvroute-bridge ──┘
#
# The load is a frontend that keeps its own streams: routers only say where to. So nothing that is killed here
# has a stream in it. How it is when routers carry the streams, shows the tour (tour.sh).
set -uo pipefail
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")

usage() {
    cat <<'TEXT'
usage: ./dev demo [options]

Starts a real redis-server with the module, mock engines with a bridge, and routers; plays one load to
them five times (engines in turn, one router, several routers that know nothing of each other, several with
one pool, the same through crashes) and prints one table. Exit status 0 means that every check under the table
holds. Under two minutes.

  --quick           a short load, half a minute in all
  --trace FILE      play the beginning of a trace: JSON lines of timestamp, input_length, output_length and
                    hash_ids, one id for 512 tokens; as much of it, and so fast, as the engines can do
                    in the time (very long outputs are cut). Otherwise chats are made up
  --routers N       routers (4)
  --workers N       mock engines (8)
  --capacity N      blocks of 16 tokens in an engine's cache (6000, for a trace 40000)
  --scale N         engines and load so many times faster than engines are (10, for a
                    trace 20)
  --seed N          of the chats (1)
  --pool WORDS      options for KVROUTE.CREATE, for example --pool 'PREFILL 2 REQUESTS 4'
  --keep            leave the folder with all logs, and say where
  --help            this text
TEXT
}

wrong() {
    printf 'demo: %s; see --help\n' "$*" >&2
    exit 2
}

routers_n=4 engines_n=8 capacity= scale= seed=1 words='POLICY delay' trace='' seconds= kept=
whole() { # option, value, least, most
    [[ $2 =~ ^[0-9]{1,9}$ ]] && [ "$2" -ge "$3" ] && [ "$2" -le "$4" ] || wrong "$1 takes a number from $3 to $4"
}
while [ $# -gt 0 ]; do
    case $1 in
    --quick) seconds=4 ;;
    --keep) kept=1 ;;
    --help)
        usage
        exit
        ;;
    --routers | --workers | --capacity | --scale | --seed | --pool | --trace | --engines)
        [ $# -gt 1 ] || wrong "$1 takes a value"
        case $1 in
        --routers) whole "$1" "$2" 2 16 && routers_n=$2 ;;
        --workers) whole "$1" "$2" 2 32 && engines_n=$2 ;;
        --capacity) whole "$1" "$2" 64 1000000 && capacity=$2 ;;
        --scale) whole "$1" "$2" 1 100 && scale=$2 ;;
        --seed) whole "$1" "$2" 0 999999999 && seed=$2 ;;
        --pool) words+=" $2" ;;
        --engines) [ "$2" = mock ] || wrong "--engines takes mock" ;;
        --trace)
            [ -r "$2" ] || wrong "no trace at $2"
            trace=$(readlink -f -- "$2")
            ;;
        esac
        shift
        ;;
    *) wrong "no option $1" ;;
    esac
    shift
done

. "$here/processes.sh"
keep=$kept
engines=() routers=()
for ((i = 1; i <= engines_n; i++)); do engines+=("e$i"); done
for ((i = 1; i <= routers_n; i++)); do routers+=("r$i"); done
# Tokens a second of an engine, and its cache: such that both loads come near what engines can do.
if [ -n "$trace" ]; then
    prefill=10000 decode=66 least=75
    : "${capacity:=40000}" "${scale:=20}" "${seconds:=12}"
else
    prefill=5000 decode=66 least=90
    : "${capacity:=6000}" "${scale:=10}" "${seconds:=15}"
fi
pool=demo

runs=(turns one apart many crash)
declare -A titles=([turns]='round robin' [one]='one router' [apart]="$routers_n routers, each by itself"
    [many]="$routers_n routers, one pool" [crash]="$routers_n routers, three crashes")

calc() { awk "BEGIN { print $* }"; }
holds() { [ "$(calc "($*) ? 1 : 0")" = 1 ]; }

# ---- One run -------------------------------------------------------------------------------------

declare -A result=() # of a run and a name: what came of it; result[crash,…] also of the crashes
note() { printf '%-28s %s\n' "$title" "$*" >&2; }
ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

open_redis() { # lets others in, where they look for it
    local i
    for ((i = 0; i < 50; i++)); do
        choose_port redis
        [ "$(redis redis CONFIG SET port "${port[redis]}")" != OK ] || return 0
        [ -z "${result[$run,opened]:-}" ] && unset 'port[redis]' # somebody else's by now; nobody knows it yet
        sleep 0.1
    done
    die "Redis finds no port to listen on"
}

create_pool() { # key, further options
    local answer
    answer=$(redis redis KVROUTE.CREATE "$1" BLOCKSIZE 16 $words "${@:2}")
    [ "$answer" = OK ] || die "no pool can be made: $answer"
}

pool_field() { # name
    redis redis KVROUTE.INFO "$pool" | grep -xA1 "$1" | tail -n 1
}

start_fleet() { # kind
    local r e args
    port=()
    start_engines --block-size 16 --blocks "$capacity" --prefill-speed "$prefill" --decode-speed "$decode" \
        --max-model-len 1000000 --time-scale "$scale" -- "${engines[@]}"
    [ "$1" != turns ] || return
    rm -rf "$home/redis"
    start_redis redis 0
    open_redis
    result[$run,opened]=1
    local url=redis://127.0.0.1:${port[redis]}
    active=("${routers[@]}")
    [ "$1" != one ] || active=("${routers[0]}")
    if [ "$1" = apart ]; then
        # Nobody reports to these pools: each router remembers what it sent.
        for r in "${active[@]}"; do
            create_pool "$r" PREDICT 600000
            args=()
            for e in "${engines[@]}"; do
                args+=(--engine "http://127.0.0.1:${port[$e]} name=$e pool=$r capacity=$capacity")
            done
            start_router "$r" --redis "$url" --pool "$r blocks=tokens" "${args[@]}"
        done
    else
        create_pool "$pool"
        start_bridge "$url" "$pool" "BLOCKSIZE 16 $words" "$capacity" "${engines[@]}"
        for r in "${active[@]}"; do start_router "$r" --redis "$url" --pool "$pool blocks=tokens"; done
    fi
    wait_for "${active[@]}"
    wait_for_engines "$engines_n" "${active[@]}"
}

start_load() { # kind
    local e r args=()
    for e in "${engines[@]}"; do args+=(--engine "$e=${port[$e]}"); done
    if [ "$1" != turns ]; then
        for r in "${active[@]}"; do args+=(--router "${port[$r]}"); done
        [ "$1" = apart ] || args+=(--redis "${port[redis]}" --pool "$pool")
    fi
    if [ -n "$trace" ]; then
        # So much that engines are busy six tenths of the time if nothing of it is cached.
        args+=(--trace "$trace" --longest $((capacity * 16)) --answer $((decode * scale * seconds / 4))
            --work $((prefill * engines_n * scale * seconds * 6 / 10)))
    else
        args+=(--rate "$(calc "1.2 * $engines_n")" --seed "$seed")
    fi
    setpriv --pdeathsig KILL "$build/bench/kvroute-load" --label "$title" --seconds "$seconds" --scale "$scale" \
        "${args[@]}" >"$home/load.out" &
    pid[load]=$!
    until [ -s "$home/load.out" ]; do
        kill -0 "${pid[load]}" 2>/dev/null || die "the load can't be played"
        sleep 0.02
    done
    began=$(ms)
    [ "$1" != turns ] || introduce
}

introduce() {
    cat <<TEXT
$(sed -n 's/^load //p' "$home/load.out")
$engines_n mock engines: caches of $capacity blocks of 16 tokens, prefill of $prefill tokens/s, $decode tokens/s of
output; $routers_n routers over HTTP, a bridge, a redis-server; all are processes, $scale times faster than engines are

TEXT
}

end_load() {
    local name value
    wait "${pid[load]}" || die "the load has failed"
    unset 'pid[load]'
    while read -r name value; do result[$run,$name]=$value; done <"$home/load.out"
}

until_part() { # of the run's time, in quarters
    local left=$((began + $1 * seconds * 250 - $(ms)))
    [ $left -le 0 ] || nap "$(calc "$left / 1000")"
}

# ---- Crashes -------------------------------------------------------------------------------------

call() { # router, path, body → the answer
    curl -s --max-time 10 -H 'Content-Type: application/json' -d "$3" "http://127.0.0.1:${port[$1]}$2"
}

word() { # field, text of JSON
    sed -nE "s/.*\"$1\": *\"?([^\",}]*).*/\1/p" <<<"$2"
}

# Amid the traffic: nobody is warned.
crash_redis() {
    local from
    from=$(ms)
    end redis
    start_redis redis 0
    open_redis
    note "kill -9 of Redis; back from its append-only file in $(($(ms) - from)) ms"
}

# Before it, writers are held back, so that what the pool knows can be compared. A booking is made whose answer
# is asked for again afterwards, from another router.
crash_redis_compared() {
    local from i body first again
    for ((i = 0; i < 20; i++)); do
        body='{"request":"held'$i'","isl":1000,"hashes":[]}'
        first=$(call "${active[0]}" /v1/select "$body")
        [ "$(word degraded "$first")" != false ] || break # else a router chose alone: nothing is booked yet
    done
    redis redis CLIENT PAUSE 60000 WRITE >/dev/null
    result[crash,flying]=$(pool_field requests)
    result[crash,before]=$(redis redis KVROUTE.DIGEST "$pool")
    wait_for_file
    from=$(ms)
    end redis
    start_redis redis 0
    result[crash,after]=$(redis redis KVROUTE.DIGEST "$pool")
    result[crash,booked]=$(word worker "$first")
    result[crash,kept]=$(redis redis KVROUTE.REQUEST GET "$pool" "held$i" | grep -xA1 worker | tail -n 1)
    open_redis
    note "kill -9 of Redis, ${result[crash,flying]} requests in flight; back in $(($(ms) - from)) ms"
    wait_for_pool "${active[-1]}"
    again=$(call "${active[-1]}" /v1/select "$body")
    result[crash,answer]=$(word worker "$again")
    result[crash,repeated]=$(word repeat "$again")
    result[crash,alone]=$(word degraded "$again")
    call "${active[0]}" /v1/release '{"request":"held'$i'"}' >/dev/null
}

wait_for_file() { # until what was acknowledged is in the append-only file
    local i
    for ((i = 0; i < 200; i++)); do
        redis redis INFO persistence | grep -q '^aof_buffer_length:0' && return
        sleep 0.02
    done
}

wait_for_pool() { # router; until it is connected it would choose alone
    local i
    for ((i = 0; i < 200; i++)); do
        curl -s "http://127.0.0.1:${port[$1]}/metrics" | grep -q '^kvroute_router_redis_connected{.*} 1$' && return
        sleep 0.05
    done
}

crash_router() {
    local r=${active[1]}
    end "$r"
    note "kill -9 of a router"
    nap "$(calc "$seconds / 10")"
    start_router "$r" --redis "redis://127.0.0.1:${port[redis]}" --pool "$pool blocks=tokens"
    wait_for "$r"
}

bridge_count() { # metric, summed over its engines
    curl -s "http://127.0.0.1:${port[bridge]}/metrics" | awk -v m="kvroute_bridge_$1" 'index($1, m "{") == 1 { n += $2 } END { print n + 0 }'
}

# Releases may still be on their way.
left_live() {
    local i live
    for ((i = 0; i < 100; i++)); do
        live=$(pool_field requests)
        [ "$live" != 0 ] || break
        sleep 0.1
    done
    echo "$live"
}

play() { # run
    title=${titles[$1]}
    start_fleet "$run"
    start_load "$run"
    if [ "$run" = crash ]; then
        until_part 1
        crash_redis
        until_part 2
        crash_redis_compared
        until_part 3
        crash_router
    fi
    end_load
    case $run in one | many | crash)
        result[$run,live]=$(left_live)
        result[$run,resent]=$(bridge_count resent_events_total)
        result[$run,rebuilt]=$(bridge_count republished_total)
        ;;
    esac
    end_all
    note "$(printf '%s of %s whole, %.1f %% hit' "${result[$run,whole]}" "${result[$run,requests]}" "$(calc "100 * ${result[$run,hit]}")")"
}

# ---- The table -----------------------------------------------------------------------------------

row() { # run
    local choice='-' tail='-'
    if [ "$1" != turns ]; then
        choice=$(printf '%.1f ms' "${result[$1,choice_ms_p50]}")
        tail=$(printf '%.1f ms' "${result[$1,choice_ms_p99]}")
    fi
    printf '%-30s %11s %9.1f %% %9.2f %10s %10s %7.2f %6.2f s\n' "${titles[$1]}" "${result[$1,whole]}/${result[$1,requests]}" \
        "$(calc "100 * ${result[$1,hit]}")" "${result[$1,imbalance]}" "$choice" "$tail" "${result[$1,first_s_p50]}" \
        "${result[$1,first_s_p99]}"
}

table() {
    local r
    printf '\n%-30s %11s %11s %9s %10s %10s %16s\n' '' 'streams' 'tokens' 'load' 'choice' 'choice' 'first token'
    printf '%-30s %11s %11s %9s %10s %10s %16s\n' '' 'whole' 'cached' 'imbalance' 'p50' 'p99' 'p50, p99'
    for r in "${runs[@]}"; do row "$r"; done
    cat <<TEXT

round robin: engines in turn, no router. each by itself: as routers are that keep their state to themselves: each has
a pool of its own, which knows what this router sent where and nothing else. one pool: all of them share one, and
engines report to it. tokens cached: of the prompts, as engines say. load: max / mean over the engines of tokens
computed (of prompts, what wasn't cached, and output). choice: POST /v1/select at a router, real time. first token:
from when the request was due, in the engines' time.

digest before the crash ${result[crash,before]}
       after it         ${result[crash,after]}
through the crashes: ${result[crash,flying]} requests in flight at the second, ${result[crash,degraded]} choices that routers made alone while
Redis was away, ${result[crash,repeats]} answers asked for again and repeated, ${result[crash,resent]} events sent again, ${result[crash,rebuilt]} caches
published anew; the longest choice took $(printf %.2f "$(calc "${result[crash,choice_ms_max]} / 1000")") s

TEXT
}

check() { # condition in awk's words, what
    if holds "$1"; then
        printf 'ok    %s\n' "$2"
    else
        printf 'FAIL  %s\n' "$2"
        failed=1
    fi
}

# A router that a busy machine kept from the pool for its deadline chose alone; then only the pool can tell.
check_booking() {
    local booked=${result[crash,booked]} kept=${result[crash,kept]} answer=${result[crash,answer]}
    if [ "${result[crash,alone]}" = true ]; then answer=$kept; fi
    check "\"$booked\" ~ /^e/ && \"$booked\" == \"$kept\" && \"$booked\" == \"$answer\"" \
        "a booking from before the crash is there after it, and another router answers the same ($booked, ${answer:-?})"
    [ "${result[crash,alone]}" = true ] || check "\"${result[crash,repeated]}\" == \"true\"" "and says that nothing was booked twice"
}

checks() {
    local r cut=0 live=0 different=0 imbalance=0 share
    failed=0
    for r in "${runs[@]}"; do cut=$((cut + ${result[$r,requests]} - ${result[$r,whole]})); done
    for r in one many crash; do
        live=$((live + ${result[$r,live]}))
        different=$((different + ${result[$r,different]}))
        holds "${result[$r,imbalance]} <= $imbalance" || imbalance=${result[$r,imbalance]}
    done
    for r in "${runs[@]}"; do [ -z "${result[$r,why]:-}" ] || say "first failure: ${result[$r,why]}"; done
    check "$cut == 0" "every stream came whole: none was cut, none failed ($cut)"
    check "$live == 0" "no booking is left in the pool when all have ended ($live)"
    check "$different == 0" "the pool knows what every engine holds, to the block ($different differ)"
    check "\"${result[crash,before]}\" == \"${result[crash,after]}\" && \"${result[crash,before]}\" ~ /^[0-9a-f]+$/" \
        "the digest is the same after the crash"
    check_booking
    share=$(calc "100 * ${result[many,hit]} / (${result[one,hit]} + 1e-9)")
    check "$share >= $least" "$routers_n routers hit $(printf '%.1f' "$share") % of what one router hits"
    # How much of the time Redis was away for depends on the machine.
    for r in one many crash; do
        check "${result[$r,hit]} > ${result[turns,hit]}" \
            "${titles[$r]}: $(printf '%.1f' "$(calc "${result[$r,hit]} / (${result[turns,hit]} + 1e-9)")") times the hits of engines in turn"
    done
    [ -n "$trace" ] || check "$imbalance <= 1.5" "the worst imbalance is $imbalance, of 1.5 allowed"
    return $failed
}

demo() {
    local verdict='all as it should be'
    for run in "${runs[@]}"; do play "$run"; done
    table
    checks || verdict='NOT as it should be'
    printf '\n%s, after %d s\n' "$verdict" "$SECONDS"
    return "$failed"
}

work demo
