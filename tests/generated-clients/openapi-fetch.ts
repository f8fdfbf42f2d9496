// The client of openapi-fetch, typed by openapi-typescript: saves, gets, and is rejected.
import createClient from "openapi-fetch";

import type { paths } from "./generated/schema.js";

export async function saveAndGet(url: string, authorization: string): Promise<void> {
  const client = createClient<paths>({ baseUrl: url, headers: { Authorization: authorization } });
  const saved = await client.POST("/api/v1/Agents/User/SaveExternalTokens", {
    body: { TokenManagementInfo: { Provider: "et", AccessToken: "fugit", RefreshToken: "odit" } },
  });
  if (saved.data === undefined) throw new Error(`save: ${JSON.stringify(saved.error)}`);
  const got = await client.POST("/api/v1/Agents/User/GetExternalTokens", { body: { Key: saved.data } });
  if (got.data?.AccessToken !== "fugit" || got.data.RefreshToken !== "odit") throw new Error("get");

  const list = await client.POST("/api/v1/Agents/ExternalTokens/List", { body: { Provider: "et" } });
  if (list.data?.Items?.length !== 1) throw new Error("list");
  const revoked = await client.POST("/api/v1/Agents/ExternalTokens/Revoke", { body: { Key: saved.data } });
  if (revoked.data !== true) throw new Error("revoke");
  const gone = await client.POST("/api/v1/Agents/User/GetExternalTokens", { body: { Key: saved.data } });
  if (gone.response.status !== 200 || gone.data !== null) throw new Error("what is revoked is null");

  const refused = await client.POST("/api/v1/Agents/User/SaveExternalTokens", {
    body: { TokenManagementInfo: { Provider: "", AccessToken: "fugit" } },
  });
  if (refused.error?.ErrorType !== "ArgumentException") throw new Error("an empty provider");
}
