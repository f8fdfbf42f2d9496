// Saves tokens in Latchkey, and gets them by their key. It needs .NET 8 or later, and no packages.
//   dotnet run save    < tokens.json    prints the key
//   dotnet run get     < key            prints an access token that works
//   dotnet run refresh < both           prints another one; reads the key and the rejected token, a line each
// Exit status: 2 if the user must connect again, 1 after any other error.

using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

string input = await Console.In.ReadToEndAsync();
string[] lines = input.Split('\n', StringSplitOptions.TrimEntries);
try
{
    Console.WriteLine(args.FirstOrDefault() switch
    {
        "save" => await Latchkey.Save(JsonNode.Parse(input)!),
        "get" => await Latchkey.Get(lines[0]),
        "refresh" when lines.Length > 1 => await Latchkey.Refresh(lines[0], lines[1]),
        _ => throw new InvalidOperationException("save, get or refresh?"),
    });
    return 0;
}
catch (Exception error)
{
    Console.Error.WriteLine(error.Message);
    return error is ConnectAgainException ? 2 : 1;
}

/// <summary>The grant has ended. After the user has connected again, the same key retrieves the new tokens.</summary>
sealed class ConnectAgainException(string message) : Exception(message);

static class Latchkey
{
    /// <summary>How long a call may take, including retries.</summary>
    static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    static readonly HttpClient Client = NewClient();

    static HttpClient NewClient()
    {
        string Setting(string name, string otherwise) => Environment.GetEnvironmentVariable(name) ?? otherwise;
        string login = $"{Setting("LATCHKEY_LOGIN", "tje0")}:{Setting("LATCHKEY_PASSWORD", "Tje0")}";
        string basic = Convert.ToBase64String(Encoding.UTF8.GetBytes(login));
        var client = new HttpClient
        {
            BaseAddress = new Uri(Setting("LATCHKEY_URL", "http://127.0.0.1:8080") + "/api/v1/Agents/"),
            Timeout = TimeSpan.FromSeconds(30),
        };
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Basic", basic);
        return client;
    }

    public static async Task<string> Save(JsonNode tokens)
    {
        var body = new JsonObject { ["TokenManagementInfo"] = tokens };
        JsonNode? key = await Call("User/SaveExternalTokens", body, Guid.NewGuid().ToString());
        return key!.GetValue<string>();
    }

    public static async Task<string> Get(string key) =>
        AccessToken(await Call("User/GetExternalTokens", new JsonObject { ["Key"] = key }));

    /// <summary>Gets another token after the provider's API answered 401 to `stale`. Do this once per request.
    /// </summary>
    public static async Task<string> Refresh(string key, string stale)
    {
        var body = new JsonObject { ["Key"] = key, ["StaleAccessToken"] = stale };
        return AccessToken(await Call("ExternalTokens/Refresh", body));
    }

    static string AccessToken(JsonNode? answer) =>
        answer?["AccessToken"]?.GetValue<string>() ?? throw new InvalidOperationException("the key retrieves nothing");

    /// <summary>`once` is the Idempotency-Key of a save. With it the server saves once, however often the call is sent.
    /// </summary>
    static async Task<JsonNode?> Call(string operation, JsonNode body, string? once = null)
    {
        DateTime end = DateTime.UtcNow + Patience;
        for (;;)
        {
            var pause = TimeSpan.FromSeconds(1);
            string problem;
            try
            {
                using var request = new HttpRequestMessage(HttpMethod.Post, operation);
                request.Content = new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json");
                if (once is not null)
                {
                    request.Headers.Add("Idempotency-Key", once);
                }
                using HttpResponseMessage answer = await Client.SendAsync(request);
                string text = await answer.Content.ReadAsStringAsync();
                if (answer.IsSuccessStatusCode)
                {
                    return JsonNode.Parse(text);
                }
                bool isJson = answer.Content.Headers.ContentType?.MediaType == "application/json";
                problem = $"{(int)answer.StatusCode}: {(isJson ? JsonNode.Parse(text)?["Message"] : text)}";
                if (answer.StatusCode == HttpStatusCode.FailedDependency)
                {
                    throw new ConnectAgainException(problem);
                }
                // 401 is a wrong login: a retry would count as another wrong password.
                if (answer.StatusCode is not (HttpStatusCode.ServiceUnavailable or HttpStatusCode.TooManyRequests))
                {
                    throw new InvalidOperationException(problem);
                }
                pause = answer.Headers.RetryAfter?.Delta ?? pause;
            }
            // There is no answer. The server may or may not have done the call.
            catch (Exception error) when (error is HttpRequestException or TaskCanceledException)
            {
                problem = $"no answer: {error.Message}";
            }
            if (DateTime.UtcNow + pause > end)
            {
                throw new InvalidOperationException(problem);
            }
            await Task.Delay(pause);
        }
    }
}
