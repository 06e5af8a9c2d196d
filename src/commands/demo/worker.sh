# A worker that reads its pause anew before every request.
# $1: its settings, $2: its log, $3: the shortest pause (ms) that its upstream allows, or nothing: none is long enough.
while [ -f "$1" ]; do
    pause=$(sed -n 's/^pause_ms *= *\([0-9]*\).*/\1/p' "$1")
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    if [ -z "$3" ] || [ "${pause:-0}" -lt "$3" ]; then
        echo "$now ERROR request failed: 429 Client Error: Too Many Requests for url: http://upstream.example/v1" >> "$2"
    else
        echo "$now INFO request done" >> "$2"
    fi
    sleep "$(printf '%d.%03d' $((pause / 1000)) $((pause % 1000)))"
done
