# SPDX-License-Identifier: Apache-2.0
# The parts of a fleet as processes: to be sourced by the demo and the tour. Each part has a name, by which
# it is started, killed and started again at the same ports.
#
# Everything is in one temporary folder, listens on 127.0.0.1, and is ended by its own pid. If the shell that
# has them is killed with SIGKILL, the kernel ends the parts.
set -uo pipefail

build=${KVROUTE_BUILD:?is the folder that ./dev build makes}
redis_server=${REDIS_SERVER:-redis-server}
module=${KVROUTE_MODULE:-$build/module/kvroute.so}

keep=
home=$(mktemp -d "${TMPDIR:-/tmp}/kvroute-fleet.XXXXXX")
declare -A pid=() port=() # by name
ports=()                  # kept, and nobody's yet

say() { printf '%s\n' "$*"; }
die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# ---- Processes -----------------------------------------------------------------------------------

start() { # name, command …; a session of its own, so that Ctrl-C is only ours
    local name=$1
    shift
    setsid setpriv --pdeathsig KILL "$@" >>"$home/$name.log" 2>&1 </dev/null &
    pid[$name]=$!
}

end() { # name …; SIGKILL. A negative pid is a process group
    local p
    for p in "$@"; do
        [ -n "${pid[$p]:-}" ] || continue
        kill -KILL -- "${pid[$p]}" 2>/dev/null
        wait "${pid[$p]#-}" 2>/dev/null
        unset "pid[$p]"
    done
}

end_all() { end "${!pid[@]}"; }

# ---- Two shells ----------------------------------------------------------------------------------
# Bash may lose a signal that comes while it forks, as it does for every command that isn't its own. So the
# shell that hears signals forks nothing meanwhile: a shell behind it works, and has the parts.

work() { # command …; then it's over, with its status
    mkfifo "$home/parts"
    (
        trap end_all EXIT
        trap - INT TERM HUP
        "$@"
    ) 9>"$home/parts" &
    worker=$!
    exec 8<"$home/parts" # which ends with the last of all that began behind it
    wait "$worker"
    exit
}

leave() {
    trap - EXIT
    trap '' INT TERM HUP
    touch "$home/stop"
    [ -z "${worker:-}" ] || {
        kill -KILL "$worker" 2>/dev/null
        cat <&8 >/dev/null
    }
    if [ -n "$keep" ]; then say "kept: $home"; else rm -rf "$home"; fi
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

nap() { # seconds
    local until=$((${EPOCHREALTIME/[.,]/} + $(awk -v s="$1" 'BEGIN { printf "%d", s * 1e6 }')))
    while [ "${EPOCHREALTIME/[.,]/}" -lt "$until" ]; do
        kill -0 $$ 2>/dev/null || exit # nobody is left who could stop us
        sleep 0.05
    done
}

# ---- Ports ---------------------------------------------------------------------------------------

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Kept from tests and other fleets until this shell ends.
keep_ports() {
    read -r -a ports < <(exec setsid "$build/tests/kvroute-keep-ports" 16 </dev/null) ||
        die "no ports can be kept"
}

choose_port() { # name …; those that have none yet
    local name
    for name in "$@"; do
        [ -z "${port[$name]:-}" ] || continue
        [ ${#ports[@]} -gt 0 ] || keep_ports
        port[$name]=${ports[0]}
        ports=("${ports[@]:1}")
    done
}

fix_ports() { # first port, name …; one after the other
    local name p=$1
    for name in "${@:2}"; do
        ! listens "$p" || die "port $p, for $name, is taken"
        port[$name]=$((p++))
    done
}

alive() { # name; else what it said last
    kill -0 "${pid[$1]}" 2>/dev/null && return
    tail -n 5 "$home/$1.log" >&2
    die "$1 has ended"
}

wait_for() { # name …: until each listens at its port
    local name i
    for name in "$@"; do
        for ((i = 0; i < 400; i++)); do
            ! listens "${port[$name]}" || continue 2
            alive "$name"
            sleep 0.05
        done
        die "$name doesn't come up"
    done
}

# ---- Parts ---------------------------------------------------------------------------------------

start_redis() { # name, port (0: only its socket), [option …]
    local name=$1 i
    mkdir -p "$home/$name"
    start "$name" "$redis_server" --port "$2" --bind 127.0.0.1 --dir "$home/$name" --save '' \
        --unixsocket "$home/$name.sock" --appendonly yes --repl-diskless-sync-delay 0 \
        --loadmodule "$module" "${@:3}"
    for ((i = 0; i < 400; i++)); do
        [ "$(redis "$name" PING 2>/dev/null)" != PONG ] || return 0
        alive "$name"
        sleep 0.05
    done
    die "$name doesn't come up"
}

redis() { # name, command …
    redis-cli -s "$home/$1.sock" "${@:2}"
}

# The engines choose their ports when they are started for the first time.
start_engines() { # option … -- name …
    local options=() name i line
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    for name in "$@"; do
        start "$name" "$build/tests/kvroute-mock-engine" --http-port "${port[$name]:-0}" \
            --events-port "${port[$name-events]:-0}" --replay-port "${port[$name-replay]:-0}" "${options[@]}"
    done
    for name in "$@"; do
        for ((i = 0; i < 400; i++)); do
            line=$(tail -n 1 "$home/$name.log" 2>/dev/null)
            [[ $line != *'"pid":'${pid[$name]}','*'}' ]] || break
            alive "$name"
            sleep 0.05
        done
        port[$name]=$(sed -E 's/.*"http_port":([0-9]+).*/\1/' <<<"$line")
        port[$name-events]=$(sed -E 's/.*"events":\["[^"]*:([0-9]+)".*/\1/' <<<"$line")
        port[$name-replay]=$(sed -E 's/.*"replay":\["[^"]*:([0-9]+)".*/\1/' <<<"$line")
    done
}

start_bridge() { # URL of Redis, pool, its options, blocks of an engine, engine …
    local e args=(--redis "$1" --pool "$2" --create "$3")
    for e in "${@:5}"; do
        args+=(--engine "$e http=http://127.0.0.1:${port[$e]} events=tcp://127.0.0.1:${port[$e-events]} replay=tcp://127.0.0.1:${port[$e-replay]} ranks=1 block_size=16 capacity=$4")
    done
    choose_port bridge
    start bridge "$build/client/kvroute-bridge" --listen "127.0.0.1:${port[bridge]}" "${args[@]}"
    wait_for bridge
}

start_router() { # name, option …; wait_for it
    choose_port "$1"
    start "$1" "$build/client/kvroute-router" --listen "127.0.0.1:${port[$1]}" "${@:2}"
}

wait_for_engines() { # how many, router …: until each router sees that they are ready
    local i r
    for ((i = 0; i < 300; i++)); do
        for r in "${@:2}"; do
            [ "$(curl -s "http://127.0.0.1:${port[$r]}/v1/workers" | grep -o '"state": *"ready"' | wc -l)" = "$1" ] ||
                break
            [ "$r" != "${!#}" ] || return 0
        done
        sleep 0.1
    done
    tail -n 5 "$home"/*.log >&2
    die "the routers don't see the engines"
}
