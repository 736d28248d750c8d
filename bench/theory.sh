#!/bin/sh
# The full `hora theory rates` (every teacher, student and start) and the simulated `hora theory lowdata`. Results, among them
# rates.json and lowdata.json, stay in the folder given (default out/bench-theory). A run that was cut off goes on where it
# stopped. usage: bench/theory.sh [DIR]; HORA=path of the tool
set -eu
cd "$(dirname "$0")/.."
hora=${HORA:-build/hora}
out=${1:-out/bench-theory}
mkdir -p "$out"
"$hora" --version --json > "$out/machine.json"
"$hora" theory rates --all --out "$out" > "$out/rates.txt"
"$hora" theory lowdata --out "$out" > "$out/lowdata.txt"
echo "$out: rates.json lowdata.json; verdicts:"
sed -n '/^verdicts/,/^limits/p' "$out/rates.txt" "$out/lowdata.txt" | grep -E '^(supported|refuted|not shown)'
