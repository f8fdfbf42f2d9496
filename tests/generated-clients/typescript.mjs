// Runs both TypeScript clients against a server.
import { saveAndGet as byOpenApiFetch } from "./generated/built/openapi-fetch.js";
import { saveAndGet as byHeyApi } from "./generated/built/hey-api.js";

const [url] = process.argv.slice(2);
const authorization = `Basic ${Buffer.from("tje0:Tje0").toString("base64")}`;
await byOpenApiFetch(url, authorization);
await byHeyApi(url, authorization);
console.log("all checks passed");
