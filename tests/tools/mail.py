#!/usr/bin/env python3
"""A real SMTP server (aiosmtpd) on loopback for tests.

mail.py DIR [tls|starttls|none] [USER PASSWORD]

Prints its port. TLS uses DIR/server.pem and DIR/server.key. Each mail becomes a line of JSON in DIR/mails.jsonl, with what
the server knows of the connection: whether it was encrypted, and who logged in. Ends with its standard input.
"""
import asyncio
import email
import email.policy
import json
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

directory = pathlib.Path(sys.argv[1])
security = sys.argv[2] if len(sys.argv) > 2 else "none"
login = tuple(sys.argv[3:5]) if len(sys.argv) > 4 else None


class Keep:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": str(message["Subject"]),
            "message_id": str(message["Message-ID"]),
            "references": str(message["References"]),
            "auto_submitted": str(message["Auto-Submitted"]),
            "text": message.get_content(),
            "encrypted": session.ssl is not None or security == "tls",
            "user": session.auth_data,
        }
        with open(directory / "mails.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(mail) + "\n")
        return "250 kept"


def check(server, session, envelope, mechanism, data):
    user = data.login.decode()
    if login and (user, data.password.decode()) == login:
        return AuthResult(success=True, auth_data=user)
    return AuthResult(success=False, handled=False)


context = None
if security != "none":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", directory / "server.key")

options = {"hostname": "127.0.0.1"}
if login:
    options |= {"auth_required": True, "authenticator": check, "auth_require_tls": security == "starttls"}
if security == "starttls":
    options |= {"tls_context": context, "require_starttls": True}


async def serve():
    loop = asyncio.get_running_loop()
    make = lambda: SMTP(Keep(), loop=loop, **options)
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=context if security == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(serve())
