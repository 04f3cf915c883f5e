"""Prints an API key of the platform's administrator, who owns a tenant: one that may do everything.

    key.py URL E-MAIL PASSWORD
"""

import json
import sys
import urllib.request

url, email, password = sys.argv[1:]


def post(path, body, token=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


token = post("/v1/auth/login", {"email": email, "password": password})["accessToken"]
print(post("/v1/api-keys", {"name": "contract", "scopes": ["*"]}, token)["key"])
