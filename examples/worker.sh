#!/usr/bin/env bash
# A worker in shell, with curl and jq. It serves the function `shout`, one run at a time:
#
#   MC_URL=http://127.0.0.1:8080 MC_API_KEY=mc_live_… examples/worker.sh
set -euo pipefail
url=${MC_URL:-http://127.0.0.1:8080} stopping=
trap 'stopping=1' TERM INT

# call PATH BODY: every call may be repeated, so curl does it by itself.
call() {
  curl -sS --fail-with-body --retry 3 -X POST "$url$1" -d "$2" \
    -H "X-API-Key: $MC_API_KEY" -H 'Content-Type: application/json'
}

# What this worker does: arguments in, output out, both JSON. A status that is not 0 fails the attempt.
shout() { jq '{text: (.text | ascii_upcase + "!")}'; }

me=$(call /v1/workers "$(jq -n --arg name "shell@$(uname -n)" '{name: $name, capabilities: ["function:shout"]}')")
worker=/v1/workers/$(jq -r .id <<<"$me") every=$(jq -r .heartbeatSeconds <<<"$me")

while [ -z "$stopping" ]; do
  item=$(call "$worker/claim" '{"max": 1, "waitMs": 10000}' | jq -c '.data[0] // empty')
  [ -n "$item" ] || continue
  lease=$(jq -c '{runId: .run.id, attempt, leaseToken}' <<<"$item")
  while sleep "$every"; do call "$worker/heartbeat" "{\"leases\": [$lease]}" >&2; done & beat=$!
  attempt=/v1/task-runs/$(jq -r '"\(.run.id)/attempts/\(.attempt)"' <<<"$item")
  token=$(jq -c '{leaseToken}' <<<"$item")
  if output=$(jq -c .tool.arguments <<<"$item" | shout 2>&1); then
    call "$attempt/complete" "$(jq -c --argjson output "$output" '. + {output: $output}' <<<"$token")" >/dev/null || true
  else
    error=$(jq -n --arg message "${output:0:2000}" '{type: "shout_failed", message: $message, retryable: false}')
    call "$attempt/fail" "$(jq -c --argjson error "$error" '. + {error: $error}' <<<"$token")" >/dev/null || true
  fi
  kill "$beat" 2>/dev/null || true
done
