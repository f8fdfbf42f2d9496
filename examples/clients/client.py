"""Saves tokens in Latchkey, and gets them by their key. It needs Python 3.9 or later, and no packages.

    client.py save    < tokens.json    prints the key
    client.py get     < key            prints an access token that works
    client.py refresh < both           prints another one; reads the key and the rejected token, a line each

Exit status: 2 if the user must connect again, 1 after any other error.
"""

import base64
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

SERVER = os.environ.get("LATCHKEY_URL", "http://127.0.0.1:8080")
LOGIN = os.environ.get("LATCHKEY_LOGIN", "tje0")
PASSWORD = os.environ.get("LATCHKEY_PASSWORD", "Tje0")
# How long a call may take, including retries, in seconds.
PATIENCE = 60


class ConnectAgain(Exception):
    """The grant has ended. After the user has connected again, the same key retrieves the new tokens."""


def call(operation, body, once=None):
    """`once` is the Idempotency-Key of a save. With it the server saves once, however often the call is sent."""
    basic = base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Content-Type": "application/json"}
    if once:
        headers["Idempotency-Key"] = once
    url = f"{SERVER}/api/v1/Agents/{operation}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    end = time.monotonic() + PATIENCE
    while True:
        pause = 1
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            problem = f"{error.code}: {message(error)}"
            if error.code == 424:
                raise ConnectAgain(problem) from None
            # 401 is a wrong login: a retry would count as another wrong password.
            if error.code not in (429, 503):
                raise RuntimeError(problem) from None
            pause = int(error.headers.get("Retry-After", 1))
        except (OSError, http.client.HTTPException) as error:
            # There is no answer. The server may or may not have done the call.
            problem = f"no answer: {error}"
        if time.monotonic() + pause > end:
            raise RuntimeError(problem)
        time.sleep(pause)


def message(error):
    text = error.read().decode(errors="replace")
    return json.loads(text)["Message"] if "json" in error.headers.get_content_type() else text


def save(tokens):
    return call("User/SaveExternalTokens", {"TokenManagementInfo": tokens}, str(uuid.uuid4()))


def get(key):
    return access_token(call("User/GetExternalTokens", {"Key": key}))


def refresh(key, stale):
    """Gets another token after the provider's API answered 401 to `stale`. Do this once per request."""
    return access_token(call("ExternalTokens/Refresh", {"Key": key, "StaleAccessToken": stale}))


def access_token(answer):
    if not answer or not answer["AccessToken"]:
        raise RuntimeError("the key retrieves nothing")
    return answer["AccessToken"]


def main():
    lines = sys.stdin.read()
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        if command == "save":
            print(save(json.loads(lines)))
        elif command == "get":
            print(get(lines.strip()))
        elif command == "refresh":
            print(refresh(*lines.split()))
        else:
            raise RuntimeError("save, get or refresh?")
    except ConnectAgain as error:
        print(error, file=sys.stderr)
        return 2
    except (RuntimeError, ValueError, TypeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
