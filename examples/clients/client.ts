// Saves tokens in Latchkey, and gets them by their key. It needs Node 22.18 or later, and no packages.
//   node client.ts save    < tokens.json    prints the key
//   node client.ts get     < key            prints an access token that works
//   node client.ts refresh < both           prints another one; reads the key and the rejected token, a line each
// Exit status: 2 if the user must connect again, 1 after any other error.

const server = process.env.LATCHKEY_URL ?? "http://127.0.0.1:8080";
const login = process.env.LATCHKEY_LOGIN ?? "tje0";
const password = process.env.LATCHKEY_PASSWORD ?? "Tje0";
/** How long a call may take, including retries, in milliseconds. */
const patience = 60_000;

interface Tokens {
  Provider: string;
  AccessToken: string;
  RefreshToken?: string | null;
}

/** The grant has ended. After the user has connected again, the same key retrieves the new tokens. */
class ConnectAgain extends Error {}

/** `once` is the Idempotency-Key of a save. With it the server saves once, however often the call is sent. */
async function call(operation: string, body: unknown, once?: string): Promise<unknown> {
  const headers: Record<string, string> = {
    Authorization: `Basic ${Buffer.from(`${login}:${password}`).toString("base64")}`,
    "Content-Type": "application/json",
  };
  if (once) headers["Idempotency-Key"] = once;
  const url = `${server}/api/v1/Agents/${operation}`;
  const end = Date.now() + patience;
  for (;;) {
    let pause = 1;
    let problem: string;
    try {
      const signal = AbortSignal.timeout(30_000);
      const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body), signal });
      const text = await answer.text();
      if (answer.ok) return JSON.parse(text);
      const isJson = answer.headers.get("content-type")?.includes("json");
      problem = `${answer.status}: ${isJson ? JSON.parse(text).Message : text}`;
      if (answer.status === 424) throw new ConnectAgain(problem);
      // 401 is a wrong login: a retry would count as another wrong password.
      if (answer.status !== 503 && answer.status !== 429) throw new Error(problem);
      pause = Number(answer.headers.get("retry-after") ?? 1);
    } catch (error) {
      // `fetch` throws these when there is no answer. The server may or may not have done the call.
      if (!(error instanceof TypeError) && (error as Error).name !== "TimeoutError") throw error;
      problem = `no answer: ${error}`;
    }
    if (Date.now() + pause * 1000 > end) throw new Error(problem);
    await new Promise((wake) => setTimeout(wake, pause * 1000));
  }
}

function save(tokens: Tokens): Promise<unknown> {
  return call("User/SaveExternalTokens", { TokenManagementInfo: tokens }, crypto.randomUUID());
}

async function get(key: string): Promise<string> {
  return accessToken(await call("User/GetExternalTokens", { Key: key }));
}

/** Gets another token after the provider's API answered 401 to `stale`. Do this once per request. */
async function refresh(key: string, stale: string): Promise<string> {
  return accessToken(await call("ExternalTokens/Refresh", { Key: key, StaleAccessToken: stale }));
}

function accessToken(answer: unknown): string {
  const token = (answer as Tokens | null)?.AccessToken;
  if (!token) throw new Error("the key retrieves nothing");
  return token;
}

async function main(): Promise<void> {
  let input = "";
  for await (const chunk of process.stdin) input += chunk;
  const [key = "", stale = ""] = input.split("\n").map((line) => line.trim());
  const command = process.argv[2];
  if (command === "save") console.log(await save(JSON.parse(input)));
  else if (command === "get") console.log(await get(key));
  else if (command === "refresh") console.log(await refresh(key, stale));
  else throw new Error("save, get or refresh?");
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = error instanceof ConnectAgain ? 2 : 1;
});
