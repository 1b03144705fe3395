#!/usr/bin/env bash
# What the crate adds to the build of a user's program.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: compile.sh [--runs N] [--release]

Builds the README's program with the crate's default features, and the same program with plain axum, each from nothing
in a target directory of its own and without the network; prints crates compiled and seconds (the median of N runs, 2).
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

# Prints "crates milliseconds".
build() {
    local began ended
    rm -rf "$place/$1/target"
    began=$(date +%s%3N)
    cargo build --offline $profile --manifest-path "$place/$1/Cargo.toml" 2>"$place/$1/log" || { cat "$place/$1/log" >&2; exit 1; }
    ended=$(date +%s%3N)
    echo "$(grep -c '^ *Compiling' "$place/$1/log") $((ended - began))"
}

for _ in $(seq "$runs"); do
    for program in plain ours; do
        build "$program" >>"$place/$program.figures"
    done
done
echo "program   crates   seconds (median of $runs)"
for program in plain ours; do
    sort -n -k2 "$place/$program.figures" | awk -v name="$program" '
        { crates = $1; times[NR] = $2 }
        END {
            median = (times[int((NR + 1) / 2)] + times[int((NR + 2) / 2)]) / 2
            printf "%-9s %6d %9.1f\n", name, crates, median / 1000
        }'
done
