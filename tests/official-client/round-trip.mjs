// Saves and gets external tokens with SuperOffice's own client, unchanged.
// Usage: node round-trip.mjs URL UNKNOWN_KEY, where the key is well-formed and belongs to no record.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { check, client, done, rejected } from "./checks.mjs";

// The package's ES module build is for bundlers. Node uses its CommonJS build.
const require = createRequire(import.meta.url);

const [url, unknownKey] = process.argv.slice(2);
assert.ok(url && unknownKey, "usage: node round-trip.mjs URL UNKNOWN_KEY");
const { WebApi } = require(client);
const { Create_SoPrincipalCarrier_From } = require(`${client}/Converters.js`);
const enums = require(`${client}/Enums.js`);
// Version 10 has no claims.
const knowsClaims = !client.endsWith("-10");
const claims = JSON.stringify({ sub: "1", name: "Åse Ødegård" });
const carrier = { provider: "et", accessToken: "fugit", refreshToken: "odit", claims };

const api = new WebApi(`${url}/api/`);
api.authenticateWithPassword("tje0", "Tje0");
const agent = api.getUserAgent();

await check("saves a carrier and gets it back", async () => {
  const key = await agent.saveExternalTokensAsync(carrier);
  assert.match(key, /^lk_[0-9A-Za-z]{60}$/);
  const got = await agent.getExternalTokensAsync(key);
  assert.equal(got.provider, "et");
  assert.equal(got.accessToken, "fugit");
  assert.equal(got.refreshToken, "odit");
  if (knowsClaims) assert.equal(got.claims, claims);
  assert.equal(got.tableRight.mask, 15, "FULL");
  assert.equal(got.fieldProperties.AccessToken.fieldLength, 65536);
});

await check("takes the request object as well", async () => {
  const key = await agent.saveExternalTokensAsync({ tokenManagementInfo: carrier });
  const got = await agent.getExternalTokensAsync({ key });
  assert.equal(got.accessToken, "fugit");
});

await check("saves again what it got", async () => {
  const got = await agent.getExternalTokensAsync(await agent.saveExternalTokensAsync(carrier));
  got.accessToken = "another";
  const again = await agent.getExternalTokensAsync(await agent.saveExternalTokensAsync(got));
  assert.equal(again.accessToken, "another");
  assert.equal(again.refreshToken, "odit");
});

await check("gets null for a key that retrieves nothing", async () => {
  assert.equal(await agent.getExternalTokensAsync(unknownKey), null);
});

await check("is told that a key is mistyped", async () => {
  const error = await rejected(agent.getExternalTokensAsync(unknownKey.slice(0, -1) + "!"));
  assert.equal(error.response.status, 400);
  assert.equal(error.response.data.ErrorType, "ArgumentException");
  assert.match(error.response.data.Message, /^Key /);
});

await check("is told why a carrier is refused", async () => {
  const error = await rejected(agent.saveExternalTokensAsync({ accessToken: "fugit" }));
  assert.equal(error.response.status, 400);
  assert.match(error.response.data.Message, /TokenManagementInfo\.Provider is required/);
  assert.equal(error.response.data.ErrorMessage, error.response.data.Message);
});

await check("reads who is calling with its own converter", async () => {
  const authorization = `Basic ${btoa("tje0:Tje0")}`;
  const headers = { accept: "application/json", authorization };
  const response = await fetch(`${url}/api/v1/User/currentPrincipal`, { headers });
  const principal = Create_SoPrincipalCarrier_From(await response.json());
  assert.equal(principal.associate, "tje0");
  assert.equal(principal.fullName, "tje0");
  assert.equal(principal.roleName, "Administrator");
  assert.equal(principal.databaseContextIdentifier, "default");
  assert.equal(principal.userType, enums.UserType.InternalAssociate);
  assert.equal(principal.roleType, enums.RoleType.Employee);
  assert.equal(principal.ejUserStatus, enums.EjUserStatus.StatusNone);
  for (const id of ["associateId", "personId", "contactId", "groupId", "roleId"]) {
    assert.equal(principal[id], 0, id);
  }
  for (const list of ["licenses", "functionRights", "providedCredentials", "secondaryGroups"]) {
    assert.deepEqual(principal[list], [], list);
  }
});

await check("gets an access token of the agent", async () => {
  const token = await agent.getAccessTokenAsync("", false);
  assert.match(token, /^8A:default\./);
  const headers = { accept: "application/json", authorization: `Bearer ${token}` };
  const response = await fetch(`${url}/api/v1/User/currentPrincipal`, { headers });
  assert.equal(response.status, 200);
});

await check("is refused with a wrong password", async () => {
  const other = new WebApi(`${url}/api/`);
  other.authenticateWithPassword("tje0", "wrong");
  const error = await rejected(other.getUserAgent().saveExternalTokensAsync(carrier));
  assert.equal(error.response.status, 401);
  assert.match(error.response.headers["www-authenticate"], /^Basic realm=/);
});

done();
