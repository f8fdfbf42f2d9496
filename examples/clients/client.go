// Saves tokens in Latchkey, and gets them by their key. It needs Go 1.19 or later, and no packages.
//
//	client save    < tokens.json    prints the key
//	client get     < key            prints an access token that works
//	client refresh < both           prints another one; reads the key and the rejected token, a line each
//
// Exit status: 2 if the user must connect again, 1 after any other error. Build it with `go build client.go`, because
// `go run` hides the exit status.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// patience is how long a call may take, including retries.
const patience = 60 * time.Second

// errConnectAgain means that the grant has ended. After the user has connected again, the same key retrieves the new
// tokens.
var errConnectAgain = errors.New("the grant has ended")

var client = &http.Client{Timeout: 30 * time.Second}

// call sends body to an operation and reads the answer into result. With an idempotencyKey the server saves once,
// however often the call is sent.
func call(operation string, body, result any, idempotencyKey string) error {
	content, err := json.Marshal(body)
	if err != nil {
		return err
	}
	url := setting("LATCHKEY_URL", "http://127.0.0.1:8080") + "/api/v1/Agents/" + operation
	end := time.Now().Add(patience)
	for {
		status, header, text, err := send(url, content, idempotencyKey)
		pause, problem := time.Second, fmt.Errorf("no answer: %w", err)
		if err == nil {
			if status == http.StatusOK {
				return json.Unmarshal(text, result)
			}
			problem = fmt.Errorf("%d: %s", status, message(header, text))
			switch status {
			case http.StatusFailedDependency:
				return fmt.Errorf("%w (%v)", errConnectAgain, problem)
			case http.StatusTooManyRequests, http.StatusServiceUnavailable:
				if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil {
					pause = time.Duration(seconds) * time.Second
				}
			default:
				// 401 is a wrong login: a retry would count as another wrong password.
				return problem
			}
		}
		if time.Now().Add(pause).After(end) {
			return problem
		}
		time.Sleep(pause)
	}
}

// send sends a request once. After an error the server may or may not have done the call.
func send(url string, content []byte, idempotencyKey string) (int, http.Header, []byte, error) {
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(content))
	if err != nil {
		return 0, nil, nil, err
	}
	request.SetBasicAuth(setting("LATCHKEY_LOGIN", "tje0"), setting("LATCHKEY_PASSWORD", "Tje0"))
	request.Header.Set("Content-Type", "application/json")
	if idempotencyKey != "" {
		request.Header.Set("Idempotency-Key", idempotencyKey)
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, nil, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Header, text, err
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// message reads what an error says: JSON from Latchkey, or the text of a proxy.
func message(header http.Header, text []byte) string {
	var said struct{ Message string }
	if strings.Contains(header.Get("Content-Type"), "json") && json.Unmarshal(text, &said) == nil {
		return said.Message
	}
	return string(text)
}

func save(tokens json.RawMessage) (string, error) {
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return "", err
	}
	var key string
	body := map[string]any{"TokenManagementInfo": tokens}
	err := call("User/SaveExternalTokens", body, &key, hex.EncodeToString(random))
	return key, err
}

func get(key string) (string, error) {
	return accessToken("User/GetExternalTokens", map[string]string{"Key": key})
}

// refresh gets another token after the provider's API answered 401 to stale. Do this once per request.
func refresh(key, stale string) (string, error) {
	return accessToken("ExternalTokens/Refresh", map[string]string{"Key": key, "StaleAccessToken": stale})
}

func accessToken(operation string, body map[string]string) (string, error) {
	var tokens *struct{ AccessToken *string }
	if err := call(operation, body, &tokens, ""); err != nil {
		return "", err
	}
	if tokens == nil || tokens.AccessToken == nil {
		return "", errors.New("the key retrieves nothing")
	}
	return *tokens.AccessToken, nil
}

func run() (string, error) {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return "", err
	}
	lines := strings.Split(string(input), "\n")
	for number, line := range lines {
		lines[number] = strings.TrimSpace(line)
	}
	command := strings.Join(os.Args[1:], " ")
	switch {
	case command == "save":
		return save(input)
	case command == "get":
		return get(lines[0])
	case command == "refresh" && len(lines) > 1:
		return refresh(lines[0], lines[1])
	}
	return "", errors.New("save, get or refresh?")
}

func main() {
	printed, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, errConnectAgain) {
			os.Exit(2)
		}
		os.Exit(1)
	}
	fmt.Println(printed)
}
