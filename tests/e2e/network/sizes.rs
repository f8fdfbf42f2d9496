//! Sizes at which buffers and limits change, for each type of request (CONTRACT 7, 13, 16).
//!
//! Invariant: a token comes back byte for byte at every size, and one byte past a limit is rejected by the name of the
//! property.

use serde_json::{Map, Value, json};

use crate::{
    support::app::Setup,
    wire::formats::{READ, encode},
};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";
/// `limits.token_bytes`, at its default.
const LIMIT: usize = 65_536;
const SIZES: [usize; 7] = [0, 1, 1023, 1024, 4096, 65_535, LIMIT];

/// A text of this number of bytes, made of two-byte characters as far as possible.
fn text(bytes: usize) -> String {
    format!("{}{}", "å".repeat(bytes / 2), &"x"[..bytes % 2])
}

fn members(access_token: &str, refresh_token: &str) -> Map<String, Value> {
    let carrier = json!({
        "Provider": "et", "AccessToken": access_token, "RefreshToken": refresh_token
    });
    carrier.as_object().expect("an object").clone()
}

/// CONTRACT 7, 16: each size in each of the seven types. One byte more is a 400 that names the property.
#[test]
fn a_token_of_any_size_comes_back_in_every_type() {
    let app = Setup::new().with("LOG__FILTER", "warn").start();
    let client = app.client();
    let save = |content_type: &str, members: &Map<String, Value>| {
        let body = encode(content_type, "TokenManagementInfo", members);
        client.request("POST", SAVE, &[("Content-Type", content_type)], &body)
    };
    for content_type in READ {
        for size in SIZES {
            let token = text(size);
            let saved = save(content_type, &members("fugit", &token)).expect(200).key();
            let got = client.get(&saved);
            assert!(got["RefreshToken"] == token, "{content_type}: {size} bytes");
        }
        let over = text(LIMIT + 1);
        let refused = save(content_type, &members("fugit", &over));
        let message = format!("RefreshToken is longer than {LIMIT} bytes");
        refused.expect_error(400, "ArgumentException", &message);
    }
    assert_eq!(app.saved_rows(), READ.len() * SIZES.len());
}

/// CONTRACT 13: a body of exactly the limit is read, and one byte more is a 413, in each type.
#[test]
fn a_body_may_have_exactly_the_limit() {
    const BODY_LIMIT: usize = 2000;
    let setup = Setup::new().with("LIMITS__BODY_BYTES", &BODY_LIMIT.to_string());
    let app = setup.with("LIMITS__TOKEN_BYTES", &(BODY_LIMIT - 1).to_string()).start();
    for content_type in READ {
        let send = |bytes: usize| {
            let body =
                |token: &str| encode(content_type, "TokenManagementInfo", &members("fugit", token));
            let token = "x".repeat(bytes - body("").len());
            let body = body(&token);
            assert_eq!(body.len(), bytes);
            app.client().request("POST", SAVE, &[("Content-Type", content_type)], &body)
        };
        send(BODY_LIMIT).expect(200);
        let refused = send(BODY_LIMIT + 1);
        refused.expect_error(413, "SoLimitException", "longer than 2000 bytes");
    }
}
