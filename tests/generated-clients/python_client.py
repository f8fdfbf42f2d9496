"""Saves and gets by the client that openapi-python-client generated, in every type that it can send.

Invariant: run as `python_client.py FOLDER URL`, it prints that its checks passed, or fails.
"""

import base64
import sys

folder, url = sys.argv[1:]
sys.path.insert(0, folder)

from latchkey_client import Client, models  # noqa: E402
from latchkey_client.api.user_agent import get_external_tokens, save_external_tokens  # noqa: E402

credentials = base64.b64encode(b"tje0:Tje0").decode()
client = Client(base_url=url, headers={"Authorization": f"Basic {credentials}"})

tokens = models.CarrierToSave(provider="et", access_token="fugit", refresh_token="odit")
bodies = [
    models.SaveExternalTokens(token_management_info=tokens),
    models.SaveExternalTokensMergePatch(token_management_info=tokens),
    models.SaveExternalTokensForm(provider="et", access_token="fugit", refresh_token="odit"),
]
for body in bodies:
    key = save_external_tokens.sync(client=client, body=body)
    assert isinstance(key, str), key
    got = get_external_tokens.sync(client=client, body=models.GetExternalTokens(key=key))
    assert isinstance(got, models.TokenManagementInfo), got
    assert (got.provider, got.access_token, got.refresh_token) == ("et", "fugit", "odit")

nothing = models.CarrierToSave(provider="et")
refused = save_external_tokens.sync(
    client=client, body=models.SaveExternalTokens(token_management_info=nothing)
)
assert isinstance(refused, models.Error) and refused.error_type == "ArgumentException", refused
print("all checks passed")
