// Verifies webhooks with the libraries of both standards: `standardwebhooks` checks the signatures, `cloudevents` the
// events.
// Usage: node verify-webhooks.mjs SECRET FILE. The file is a JSON array of {headers, body}.
import { readFileSync } from "node:fs";
import { HTTP, ValidationError } from "cloudevents";
import { Webhook } from "standardwebhooks";

const [secret, file] = process.argv.slice(2);
const webhook = new Webhook(secret);
const requests = JSON.parse(readFileSync(file, "utf8"));
for (const { headers, body } of requests) {
  webhook.verify(body, headers);
  const event = HTTP.toEvent({ headers, body });
  try {
    event.validate();
  } catch (error) {
    throw error instanceof ValidationError ? new Error(JSON.stringify(error.errors)) : error;
  }
  if (event.id !== headers["webhook-id"] || !event.data.Provider) throw new Error(`wrong event: ${body}`);
  let isForged = false;
  try {
    webhook.verify(body.replace("grant", "grunt"), headers);
    isForged = true;
  } catch {}
  if (isForged) throw new Error("a forged event was verified");
}
console.log(`${requests.length} verified`);
