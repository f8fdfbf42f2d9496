// Authenticates by ticket and by token with SuperOffice's own client, unchanged.
// Usage: node schemes.mjs URL TICKET TOKEN APPLICATION_TOKEN, against an online installation
//    or: node schemes.mjs URL TICKET --onsite

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { check, client, done, rejected } from "./checks.mjs";

// The package's ES module build is for bundlers. Node uses its CommonJS build.
const require = createRequire(import.meta.url);
const { WebApi } = require(client);
const { WebApiBase } = require(`${client}/WebApiBase.js`);

const [url, ticket, token, applicationToken] = process.argv.slice(2);
const onsite = token === "--onsite";
assert.ok(
  url && ticket && (onsite || applicationToken),
  "usage: node schemes.mjs URL TICKET (TOKEN APPLICATION_TOKEN | --onsite)",
);

const carrier = { provider: "et", accessToken: "fugit", refreshToken: "odit" };

function userAgent(authenticate) {
  // The client keeps the first options of a process for all agents.
  WebApiBase._global_options = undefined;
  const api = new WebApi(`${url}/api/`);
  authenticate(api);
  return api.getUserAgent();
}

function online(authenticate) {
  return userAgent((api) => {
    authenticate(api);
    api.applicationToken(applicationToken);
  });
}

async function savesAndGets(saver, getter = saver) {
  const key = await saver.saveExternalTokensAsync(carrier);
  const got = await getter.getExternalTokensAsync(key);
  assert.equal(got.accessToken, "fugit");
  assert.equal(got.refreshToken, "odit");
}

async function unauthorized(agent) {
  const error = await rejected(agent.saveExternalTokensAsync(carrier));
  assert.equal(error.response?.status, 401, error.message);
  return error.response.headers["www-authenticate"];
}

function altered(ticket) {
  const at = Math.floor(ticket.length / 2);
  return ticket.slice(0, at) + (ticket[at] === "A" ? "B" : "A") + ticket.slice(at + 1);
}

const byTicket = (api) => api.authenticateWithTicket(ticket);
const byWrongTicket = (api) => api.authenticateWithTicket(altered(ticket));
const byToken = (api) => api.authenticateWithToken(token);
const byTicketAsUser = (api) => api.authenticateWithPassword(ticket, "");

if (onsite) {
  await check("saves and gets by ticket alone", () => savesAndGets(userAgent(byTicket)));

  await check("saves and gets by a ticket as the user name, with no password", () =>
    savesAndGets(userAgent(byTicketAsUser)));

  await check("is refused with a wrong ticket", async () => {
    assert.match(await unauthorized(userAgent(byWrongTicket)), /\bSoTicket\b/i);
  });
} else {
  await check("saves and gets by ticket", () => savesAndGets(online(byTicket)));

  await check("saves and gets by token", () => savesAndGets(online(byToken)));

  await check("gets by token what was saved by ticket", () =>
    savesAndGets(online(byTicket), online(byToken)));

  await check("is refused with a wrong ticket", async () => {
    assert.match(await unauthorized(online(byWrongTicket)), /\bSoTicket\b/i);
  });

  await check("is refused with a ticket and no application token", () =>
    unauthorized(userAgent(byTicket)));

  await check("is refused with a ticket as the user name", () =>
    unauthorized(online(byTicketAsUser)));
}

done();
