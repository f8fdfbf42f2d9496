// The client that @hey-api/openapi-ts generates: saves and gets.
import { getExternalTokens, saveExternalTokens } from "./generated/hey-api/index.js";
import { client } from "./generated/hey-api/client.gen.js";

export async function saveAndGet(url: string, authorization: string): Promise<void> {
  client.setConfig({ baseUrl: url, headers: { Authorization: authorization } });
  const saved = await saveExternalTokens({
    body: { TokenManagementInfo: { Provider: "et", AccessToken: "fugit", RefreshToken: "odit" } },
  });
  if (saved.data === undefined) throw new Error(`save: ${JSON.stringify(saved.error)}`);
  const got = await getExternalTokens({ body: { Key: saved.data } });
  if (got.data?.AccessToken !== "fugit" || got.data.RefreshToken !== "odit") throw new Error("get");
}
