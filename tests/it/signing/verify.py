"""Verifies signed requests with the reference library of Standard Webhooks.

Reads a JSON list of {secret, headers, body} with the body in Base64, and prints a JSON list: null for what is genuine, else what is
wrong with it.
"""

import base64
import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError


def verdict(case):
    try:
        Webhook(case["secret"]).verify(base64.b64decode(case["body"]), case["headers"], json_parse=False)
    except WebhookVerificationError as error:
        return str(error)
    return None


print(json.dumps([verdict(case) for case in json.load(sys.stdin)]))
