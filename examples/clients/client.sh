#!/bin/sh
# Saves tokens in Latchkey, and gets them by their key. It needs curl 7.71 or later, and jq.
#   client.sh save    < tokens.json    prints the key
#   client.sh get     < key            prints an access token that works
#   client.sh refresh < both           prints another one; reads the key and the rejected token, a line each
# Exit status: 2 if the user must connect again, 1 after any other error.
set -eu
umask 077

server=${LATCHKEY_URL:-http://127.0.0.1:8080}
export login="${LATCHKEY_LOGIN:-tje0}:${LATCHKEY_PASSWORD:-Tje0}"
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# call OPERATION [HEADER] sends its standard input. Passwords, keys and tokens are never in arguments, because other
# users of the machine can read those. After a 503 or 429 curl waits as long as Retry-After says. Without an answer it
# sends the same request again.
call() {
  status=$(
    {
      jq -nr '"user = \(env.login | @json)"'
      printf 'header = "Content-Type: application/json"\n'
      [ $# = 1 ] || printf 'header = "%s"\n' "$2"
      jq -Rrs '"data-binary = \(@json)"'
    } | curl -sS -K - --max-time 30 --retry 5 --retry-max-time 60 --retry-all-errors \
      -o "$answer" -w '%{http_code}' "$server/api/v1/Agents/$1"
  ) || exit 1
  case $status in
    200) ;;
    *)
      echo "$status: $(jq -r .Message "$answer")" >&2
      # The grant has ended. After the user has connected again, the same key retrieves the new tokens.
      [ "$status" = 424 ] && exit 2 || exit 1
      ;;
  esac
}

access_token() {
  jq -er '.AccessToken // empty' "$answer" || { echo "the key retrieves nothing" >&2; exit 1; }
}

case ${1:-} in
  save)
    # With an Idempotency-Key the server saves once, however often the call is sent.
    once=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    jq -c '{TokenManagementInfo: .}' | call User/SaveExternalTokens "Idempotency-Key: $once"
    jq -r . "$answer"
    ;;
  get)
    jq -Rc '{Key: .}' | call User/GetExternalTokens
    access_token
    ;;
  refresh)
    # For a token to which the provider's API answered 401. Do this once per request.
    jq -Rnc '[inputs] | {Key: .[0], StaleAccessToken: .[1]}' | call ExternalTokens/Refresh
    access_token
    ;;
  *)
    echo "save, get or refresh?" >&2
    exit 1
    ;;
esac
