// Asks for languages, cultures and time zones with SuperOffice's own client, unchanged.
// Usage: node preferences.mjs URL

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { check, client, done, rejected } from "./checks.mjs";

// The package's ES module build is for bundlers. Node uses its CommonJS build.
const require = createRequire(import.meta.url);
const { WebApi } = require(client);
const { ResourceParsing, WebApiBase } = require(`${client}/WebApiBase.js`);

const [url] = process.argv.slice(2);
assert.ok(url, "usage: node preferences.mjs URL");

// Version 10 has no `responseCallback`.
const tellsHeaders = !client.endsWith("-10");
const provider = 'NO:"Leverandør";US:"Supplier"';
// A JWT that expired on 3 November 2025, 14:05 UTC.
const accessToken = "e30.eyJleHAiOjE3NjIxNzg3MDB9.eA";
const expired = "[SR_ACCESS_TOKEN_EXPIRED]: ";

function userAgent(options) {
  // The client keeps the first options of a process for all agents.
  WebApiBase._global_options = undefined;
  const api = new WebApi({ baseUrl: `${url}/api/`, ...options });
  api.authenticateWithPassword("tje0", "Tje0");
  return api.getUserAgent();
}

const key = await userAgent({}).saveExternalTokensAsync({ provider, accessToken });

async function got(options, requestOptions) {
  let zone;
  const responseCallback = (response) => (zone = response.headers["so-timezone"]);
  const agent = userAgent(options);
  const carrier = await agent.getExternalTokensAsync(key, { ...requestOptions, responseCallback });
  const reason = carrier.fieldProperties.AccessToken.fieldRight.reason;
  assert.equal(carrier.accessToken, accessToken);
  return { provider: carrier.provider, reason, zone };
}

await check("asks for no language", async () => {
  const { provider: answered, reason } = await got({});
  assert.equal(answered, provider);
  assert.equal(reason, `${expired}2025-11-03T14:05:00`);
});

await check("asks for a language (languageCode)", async () => {
  const { provider: answered, reason } = await got({ languageCode: "nb-NO" });
  assert.equal(answered, "Leverandør");
  assert.match(reason, /3\. november 2025 kl\. 14:05/);
});

await check("asks for a language in one request", async () => {
  const { provider: answered, reason } = await got({ languageCode: "nb" }, { languageCode: "en-GB" });
  assert.equal(answered, "Supplier");
  assert.match(reason, /3 November 2025 at 14:05/);
});

await check("asks for another culture (cultureCode)", async () => {
  const { provider: answered, reason } = await got({ languageCode: "en", cultureCode: "de-DE" });
  assert.equal(answered, "Supplier");
  assert.match(reason, /3\. November 2025 um 14:05/);
});

await check("asks for nothing to be parsed (ResourceParsing.DoNotParse)", async () => {
  const options = { languageCode: "en", resourceParsing: ResourceParsing.DoNotParse };
  const { provider: answered, reason } = await got(options);
  assert.equal(answered, provider);
  assert.ok(reason.startsWith(expired), reason);
});

await check("switches translation off in one request", async () => {
  const { provider: answered } = await got({ languageCode: "en" }, { languageCode: "" });
  assert.equal(answered, provider);
});

await check("asks for a time zone (timezone)", async () => {
  const { reason, zone } = await got({ timezone: "NO" });
  assert.equal(reason, `${expired}2025-11-03T15:05:00`);
  if (tellsHeaders) assert.equal(zone, "NO");
});

await check("asks for the offset as well (timezoneInclude)", async () => {
  const { reason, zone } = await got({ timezone: "US-NY", timezoneInclude: true });
  assert.equal(reason, `${expired}2025-11-03T09:05:00-05:00`);
  if (tellsHeaders) assert.equal(zone, "US-NY");
});

await check("asks for the offset alone, in one request", async () => {
  const { reason, zone } = await got({}, { timezoneInclude: true });
  assert.equal(reason, `${expired}2025-11-03T14:05:00Z`);
  if (tellsHeaders) assert.equal(zone, "UTC");
});

await check("is told that a time zone is not known", async () => {
  const error = await rejected(got({ timezone: "XX", languageCode: "de" }));
  assert.equal(error.response.status, 400);
  assert.match(error.response.data.Message, /SO-TimeZone/);
  assert.doesNotMatch(error.response.data.Message, /is not a known/);
});

done();
