// Runs a certified OpenID provider, oidc-provider, that issues access tokens for a server to verify.
// Usage: node openid-provider.mjs, which prints {"issuer", "jwks"} and then answers lines of input:
//   rotate        signs with new keys, and keeps the previous ones in the key set
//   mint CLIENT   gets a token, signed by the algorithm of the client: rs256, ps256, es256, eddsa
// and, at the issuer's address, POST /control/rotate and POST /control/mint?client=CLIENT.

import { generateKeyPair } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Provider } from "oidc-provider";

// The provider is made for Node 22. This is the only function that it lacks in Node 20.
URL.parse ??= (url, base) => (URL.canParse(url, base) ? new URL(url, base) : null);
// Its notices would mix with the answers.
console.info = console.error;

const audience = "urn:latchkey";
const secret = "nobody-else-signs-in-as-this-client";
const algorithms = { rs256: "RS256", ps256: "PS256", es256: "ES256", eddsa: "EdDSA" };

/** Nothing is stored: the clients are configured, and the tokens are self-contained. */
class NoAdapter {
  async find() {}
}

async function newKeys() {
  const generate = promisify(generateKeyPair);
  const pairs = await Promise.all([
    generate("rsa", { modulusLength: 2048 }),
    generate("ec", { namedCurve: "P-256" }),
    generate("ed25519"),
  ]);
  return pairs.map(({ privateKey }) => ({ ...privateKey.export({ format: "jwk" }), use: "sig" }));
}

function newProvider(issuer, keys, subject) {
  return new Provider(issuer, {
    adapter: NoAdapter,
    jwks: { keys },
    ttl: { ClientCredentials: 300 },
    clients: Object.keys(algorithms).map((client) => ({
      client_id: client,
      client_secret: secret,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    })),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, _resource, client) => ({
          audience,
          scope: "",
          accessTokenFormat: "jwt",
          jwt: { sign: { alg: algorithms[client.clientId] } },
        }),
      },
    },
    formats: {
      customizers: {
        jwt(_context, _token, { payload }) {
          payload.sub = subject;
          payload["http://schemes.superoffice.net/identity/ctx"] = "default";
        },
      },
    },
  });
}

export async function startProvider(subject = "tje0") {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${server.address().port}`;

  let keys = await newKeys();
  let handle = newProvider(issuer, keys, subject).callback();
  let rotated = 0;

  async function rotate() {
    const previous = keys;
    keys = await newKeys();
    handle = newProvider(issuer, [...keys, ...previous], subject).callback();
    rotated += 1;
    return { rotated };
  }

  async function mint(client) {
    const response = await fetch(`${issuer}/token`, {
      method: "POST",
      headers: { authorization: `Basic ${btoa(`${client}:${secret}`)}` },
      body: new URLSearchParams({ grant_type: "client_credentials", resource: audience }),
    });
    const { access_token: token, error } = await response.json();
    return token ? { token } : { error };
  }

  server.on("request", async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, issuer);
    if (request.method !== "POST" || !pathname.startsWith("/control/")) {
      return handle(request, response);
    }
    const answer = await control({ rotate, mint }, pathname.slice(9), searchParams.get("client"));
    const status = answer.error ? 400 : 200;
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
  });

  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { issuer, jwks: `${issuer}/jwks`, rotate, mint, close };
}

async function control(provider, command, client) {
  if (command === "rotate") return provider.rotate();
  if (command === "mint") return provider.mint(client);
  return { error: "unknown command" };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const provider = await startProvider();
  console.log(JSON.stringify({ issuer: provider.issuer, jwks: provider.jwks }));
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await control(provider, ...line.trim().split(/\s+/))));
  }
  provider.close();
}
