"""A real SMTP server for the tests: it prints its port, then each mail that it takes as a line of JSON.

The name before the @ says how a recipient is received: busy-N is refused N times with 451, unknown
always with 550.
"""

import asyncio
import email
import email.policy
import json
from collections import Counter

from aiosmtpd.smtp import SMTP


class Handler:
    def __init__(self):
        self.refused = Counter()

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "unknown":
            return f"550 5.1.1 no {address} here"
        if name.startswith("busy-") and self.refused[address] < int(name.removeprefix("busy-")):
            self.refused[address] += 1
            return "451 4.3.0 come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        taken = {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "headers": {name.lower(): value for name, value in mail.items()},
            "text": mail.get_content(),
        }
        print(json.dumps(taken), flush=True)
        return "250 OK"


async def main():
    handler = Handler()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
