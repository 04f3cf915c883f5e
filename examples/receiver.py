#!/usr/bin/env python3
"""A worker that is sent its runs, in Python without any package. It registers the URL where it is reached:

    MC_URL=http://127.0.0.1:8080 MC_API_KEY=mc_live_… RECEIVER_URL=https://worker.example.com/ python3 examples/receiver.py
"""
import base64, hashlib, hmac, http.server, json, os, threading, time, urllib.request

URL, KEY = os.environ.get("MC_URL", "http://127.0.0.1:8080"), os.environ["MC_API_KEY"]
FUNCTIONS = {"lower": lambda arguments: {"text": arguments["text"].lower()}}


def call(path, body):
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), method="POST",
                                     headers={"X-API-Key": KEY, "Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=60))


def is_signed(headers, body):
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    tag = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
    given = [one[3:] for one in (headers["webhook-signature"] or "").split() if one.startswith("v1,")]
    recent = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return recent and any(hmac.compare_digest(tag, one) for one in given)


def execute(item):
    path, token = f"/v1/task-runs/{item['run']['id']}/attempts/{item['attempt']}", {"leaseToken": item["leaseToken"]}
    try:  # what takes longer than a lease beats, as worker.py does
        call(f"{path}/complete", {**token, "output": FUNCTIONS[item["tool"]["config"]["function"]](item["tool"]["arguments"])})
    except Exception as error:
        failed = {"type": type(error).__name__, "message": str(error)[:2000], "retryable": False}
        call(f"{path}/fail", {**token, "error": failed})


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            taken = is_signed(self.headers, body)
        except (KeyError, TypeError, ValueError):
            taken = False
        self.send_response(202 if taken else 401)
        self.end_headers()
        if taken:  # answered first: the work is told by its own calls
            threading.Thread(target=execute, args=(json.loads(body),)).start()


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "0"))), Receiver)
where = os.environ.get("RECEIVER_URL", f"http://127.0.0.1:{server.server_port}/")
me = call("/v1/workers", {"name": "receiver", "capabilities": [f"function:{name}" for name in FUNCTIONS],
                          "slots": 4, "delivery": {"url": where, "newSecret": True}})
SECRET = base64.b64decode(me["deliverySecret"].removeprefix("whsec_"))
server.serve_forever()
