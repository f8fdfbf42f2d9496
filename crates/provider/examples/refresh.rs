//! Refreshes a token without a network: prints the request, and reads possible answers.
//!
//! Invariant: no real secret is printed. Each has a placeholder.
//!
//! ```text
//! POST https://login.example/oauth2/token
//! Authorization: Basic <my-client:CLIENT-SECRET in base64>
//! Content-Type: application/x-www-form-urlencoded
//!
//! grant_type=refresh_token&refresh_token=REFRESH-TOKEN&audience=api.example
//!
//! 200: an access token for Some(3600) seconds, and a new refresh token
//! 400: Dead, because of invalid_grant; wait None seconds
//! 503: Busy, because of rate_limited; wait Some(120) seconds
//! 403: Other, because of http_other; wait None seconds
//! ```
//!
//! Only the second answer ends the grant: the user has to connect again. After the third the client waits for two
//! minutes. The last is from a firewall and says nothing about the grant.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use model::SecretText;
use provider::{Answer, ClientAuth, Endpoints, Proof, Registration, RequestRules};

fn main() -> Result<(), Box<dyn Error>> {
    let endpoints = Endpoints::of_token("https://login.example/oauth2/token");
    let registration = Registration {
        request: RequestRules {
            refresh: [("audience".to_owned(), "api.example".to_owned())].into(),
            ..RequestRules::default()
        },
        ..Registration::new(endpoints, "my-client", ClientAuth::Basic)
    };

    let request = registration.refresh(
        &SecretText::from("REFRESH-TOKEN"),
        Proof::Secret(&SecretText::from("CLIENT-SECRET")),
    );
    println!("POST {}", request.url);
    if request.authorization.is_some() {
        println!("Authorization: Basic <my-client:CLIENT-SECRET in base64>");
    }
    println!("Content-Type: {}\n", request.content_type);
    // These are placeholders. A real body is not printed.
    println!("{}\n", request.body.expose());

    let answers: [(u16, Option<&str>, &[u8]); 4] = [
        (200, None, br#"{"access_token": "a-2", "refresh_token": "r-2", "expires_in": "3600"}"#),
        (400, None, br#"{"error": "invalid_grant", "error_description": "Token was revoked"}"#),
        (503, Some("120"), b""),
        (403, None, b"<title>Blocked by the firewall</title>"),
    ];
    for (status, retry_after, body) in answers {
        // `received` is now, by your clock.
        let answer =
            Answer { status, content_type: None, retry_after, body, received: 1_790_000_000 };
        match registration.read_tokens(&answer) {
            Ok(tokens) => println!(
                "{status}: an access token for {:?} seconds, and {} refresh token",
                tokens.expires_in,
                if tokens.refresh_token.is_some() { "a new" } else { "no new" },
            ),
            Err(refusal) => println!(
                "{status}: {:?}, because of {}; wait {:?} seconds",
                refusal.class, refusal.cause, refusal.retry_after
            ),
        }
    }
    Ok(())
}
