# What compare and scaling share. Sourced, with the working directory in the source tree; HORA is the tool, LEDGER the file that rows are added to.
HORA=${HORA:-build/hora}
ledger=${LEDGER:-bench/ledger.csv}
head=date,cpu,threads,engine,commit,shape,dtype,method,options,units_per_s,step_ms,mfu,peak_gflops,peak_rss_mib,load_s

fail() {
    echo "$0: $*" >&2
    exit 2
}

# field JSON KEY: the value of a key that stands once in one line of JSON; empty for null and for none
field() {
    printf '%s\n' "$1" | sed -n 's/.*"'"$2"'": *"\{0,1\}\([^,"}]*\).*/\1/p' | sed 's/^null$//'
}

# median of the numbers on stdin, one a line; empty for none
median() {
    sed '/^$/d' | sort -n | awk '{ v[NR] = $1 } END { if (NR) printf "%.6g\n", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

largest() {
    sed '/^$/d' | sort -n | awk '{ v = $1 } END { if (NR) printf "%.6g\n", v }'
}

smallest() {
    sed '/^$/d' | sort -n | awk 'NR == 1 { printf "%.6g\n", $1 }'
}

# column FILE KEY: that key of every line of results
column() {
    while IFS= read -r json; do
        field "$json" "$2"
    done < "$1"
}

# machine: sets cpu and commit. Virtual machines of different processors say the same model; the instruction set tells them apart.
machine() {
    [ -x "$HORA" ] || fail "there is no tool at $HORA; build it (cmake --build build) or give HORA=PATH"
    version=$("$HORA" --version --json) || exit 2
    cpu="$(field "$version" cpu) ($(field "$version" isa))"
    commit=$(field "$version" commit)
}

# put_row ENGINE COMMIT THREADS SHAPE DTYPE METHOD OPTIONS UNITS_PER_S STEP_MS MFU PEAK_GFLOPS PEAK_RSS_MIB LOAD_S
put_row() {
    [ -f "$ledger" ] || echo "$head" > "$ledger"
    engine=$1 commit_=$2 threads_=$3
    shift 3
    echo "$(date -u +%Y-%m-%dT%H:%MZ),\"$cpu\",$threads_,$engine,$commit_,$1,$2,$3,\"$4\",$5,$6,$7,$8,$9,${10}" >> "$ledger"
}

# ledger_row FILE: the medians of a file of hora's results, and the largest memory
ledger_row() {
    one=$(head -n 1 "$1")
    options="rank=$(field "$one" rank) targets=$(field "$one" targets) recomputed=$(field "$one" recomputed)"
    options="$options batch=$(field "$one" batch_size)x$(field "$one" seq_len)"
    put_row hora "$commit" "$(field "$one" threads)" "$(field "$one" shape)" "$(field "$one" dtype)" "$(field "$one" method)" "$options" \
        "$(column "$1" units_per_s | median)" "$(column "$1" step_ms | median)" "$(column "$1" mfu | median)" \
        "$(column "$1" peak_gflops | largest)" "$(column "$1" "${memory:-peak_rss_mib}" | largest)" "$(column "$1" load_s | median)"
}
