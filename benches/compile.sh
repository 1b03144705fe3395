#!/usr/bin/env bash
# What the crate adds to the build of a user's program.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: compile.sh [--runs N] [--release]

Builds the README's program with the crate's default features, and the same program with plain axum, each from nothing
in a target directory of its own and without the network; prints crates compiled, seconds, and seconds of processor time,
which a busy machine changes less (medians of N runs, 2).
USAGE
}

runs=2 profile=
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --runs) runs=${2:?--runs needs a value}; shift 2 ;;
        --release) profile=--release; shift ;;
        *) usage >&2; exit 2 ;;
    esac
done
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
unset CARGO_TARGET_DIR

# $1: name; $2: dependencies beside axum and tokio; the program on stdin
package() {
    mkdir -p "$place/$1/src"
    cat >"$place/$1/src/main.rs"
    cat >"$place/$1/Cargo.toml" <<TOML
[package]
name = "$1"
edition = "2024"

[dependencies]
axum = "0.8"
tokio = { version = "1", features = ["macros", "net", "rt-multi-thread"] }
$2

[workspace]
TOML
    cp "$root/Cargo.lock" "$place/$1/" # the versions that are there
}

package ours "tokio-hotrestart = { path = \"$root\" }" <"$root/examples/readme.rs"
package plain "" <<'RUST'
use axum::{Router, routing::get};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
    let app = Router::new().route("/", get(|| async { "hello" }));
    axum::serve(listener, app).await
}
RUST

# Prints "crates seconds processor-seconds".
build() {
    local TIMEFORMAT='%R %U %S' log=$place/$1/log
    rm -rf "$place/$1/target"
    { time cargo build --offline $profile --manifest-path "$place/$1/Cargo.toml" >"$log" 2>&1; } 2>"$place/time" ||
        { cat "$log" >&2; exit 1; }
    awk -v crates="$(grep -c '^ *Compiling' "$log")" '{ print crates, $1, $2 + $3 }' "$place/time"
}

# $1: program; $2: column
median() {
    sort -n -k"$2,$2" "$place/$1.figures" |
        awk -v column="$2" '{ values[NR] = $column } END { print (values[int((NR + 1) / 2)] + values[int((NR + 2) / 2)]) / 2 }'
}

for _ in $(seq "$runs"); do
    for program in plain ours; do
        build "$program" >>"$place/$program.figures"
    done
done
printf '%-9s %8s %9s %11s   (medians of %d)\n' program crates seconds processor "$runs"
for program in plain ours; do
    printf '%-9s %8d %9.1f %11.1f\n' "$program" "$(median "$program" 1)" "$(median "$program" 2)" "$(median "$program" 3)"
done
