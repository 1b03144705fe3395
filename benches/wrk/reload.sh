#!/usr/bin/env bash
# Runs wrk against examples/axum.rs while the server is restarted again and again.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: reload.sh [--script NAME] [--duration SECS] [--connections N] [--threads N] [--every SECS]
                 [--server-threads N]

Builds examples/axum.rs, runs wrk against it, and restarts the server (SIGUSR2) every so often meanwhile. Prints wrk's
report, then the restarts done, the connections that are not those of before the first restart, the socket errors and the
answers that are not 2xx. Exits with 1 if there was an error, or if a client that keeps its connection came back on another.

  --script NAME        get, post, pipeline or fresh (get)
  --duration SECS      how long wrk runs (30)
  --connections N      how many connections it keeps (64)
  --threads N          how many threads wrk has (1)
  --every SECS         the pause between a restart and the next (2; the server's probation is 0.5)
  --server-threads N   the server's worker threads (1)

Needs cargo and wrk: apt install wrk, dnf install wrk, pacman -S wrk, brew install wrk,
or https://github.com/wg/wrk

wrk counts a connection that ends after an answer with `connection: close` as no error and opens another, which has
another port; one that ends without it under a request is a read error. It does not look at bodies, and does not tell a slow answer from a lost one within
its two seconds: the `load` crate does.
EOF
}

fail() {
    printf 'reload.sh: %s\n' "$1" >&2
    exit 2
}

script=get duration=30 connections=64 threads=1 every=2 server_threads=1
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --script | --duration | --connections | --threads | --every | --server-threads)
            [ $# -ge 2 ] || fail "$1 needs a value (--help)"
            name=${1#--}
            printf -v "${name//-/_}" %s "$2"
            shift 2 ;;
        *) fail "unknown argument $1 (--help)" ;;
    esac
done
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ -f "$here/$script.lua" ] || fail "no script $script: get, post, pipeline or fresh"
command -v wrk >/dev/null || fail "wrk is not installed: apt install wrk, or see --help"
command -v cargo >/dev/null || fail "cargo is not installed"

cd "$here/../.."
server=$(cargo build --release --example axum --message-format=json-render-diagnostics |
    sed -n 's/.*"name":"axum".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$server" ] || fail "the example was not built"

# All generations write to this pipe, each a line when it is ready. Its end is the end of the last of them.
directory=$(mktemp -d)
mkfifo "$directory/lines"
generations=() wrk_pid=

# The next generation's ready line, by a deadline.
await_ready() {
    local line deadline=$((SECONDS + 30))
    while IFS= read -r -t $((deadline > SECONDS ? deadline - SECONDS : 1)) -u 3 line; do
        case $line in
            'ready '*)
                generations+=("$(sed 's/.* pid=\([0-9]*\).*/\1/' <<<"$line")")
                address=${line##* http=}
                return ;;
        esac
        [ "$SECONDS" -lt "$deadline" ] || break
    done
    cat "$directory/log" >&2
    fail "no generation became ready"
}

# The clients' ends of all established connections to the server, as the kernel lists them.
client_ports() {
    awk -v server=":$(printf %04X "${address##*:}")$" '$3 ~ server && $4 == "01" { print $2 }' /proc/net/tcp | sort
}

# The server stops by itself within its drain's deadline; what is left then is killed, by its id.
clean_up() {
    trap - EXIT INT TERM
    [ -z "$wrk_pid" ] || kill "$wrk_pid" 2>/dev/null || true
    if [ ${#generations[@]} -gt 0 ]; then
        kill -TERM "$(cat "$directory/pid" 2>/dev/null || echo "${generations[-1]}")" 2>/dev/null || true
        local line deadline=$((SECONDS + 25))
        while [ "$SECONDS" -lt "$deadline" ] && IFS= read -r -t 25 -u 3 line; do :; done
        local pid
        for pid in "${generations[@]}"; do
            [ "$(readlink "/proc/$pid/exe" 2>/dev/null)" != "$server" ] || kill -KILL "$pid" 2>/dev/null || true
        done
    fi
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

"$server" --listen 127.0.0.1:0 --pid-file "$directory/pid" --threads "$server_threads" \
    >"$directory/lines" 2>"$directory/log" &
exec 3<"$directory/lines"
await_ready

wrk --latency -t "$threads" -c "$connections" -d "${duration}s" -s "$here/$script.lua" "http://$address/" \
    >"$directory/report" &
wrk_pid=$!
restarts=0 reconnects=0 ports=
while sleep "$every" && kill -0 "$wrk_pid" 2>/dev/null; do
    now=$(client_ports)
    [ -z "$ports" ] || reconnects=$((reconnects + $(comm -13 <(echo "$ports") <(echo "$now") | wc -l)))
    ports=$now
    # The file names whoever serves, whatever became of the last restart.
    kill -USR2 "$(cat "$directory/pid")" || fail "the server has ended: $(tail -n 1 "$directory/log")"
    await_ready
    restarts=$((restarts + 1))
done
wait "$wrk_pid" || fail "wrk failed"
wrk_pid=

cat "$directory/report"
socket_errors=$(sed -n 's/.*Socket errors: connect \([0-9]*\), read \([0-9]*\), write \([0-9]*\), timeout \([0-9]*\).*/\1+\2+\3+\4/p' \
    "$directory/report")
socket_errors=$((${socket_errors:-0}))
other_answers=$(sed -n 's/.*Non-2xx or 3xx responses: \([0-9]*\).*/\1/p' "$directory/report")
other_answers=${other_answers:-0}
# Each of these is meant to be new.
[ "$script" != fresh ] || reconnects=0
printf '\nrestarts       %s\nreconnects     %s\nsocket errors  %s\nnon-2xx        %s\n' \
    "$restarts" "$reconnects" "$socket_errors" "$other_answers"
[ "$restarts" -gt 0 ] || fail "wrk ended before the first restart: a longer --duration, or a shorter --every"
[ "$socket_errors" -eq 0 ] && [ "$other_answers" -eq 0 ] && [ "$reconnects" -eq 0 ]
