// Exchanges a retrieval key at the token endpoint with oauth4webapi and openid-client, unchanged.
// Usage: node token-endpoint.mjs URL LOGIN PASSWORD KEY UNKNOWN_KEY

import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";
import { check, done, rejected } from "./checks.mjs";

const [url, login, password, key, unknown] = process.argv.slice(2);
assert.ok(unknown, "usage: node token-endpoint.mjs URL LOGIN PASSWORD KEY UNKNOWN_KEY");

const grantType = "urn:ietf:params:oauth:grant-type:token-exchange";
const accessTokenType = "urn:ietf:params:oauth:token-type:access_token";
const keyType = "urn:latchkey:params:oauth:token-type:retrieval-key";
const metadata = { issuer: url, token_endpoint: `${url}/oauth2/token` };
const insecure = { [oauth.allowInsecureRequests]: true };
const asked = { subject_token: key, subject_token_type: keyType };

async function exchange(authentication, parameters, clientId = login) {
  const client = { client_id: clientId };
  const answer = await oauth.genericTokenEndpointRequest(metadata, client, authentication, grantType, parameters, insecure);
  return oauth.processGenericTokenEndpointResponse(metadata, client, answer);
}

async function got() {
  const answer = await fetch(`${url}/api/v1/Agents/User/GetExternalTokens`, {
    method: "POST",
    headers: {
      Authorization: `Basic ${Buffer.from(`${login}:${password}`).toString("base64")}`,
      "Content-Type": "application/json",
    },
    body: JSON.stringify({ Key: key }),
  });
  return (await answer.json()).AccessToken;
}

function assertIssued(issued, token) {
  assert.equal(issued.access_token, token);
  assert.equal(issued.token_type, "bearer");
  assert.equal(issued.issued_token_type, accessTokenType);
  assert.ok(issued.expires_in > 3500 && issued.expires_in <= 3600, `${issued.expires_in}`);
}

let token;

await check("oauth4webapi with Basic gets a fresh token", async () => {
  const issued = await exchange(oauth.ClientSecretBasic(password), asked);
  token = issued.access_token;
  assertIssued(issued, await got());
});

await check("oauth4webapi with the secret in the form gets the same", async () => {
  const parameters = { ...asked, subject_token_type: accessTokenType, requested_token_type: accessTokenType };
  assertIssued(await exchange(oauth.ClientSecretPost(password), parameters), token);
});

await check("oauth4webapi with an access token of the server gets the same", async () => {
  const answer = await fetch(`${url}/api/v1/User/currentToken`, {
    headers: { Authorization: `Basic ${Buffer.from(`${login}:${password}`).toString("base64")}` },
  });
  const bearer = `Bearer ${await answer.json()}`;
  const authentication = (_server, _client, _body, headers) => headers.set("authorization", bearer);
  assertIssued(await exchange(authentication, asked), token);
});

await check("oauth4webapi reads a wrong password as a challenge", async () => {
  for (const [clientId, secret] of [[login, `${password}x`], ["nobody", password]]) {
    const error = await rejected(exchange(oauth.ClientSecretBasic(secret), asked, clientId));
    assert.ok(error instanceof oauth.WWWAuthenticateChallengeError, error.stack);
    assert.equal(error.status, 401);
    assert.ok(error.cause.some((challenge) => challenge.scheme === "basic"), error.stack);
    assert.equal((await error.response.json()).error, "invalid_client");
  }
});

await check("oauth4webapi reads errors", async () => {
  for (const [parameters, code] of [
    [{ ...asked, subject_token: unknown }, "invalid_grant"],
    [{ ...asked, subject_token: "no key" }, "invalid_grant"],
    [{ ...asked, subject_token: "lk_cut" }, "invalid_request"],
    [{ ...asked, subject_token_type: "urn:ietf:params:oauth:token-type:jwt" }, "invalid_request"],
    [{ ...asked, audience: "https://api.example.com" }, "invalid_target"],
    [{ ...asked, scope: "more" }, "invalid_scope"],
    [{ subject_token_type: keyType }, "invalid_request"],
  ]) {
    const error = await rejected(exchange(oauth.ClientSecretBasic(password), parameters));
    assert.ok(error instanceof oauth.ResponseBodyError, error.stack);
    assert.deepEqual([error.status, error.error], [400, code]);
    assert.ok(error.error_description.length > 10, error.error_description);
  }
});

await check("openid-client gets the same", async () => {
  for (const authentication of [openid.ClientSecretBasic(password), openid.ClientSecretPost(password), undefined]) {
    const configuration = new openid.Configuration(metadata, login, password, authentication);
    openid.allowInsecureRequests(configuration);
    const issued = await openid.genericGrantRequest(configuration, grantType, asked);
    assertIssued(issued, token);
    assert.ok(issued.expiresIn() > 3500);
    const error = await rejected(openid.genericGrantRequest(configuration, grantType, { ...asked, subject_token: unknown }));
    assert.ok(error instanceof openid.ResponseBodyError, error.stack);
    assert.equal(error.error, "invalid_grant");
  }
});

done();
