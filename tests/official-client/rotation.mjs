// Calls a server while its OpenID provider rotates keys: no valid token may be rejected.
// Usage: node rotation.mjs URL PROVIDER_URL, where PROVIDER_URL is the issuer that openid-provider.mjs prints.

import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { check, done } from "./checks.mjs";

const [url, provider] = process.argv.slice(2);
assert.ok(url && provider, "usage: node rotation.mjs URL PROVIDER_URL");

const clients = ["rs256", "ps256", "es256", "eddsa"];
const rotations = 20;
const pauseMs = 300;
const callsPerToken = 3;

let begun = 0;
let ended = 0;
let calls = 0;
const refused = [];

async function control(command) {
  const response = await fetch(`${provider}/control/${command}`, { method: "POST" });
  assert.equal(response.status, 200, command);
  return response.json();
}

async function mint(client) {
  const keys = ended;
  const { token } = await control(`mint?client=${client}`);
  return { client, keys, token };
}

async function rotate() {
  begun += 1;
  await control("rotate");
  ended += 1;
}

async function call({ client, keys, token }) {
  const response = await fetch(`${url}/api/v1/User/currentPrincipal`, {
    headers: { accept: "application/json", authorization: `Bearer ${token}` },
  });
  const body = await response.text();
  calls += 1;
  const passed = response.status === 200 && JSON.parse(body).Associate === "tje0";
  // The provider keeps a key for one rotation.
  if (!passed && begun - keys <= 1) {
    const challenge = response.headers.get("www-authenticate");
    refused.push({ client, rotation: begun, status: response.status, challenge, body });
  }
  return passed;
}

async function callUntil(stopped, client) {
  while (!stopped.aborted) {
    const token = await mint(client);
    for (let n = 0; n < callsPerToken; n += 1) await call(token);
  }
}

const early = await Promise.all(clients.map(mint));
const unused = await Promise.all(clients.map(mint));

await check("accepts tokens of all algorithms", async () => {
  for (const token of early) assert.ok(await call(token), JSON.stringify(refused));
});

await check("accepts tokens of the previous keys, seen or not, after a rotation", async () => {
  await rotate();
  for (const token of [...early, ...unused]) assert.ok(await call(token), JSON.stringify(refused));
});

await check("refuses no token while keys rotate", async () => {
  const stop = new AbortController();
  const workers = clients.map((client) => callUntil(stop.signal, client));
  while (ended < rotations) {
    await setTimeout(pauseMs);
    await rotate();
  }
  await setTimeout(pauseMs);
  stop.abort();
  await Promise.all(workers);
  console.log(`${calls} calls over ${ended} rotations, ${refused.length} refused`);
  assert.deepEqual(refused.slice(0, 5), []);
  assert.ok(calls >= clients.length * rotations, "every rotation was met by calls");
});

done();
