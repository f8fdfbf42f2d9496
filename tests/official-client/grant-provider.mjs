// Runs a certified OpenID provider, oidc-provider, that gives grants: each refresh rotates the
// refresh token, and a spent one ends the grant. Every user who is sent to it agrees at once.
// Usage: node grant-provider.mjs [--port PORT] [--expires SECONDS] [--jwk JWK [--alg ALG]]
//          [--tls-certificate FILE --tls-key FILE] REDIRECT_URI...
// With the public key JWK the client has no secret. It authenticates with assertions that are signed by ALG, or over
// TLS with the certificate in the key's x5c.
// It prints {"issuer", "client_id", "client_secret"}, and ends when its standard input ends. In addition to the
// provider's own endpoints it has:
//   POST /control/code?redirect_uri=…&code_challenge=…[&nonce=…][&scope=…]
//     acts as a browser at the authorization endpoint, and answers {"code"}
//   POST /control/requests
//     answers the counts of token requests: {"authorization_code", "refresh_token"}

import { generateKeyPair, randomBytes, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { Provider } from "oidc-provider";

// The provider is made for Node 22. This is the only function that it lacks in Node 20.
URL.parse ??= (url, base) => (URL.canParse(url, base) ? new URL(url, base) : null);
// Its notices would mix with the output.
console.info = console.error;

const client = "latchkey";
// With characters that a form encodes (RFC 6749 §2.3.1).
const secret = "nobody else: 50% + 1/2 & more";
const user = "ann";

/** The client's authentication. */
function clientAuth({ jwk, alg, tls }) {
  if (!jwk) return { client_secret: secret };
  const jwks = { keys: [JSON.parse(jwk)] };
  if (tls) return { token_endpoint_auth_method: "self_signed_tls_client_auth", jwks };
  return {
    token_endpoint_auth_method: "private_key_jwt",
    token_endpoint_auth_signing_alg: alg,
    jwks,
  };
}

async function newProvider(issuer, redirectUris, seconds, auth) {
  const pair = await promisify(generateKeyPair)("rsa", { modulusLength: 2048 });
  return new Provider(issuer, {
    jwks: { keys: [{ ...pair.privateKey.export({ format: "jwk" }), use: "sig" }] },
    ttl: {
      AccessToken: seconds,
      IdToken: 600,
      Grant: 86400,
      RefreshToken: 86400,
      Session: 600,
      Interaction: 600,
    },
    cookies: { keys: [randomBytes(16).toString("hex")] },
    clientAuthMethods: [
      "client_secret_basic",
      "private_key_jwt",
      "self_signed_tls_client_auth",
    ],
    clients: [
      {
        client_id: client,
        ...clientAuth(auth),
        grant_types: ["authorization_code", "refresh_token"],
        redirect_uris: redirectUris,
        response_types: ["code"],
      },
    ],
    pkce: { required: () => true },
    rotateRefreshToken: () => true,
    issueRefreshToken: () => true,
    findAccount: (_context, sub) => ({
      accountId: sub,
      claims: () => ({ sub, email: `${sub}@example.com` }),
    }),
    claims: { openid: ["sub"], email: ["email"] },
    // An id_token has the claims of its scopes, for clients that do not ask for userinfo.
    conformIdTokenClaims: false,
    features: {
      devInteractions: { enabled: false },
      mTLS: {
        enabled: true,
        selfSignedTlsClientAuth: true,
        getCertificate: ({ socket }) => {
          const certificate = socket.getPeerCertificate?.();
          return certificate?.raw ? new X509Certificate(certificate.raw) : undefined;
        },
      },
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
  });
}

/** The user signs in and agrees to everything. */
async function agree(provider, request, response) {
  const { params } = await provider.interactionDetails(request, response);
  const grant = new provider.Grant({ accountId: user, clientId: params.client_id });
  grant.addOIDCScope(params.scope ?? "openid");
  const grantId = await grant.save();
  const result = { login: { accountId: user }, consent: { grantId } };
  await provider.interactionFinished(request, response, result);
}

/** Follows redirects as a browser does, until it leaves the provider. */
async function follow(issuer, url) {
  const cookies = new Map();
  for (let hops = 0; hops < 10 && url.startsWith(issuer); hops += 1) {
    const cookie = [...cookies].map((pair) => pair.join("=")).join("; ");
    const response = await fetch(url, { redirect: "manual", headers: { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [name, value] = line.split(";")[0].split(/=(.*)/s);
      cookies.set(name, value);
    }
    if (!response.headers.has("location")) return { error: await response.text() };
    url = new URL(response.headers.get("location"), url).href;
  }
  const answer = new URL(url).searchParams;
  if (answer.has("code")) return { code: answer.get("code") };
  return { error: answer.get("error_description") ?? "too many redirects" };
}

export async function startGrantProvider(redirectUris, port = 0, seconds = 3600, auth = {}) {
  // Any certificate is accepted here. The provider then compares it with those of its clients.
  const ofClients = { requestCert: true, rejectUnauthorized: false };
  const server = auth.tls ? createTlsServer({ ...auth.tls, ...ofClients }) : createServer();
  await once(server.listen(port, "127.0.0.1"), "listening");
  const issuer = `${auth.tls ? "https" : "http"}://127.0.0.1:${server.address().port}`;
  const provider = await newProvider(issuer, redirectUris, seconds, auth);
  const handle = provider.callback();
  const requests = { authorization_code: 0, refresh_token: 0 };
  for (const event of ["grant.success", "grant.error"]) {
    provider.on(event, ({ oidc }) => {
      if (oidc.params?.grant_type in requests) requests[oidc.params.grant_type] += 1;
    });
  }

  async function code(parameters) {
    const authorization = new URL(`${issuer}/auth`);
    const asked = {
      client_id: client,
      response_type: "code",
      scope: "openid",
      code_challenge_method: "S256",
    };
    for (const [name, value] of [...Object.entries(asked), ...parameters]) {
      authorization.searchParams.set(name, value);
    }
    return follow(issuer, authorization.href);
  }

  server.on("request", async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, issuer);
    if (pathname.startsWith("/interaction/")) return agree(provider, request, response);
    if (request.method !== "POST" || !pathname.startsWith("/control/")) {
      return handle(request, response);
    }
    const control = { code: () => code(searchParams), requests: () => requests };
    const answer = (await control[pathname.slice(9)]?.()) ?? { error: "unknown command" };
    const status = answer.error ? 400 : 200;
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
  });

  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { issuer, client_id: client, client_secret: secret, close };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      port: { type: "string", default: "0" },
      expires: { type: "string", default: "3600" },
      jwk: { type: "string" },
      alg: { type: "string" },
      "tls-certificate": { type: "string" },
      "tls-key": { type: "string" },
    },
  });
  const { jwk, alg, "tls-certificate": cert, "tls-key": key } = values;
  const tls = cert && { cert: readFileSync(cert), key: readFileSync(key) };
  // This code acts as a browser, which does not need to verify the certificate.
  if (tls) process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  const [port, seconds] = [Number(values.port), Number(values.expires)];
  const auth = { jwk, alg, tls };
  const { close, ...told } = await startGrantProvider(positionals, port, seconds, auth);
  console.log(JSON.stringify(told));
  process.stdin.resume().on("end", close);
}
