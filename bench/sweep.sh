# What bench/vision and bench/encoders share: options, a pool of jobs, and how results become tables. Sourced behind lib.sh, with the
# working directory in the source tree. A result is a line of CSV in $out/runs/NAME; one that is there is not made again, so what was
# cut off goes on where it stopped.
methods='head bitfit lora hora full' seeds='1 2 3' jobs=1 threads='' device='' only='' root=../shared out='' rates='' dry=''

# usage_of FILE: the comment at its top
usage_of() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$1" >&2
    exit 2
}

# take OPTION VALUE: sets what all sweeps understand; false for another one
take() {
    case $1 in
        --data-root) root=$2 ;;
        --out) out=$2 ;;
        --device) device=$2 ;;
        --jobs) jobs=$2 ;;
        --threads) threads=$2 ;;
        --methods) methods=$(echo "$2" | tr ',+' '  ') ;;
        --seeds) seeds=$(echo "$2" | tr ',+' '  ') ;;
        --rates) rates="$rates $2" ;;
        *) return 1 ;;
    esac
}

# rates_of METHOD: those of --rates METHOD=A,B,C, else ours. Three for each, around what finds an optimum for a fresh head.
rates_of() {
    for r in $rates; do
        case $r in "$1"=*) echo "${r#*=}" | tr ',+' '  '; return ;; esac
    done
    case $1 in
        head) echo 3e-3 1e-2 3e-2 ;;
        bitfit) echo 1e-3 3e-3 1e-2 ;;
        full) echo 3e-5 1e-4 3e-4 ;;
        *) echo 5e-4 1.5e-3 5e-3 ;;
    esac
}

# prepare: checks what was given, and makes folders; sets each (threads of a job) and commit, cpu
prepare() {
    machine
    [ -d "$root/data" ] && [ -d "$root/models" ] || fail "--data-root $root: it should hold data and models"
    root=$(cd "$root" && pwd)
    HORA=$(cd "$(dirname "$HORA")" && pwd)/$(basename "$HORA")
    [ "$jobs" -gt 0 ] 2> /dev/null || fail "--jobs is a number of runs at a time, not $jobs"
    cores=$(getconf _NPROCESSORS_ONLN)
    each=${threads:-$(((cores + jobs - 1) / jobs))}
    mkdir -p "$out/runs" "$out/logs" "$out/work" "$out/lists" || exit 2
    claims=$(mktemp -d) || exit 2
    workers=''
    trap 'rm -rf "$claims"' EXIT
    trap 'stop_workers; exit 130' INT TERM
}

stop_workers() {
    for w in $workers; do
        kill "$w" 2> /dev/null
    done
    wait
}

# train NAME EVAL-DATA OPTIONS: one training; prints `trainable accuracy loss seconds` of its evaluation at the end
train() {
    name_=$1 eval_=$2
    shift 2
    dir=$out/work/$name_
    "$HORA" train --out "$dir" --overwrite --eval-data "$eval_" --no-eval-start --save-every 0 --threads "$each" \
        ${device:+--device "$device"} "$@" > "$out/logs/$name_" 2>&1 < /dev/null &
    child=$!
    trap 'kill $child 2> /dev/null; exit 1' TERM INT
    wait "$child" || { echo "$0: $name_: $(tail -n 1 "$out/logs/$name_") (all of it: $out/logs/$name_)" >&2; return 1; }
    trained=$(sed -n 's/^.*, \([0-9]*\) trained of .*/\1/p' "$out/logs/$name_" | tail -n 1)
    seconds=$(sed -n 's/^.* numbers, \([0-9.]*\) s$/\1/p' "$out/logs/$name_" | tail -n 1)
    last=$(grep '"eval_accuracy"' "$dir/log.jsonl" | tail -n 1)
    [ "$last" ] || { echo "$0: $name_: there is no evaluation in $dir/log.jsonl" >&2; return 1; }
    echo "$trained $(field "$last" eval_accuracy) $(field "$last" eval_loss) $seconds"
    rm -rf "$dir"
}

# worker LIST: does what is not done and nobody else has taken; `one` is the caller's and prints a line
worker() {
    bad=0
    while read -r name rest; do
        [ -s "$out/runs/$name" ] && continue
        mkdir "$claims/$name" 2> /dev/null || continue
        # shellcheck disable=SC2086 # words of a job
        if one "$name" $rest > "$claims/$name/row" && [ -s "$claims/$name/row" ]; then
            cp "$claims/$name/row" "$out/runs/$name.new" && mv "$out/runs/$name.new" "$out/runs/$name"
            echo "$(date +%H:%M:%S) $(cat "$out/runs/$name")" >&2
        else
            bad=1
        fi
    done < "$1"
    exit "$bad"
}

# pool LIST: a job a line, its name first; all of them, --jobs at a time
pool() {
    todo=$(while read -r name rest; do [ -s "$out/runs/$name" ] || echo "$name"; done < "$1" | grep -c .)
    echo "$(basename "$1"): $(grep -c . "$1") runs, $todo to do, $jobs at a time, $each threads each" >&2
    i=0 failed=0
    while [ "$i" -lt "$jobs" ]; do
        worker "$1" &
        workers="$workers $!"
        i=$((i + 1))
    done
    for w in $workers; do
        wait "$w" || failed=1
    done
    workers=''
    [ "$failed" = 0 ] || fail "some runs failed; the same command goes on with what is missing"
}

# rows LIST: the results of the list's jobs, in its order
rows() {
    while read -r name rest; do
        cat "$out/runs/$name"
    done < "$1"
}

# best COLUMN-OF-RATE COLUMN-OF-ACCURACY: of the CSV on stdin, the rate with the highest accuracy; the smaller one where equal
best() {
    sort -t, -k"$2","$2"gr -k"$1","$1"g | head -n 1 | cut -d, -f"$1"
}

# spread KEYS VALUE: CSV on stdin; for each group of equal first KEYS columns, in order, the keys and `mean,deviation,n` of column VALUE
spread() {
    awk -F, -v keys="$1" -v at="$2" '
        {
            k = $1
            for (i = 2; i <= keys; i++) k = k "," $i
            if (!(k in n)) order[++groups] = k
            n[k]++
            sum[k] += $at
            square[k] += $at * $at
        }
        END {
            for (g = 1; g <= groups; g++) {
                k = order[g]
                mean = sum[k] / n[k]
                var = n[k] > 1 ? (square[k] - n[k] * mean * mean) / (n[k] - 1) : 0
                printf "%s,%.4f,%.4f,%d\n", k, mean, sqrt(var > 0 ? var : 0), n[k]
            }
        }'
}
