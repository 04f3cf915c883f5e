#!/usr/bin/env python3
"""A worker in Python, without any package. It serves the functions below, one run at a time:

    MC_URL=http://127.0.0.1:8080 MC_API_KEY=mc_live_… python3 examples/worker.py
"""
import json, os, signal, socket, threading, time, urllib.error, urllib.request

URL, KEY = os.environ.get("MC_URL", "http://127.0.0.1:8080"), os.environ["MC_API_KEY"]
FUNCTIONS = {"upper": lambda arguments: {"text": arguments["text"].upper()}}
stopping, held, lost = threading.Event(), {}, set()


def call(path, body):
    for pause in (1, 2, 4, None):  # every call may be repeated: its answer is the same
        request = urllib.request.Request(URL + path, json.dumps(body).encode(), method="POST",
                                         headers={"X-API-Key": KEY, "Content-Type": "application/json"})
        try:
            return json.load(urllib.request.urlopen(request, timeout=60))
        except OSError as error:
            if pause is None or getattr(error, "code", 503) not in (429, 500, 502, 503, 504):
                raise
        time.sleep(pause)


def beat(worker):
    while not stopping.wait(worker["heartbeatSeconds"]):
        leases = [{name: lease[name] for name in ("runId", "attempt", "leaseToken")} for lease in list(held.values())]
        answer = call(f"/v1/workers/{worker['id']}/heartbeat", {"leases": leases})
        lost.update(lease["runId"] for lease in answer["leases"] if lease["state"] != "OK")
        if answer["command"] == "DRAIN":
            stopping.set()


def execute(worker, item):
    run, attempt = item["run"]["id"], item["attempt"]
    path, token = f"/v1/task-runs/{run}/attempts/{attempt}", {"leaseToken": item["leaseToken"]}
    held[run] = {"runId": run, "attempt": attempt, **token}
    try:
        output = FUNCTIONS[item["tool"]["config"]["function"]](item["tool"]["arguments"])
        verb, body = ("release", {}) if run in lost else ("complete", {"output": output, "claimNext": not stopping.is_set()})
    except Exception as error:
        verb, body = "fail", {"error": {"type": type(error).__name__, "message": str(error)[:2000], "retryable": False}}
    try:
        return call(f"{path}/{verb}", {**token, **body})["next"]
    except urllib.error.HTTPError as error:
        print("the run is somebody else's now" if error.code == 409 else error.read().decode())
    finally:
        held.pop(run), lost.discard(run)


for name in (signal.SIGTERM, signal.SIGINT):
    signal.signal(name, lambda *_: stopping.set())
me = call("/v1/workers", {"name": f"python@{socket.gethostname()}", "capabilities": [f"function:{name}" for name in FUNCTIONS]})
threading.Thread(target=beat, args=(me,), daemon=True).start()
while not stopping.is_set():
    for item in call(f"/v1/workers/{me['id']}/claim", {"max": 1, "waitMs": 10000})["data"]:
        while item := execute(me, item):
            pass
