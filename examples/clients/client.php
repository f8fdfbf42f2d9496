<?php
// Saves tokens in Latchkey, and gets them by their key. It needs PHP 8.1 or later, and no extension.
//   php client.php save    < tokens.json    prints the key
//   php client.php get     < key            prints an access token that works
//   php client.php refresh < both           prints another one; reads the key and the rejected token, a line each
// Exit status: 2 if the user must connect again, 1 after any other error.

declare(strict_types=1);

// How long a call may take, including retries, in seconds.
const PATIENCE = 60;

/** The grant has ended. After the user has connected again, the same key retrieves the new tokens. */
final class ConnectAgain extends RuntimeException {}

/** `$once` is the Idempotency-Key of a save. With it the server saves once, however often the call is sent. */
function call(string $operation, array $body, ?string $once = null): mixed
{
    $server = getenv('LATCHKEY_URL') ?: 'http://127.0.0.1:8080';
    $login = (getenv('LATCHKEY_LOGIN') ?: 'tje0') . ':' . (getenv('LATCHKEY_PASSWORD') ?: 'Tje0');
    $headers = ['Authorization: Basic ' . base64_encode($login), 'Content-Type: application/json'];
    if ($once !== null) {
        $headers[] = "Idempotency-Key: $once";
    }
    $http = [
        'method' => 'POST',
        'header' => $headers,
        'content' => json_encode($body, JSON_THROW_ON_ERROR),
        'ignore_errors' => true,
        'timeout' => 30,
    ];
    $end = microtime(true) + PATIENCE;
    for (;;) {
        $pause = 1;
        // Without an answer `fopen` warns, which `@` hides. The server may or may not have done the call.
        $stream = @fopen("$server/api/v1/Agents/$operation", 'r', false, stream_context_create(['http' => $http]));
        $text = $stream ? stream_get_contents($stream) : false;
        $head = $stream ? stream_get_meta_data($stream)['wrapper_data'] : [];
        $status = $head ? (int) explode(' ', $head[0])[1] : 0;
        $answer = is_string($text) ? json_decode($text, true) : null;
        if ($status === 200 && json_last_error() === JSON_ERROR_NONE) {
            return $answer;
        }
        $problem = $status === 0 ? 'no answer' : "$status: " . ($answer['Message'] ?? $text);
        if ($status === 424) {
            throw new ConnectAgain($problem);
        }
        // 401 is a wrong login: a retry would count as another wrong password.
        if (!in_array($status, [0, 200, 429, 503], true)) {
            throw new RuntimeException($problem);
        }
        foreach ($head as $line) {
            if (stripos($line, 'Retry-After:') === 0) {
                $pause = (int) substr($line, 12);
            }
        }
        if (microtime(true) + $pause > $end) {
            throw new RuntimeException($problem);
        }
        sleep($pause);
    }
}

function save(array $tokens): string
{
    return call('User/SaveExternalTokens', ['TokenManagementInfo' => $tokens], bin2hex(random_bytes(16)));
}

function get(string $key): string
{
    return access_token(call('User/GetExternalTokens', ['Key' => $key]));
}

/** Gets another token after the provider's API answered 401 to `$stale`. Do this once per request. */
function refresh(string $key, string $stale): string
{
    return access_token(call('ExternalTokens/Refresh', ['Key' => $key, 'StaleAccessToken' => $stale]));
}

function access_token(?array $answer): string
{
    return $answer['AccessToken'] ?? throw new RuntimeException('the key retrieves nothing');
}

$input = stream_get_contents(STDIN);
[$key, $stale] = array_map('trim', explode("\n", $input . "\n"));
try {
    echo match ($argv[1] ?? '') {
        'save' => save(json_decode($input, true, 512, JSON_THROW_ON_ERROR)),
        'get' => get($key),
        'refresh' => refresh($key, $stale),
        default => throw new RuntimeException('save, get or refresh?'),
    }, "\n";
} catch (Exception $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit($error instanceof ConnectAgain ? 2 : 1);
}
