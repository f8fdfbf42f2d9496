// Named checks that are counted, and calls that must fail.

import assert from "node:assert/strict";

// The package of the client. Another version has another name.
export const client = process.env.WEBAPI ?? "@superoffice/webapi";

let checks = 0;

setTimeout(() => {
  console.error("no end after two minutes");
  process.exit(1);
}, 120_000).unref();

export async function check(name, run) {
  await run();
  checks += 1;
  console.log(`ok ${name}`);
}

export async function rejected(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail("the call should have failed");
}

export function done() {
  console.log(`${checks} checks passed`);
}
