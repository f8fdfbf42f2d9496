// Signs in with a real Chromium and runs SuperOffice's own client, unchanged, in the pages.
// Usage: node browser.mjs URL LOGIN PASSWORD CHROMIUM, with the path of the browser.
// If the environment variable SCREENSHOTS names a folder, screenshots of two pages are written there.

import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { check, done } from "./checks.mjs";

const [url, login, password, executablePath] = process.argv.slice(2);
assert.ok(executablePath, "usage: node browser.mjs URL LOGIN PASSWORD CHROMIUM");

const carrier = { provider: "et", accessToken: "fugit", refreshToken: "odit" };
const wrongPassword = "Wr0ng-Horse-Battery";

const { outputFiles } = await build({
  stdin: {
    contents: 'import { WebApi } from "@superoffice/webapi"; window.WebApi = WebApi;',
    resolveDir: fileURLToPath(new URL(".", import.meta.url)),
  },
  bundle: true,
  format: "iife",
  platform: "browser",
  write: false,
});
const client = outputFiles[0].text;

const browser = await chromium.launch({
  executablePath,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

async function openPage(options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(10_000);
  return context.newPage();
}

async function submit(page, form) {
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.request().method() === "POST"),
    page.waitForEvent("load"),
    page.locator(`${form} button[type=submit]`).first().click(),
  ]);
  return answer;
}

async function fillIn(page, secret) {
  await page.goto(`${url}/sign-in`);
  await page.fill("input[name=login]", login);
  await page.fill("input[name=password]", secret);
  return submit(page, "form:has(input[name=password])");
}

async function signIn(page) {
  await fillIn(page, password);
  await page.waitForURL(`${url}/account`);
}

async function signOut(page) {
  await page.goto(`${url}/account`);
  await submit(page, 'form[action$="/sign-out"]');
  await page.waitForURL(`${url}/sign-in`);
}

async function screenshot(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

async function cookie(page, name) {
  return (await page.context().cookies(url)).find((cookie) => cookie.name === name);
}

/** Saves and gets in the page, with only the authentication that the browser adds. */
async function saveAndGet(page) {
  const calls = [];
  const listen = (request) => request.url().includes("/api/") && calls.push(request.headers());
  page.on("request", listen);
  const got = await page.evaluate(
    async ([url, carrier]) => {
      const agent = new WebApi(`${url}/api/`).getUserAgent();
      return agent.getExternalTokensAsync(await agent.saveExternalTokensAsync(carrier));
    },
    [url, carrier],
  );
  page.off("request", listen);
  assert.equal(got.accessToken, "fugit");
  assert.equal(got.refreshToken, "odit");
  assert.equal(calls.length, 2);
  for (const headers of calls) {
    assert.equal(headers.authorization, undefined);
    assert.ok(headers["x-xsrf-token"], "axios' own header");
  }
}

/** The status of a call from the page with the cookies, and with these headers and this body. */
function status(page, path, method, headers, body) {
  return page.evaluate(
    async ([address, init]) => (await fetch(address, { credentials: "include", ...init })).status,
    [url + path, { method, headers, body }],
  );
}

const principal = "/api/v1/User/currentPrincipal";
const getTokens = "/api/v1/Agents/User/GetExternalTokens";
const bodies = {
  "application/json": '{"Key":""}',
  "text/json": '{"Key":""}',
  "application/x-www-form-urlencoded": "Key=",
  "application/xml": "<Key/>",
};

const strict = await openPage();

await check("shows the form again for a wrong password", async () => {
  await strict.goto(`${url}/sign-in`);
  await screenshot(strict, "sign-in");
  const answer = await fillIn(strict, wrongPassword);
  assert.equal(answer.status(), 401);
  assert.doesNotMatch(answer.headers()["www-authenticate"] ?? "", /\bBasic\b/i, "no dialog");
  await strict.locator("[role=alert]").first().waitFor();
  assert.equal(await strict.inputValue("input[name=password]"), "");
  assert.ok(!(await strict.content()).includes(wrongPassword));
  assert.equal(await cookie(strict, "latchkey-session"), undefined);
});

await check("signs in", async () => {
  await signIn(strict);
  await screenshot(strict, "account");
  assert.equal(await strict.getAttribute("input#XSRF_TOKEN", "type"), "hidden");
  assert.ok(await strict.inputValue("input#XSRF_TOKEN"));
});

await check("sets one cookie for the browser alone, and one for scripts", async () => {
  const cookies = await strict.context().cookies(url);
  const [session, ...more] = cookies.filter((cookie) => cookie.httpOnly);
  assert.equal(session?.name, "latchkey-session");
  assert.equal(session.sameSite, "Lax");
  assert.deepEqual(more, []);
  const readable = await strict.evaluate(() => document.cookie);
  assert.match(readable, /\bXSRF-TOKEN=/);
  assert.doesNotMatch(readable, /latchkey-session/);
});

await check("stops scripts that are not its own", async () => {
  await strict.addScriptTag({ content: "window.injected = true" }).catch(() => {});
  assert.equal(await strict.evaluate(() => window.injected), undefined);
});

const page = await openPage({ bypassCSP: true });
await signIn(page);
await page.evaluate(client);

await check("the client saves and gets by the session alone", () => saveAndGet(page));

await check("two tabs share the session", async () => {
  const other = await page.context().newPage();
  await other.goto(`${url}/account`);
  await other.evaluate(client);
  await Promise.all([saveAndGet(page), saveAndGet(other)]);
  await other.close();
  await saveAndGet(page);
});

await check("the client finds the token in the page where its cookie is gone", async () => {
  await page.context().clearCookies({ name: "XSRF-TOKEN" });
  // The client looks for the field only if the page has a cookie.
  await page.evaluate(() => (document.cookie = "another=1"));
  await saveAndGet(page);
  assert.match(await page.evaluate(() => document.cookie), /XSRF-FROM-INPUT=/);
});

await check("refuses calls without the header, and with a wrong one", async () => {
  const good = await page.inputValue("input#XSRF_TOKEN");
  assert.equal(await status(page, principal, "GET", { "X-XSRF-TOKEN": good }), 200);
  const wrong = (good.startsWith("0") ? "1" : "0") + good.slice(1);
  for (const added of [{}, { "X-XSRF-TOKEN": wrong }, { "X-XSRF-TOKEN": "" }]) {
    for (const [type, body] of Object.entries(bodies)) {
      const headers = { ...added, "Content-Type": type };
      const told = `${type} ${JSON.stringify(Object.keys(added))}`;
      assert.equal(await status(page, principal, "GET", headers), 401, `GET ${told}`);
      assert.equal(await status(page, getTokens, "POST", headers, body), 401, `POST ${told}`);
    }
  }
});

await check("refuses the session after signing out", async () => {
  const session = await cookie(page, "latchkey-session");
  const headers = { "X-XSRF-TOKEN": await page.inputValue("input#XSRF_TOKEN") };
  assert.equal(await status(page, principal, "GET", headers), 200);
  await signOut(page);
  await page.context().addCookies([session]);
  assert.equal(await status(page, principal, "GET", headers), 401);
});

await check("needs no scripts", async () => {
  const plain = await openPage({ javaScriptEnabled: false });
  const revoke = 'form[action$="/account/tickets/revoke"]';
  await signIn(plain);
  await submit(plain, 'form[action$="/account/tickets"]');
  await plain.getByText(/7T:/).first().waitFor();
  await plain.goto(`${url}/account`);
  const tickets = await plain.locator(revoke).count();
  await submit(plain, revoke);
  await plain.goto(`${url}/account`);
  assert.equal(await plain.locator(revoke).count(), tickets - 1);
  await signOut(plain);
});

await browser.close();
done();
