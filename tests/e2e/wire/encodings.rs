//! Encodings of request bodies: charsets and compression (CONTRACT 13).
//!
//! Invariant: with every encoding, the saved carrier is the one that was encoded.

use std::io::Write as _;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use serde_json::json;

use crate::support::{
    app::{Setup, TestApp},
    client::{Answer, Client},
};

const SAVE: &str = "/api/v1/Agents/User/SaveExternalTokens";

fn save(client: &Client, content_type: &str, body: &[u8]) -> Answer {
    client.request("POST", SAVE, &[("Content-Type", content_type)], body)
}

/// CONTRACT 13: charsets, for every type, and the declaration of XML.
#[test]
fn charsets_are_honoured() {
    let app = TestApp::new();
    let client = app.client();
    let json = r#"{"TokenManagementInfo":{"Provider":"å","AccessToken":"fugit"}}"#;
    let xml = "<R><TokenManagementInfo><Provider>å</Provider><AccessToken>fugit</AccessToken>\
               </TokenManagementInfo></R>";
    let form = "Provider=å&AccessToken=fugit";
    let latin = |text: &str| text.chars().map(|c| c as u8).collect::<Vec<u8>>();
    let le = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let be = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    for (media_type, text) in
        [("application/json", json), ("text/xml", xml), ("application/x-www-form-urlencoded", form)]
    {
        for (charset, bytes) in [
            ("utf-8", text.as_bytes().to_vec()),
            ("UTF-8", [b"\xef\xbb\xbf", text.as_bytes()].concat()),
            ("iso-8859-1", latin(text)),
            ("\"ISO-8859-1\"", latin(text)),
            ("utf-16", le(text)),
            ("utf-16", be(&format!("\u{feff}{text}"))),
            ("UTF-16", le(&format!("\u{feff}{text}"))),
            ("utf-16be", be(text)),
            ("utf8", text.as_bytes().to_vec()),
            ("", text.as_bytes().to_vec()),
            ("us-ascii", text.as_bytes().to_vec()),
            ("latin1", latin(text)),
            ("windows-1252", latin(text)),
            ("unicode", le(text)),
        ] {
            let content_type = format!("{media_type}; charset={charset}");
            let answer = save(&client, &content_type, &bytes).expect(200);
            assert_eq!(client.get(&answer.key())["Provider"], "å", "{content_type}");
        }
        let content_type = format!("{media_type}; charset=utf-8");
        let answer = save(&client, &content_type, &latin(text));
        answer.expect_error(400, "ArgumentException", "not valid utf-8");
        // A wrong byte order mark yields other characters, and an odd length is no valid text.
        let content_type = format!("{media_type}; charset=utf-16");
        let wrong = [&b"\xff\xfe"[..], &be(text)].concat();
        save(&client, &content_type, &wrong).expect(400);
        let odd = &le(text)[1..];
        save(&client, &content_type, odd).expect(400);
    }
    // JSON and XML begin with an ASCII character, so their first bytes show whether they are UTF-16.
    for (media_type, text) in [("application/json", json), ("text/xml", xml)] {
        for bytes in
            [le(text), be(text), le(&format!("\u{feff}{text}")), be(&format!("\u{feff}{text}"))]
        {
            for content_type in [media_type.to_owned(), format!("{media_type}; charset=utf-8")] {
                let answer = save(&client, &content_type, &bytes).expect(200);
                assert_eq!(client.get(&answer.key())["Provider"], "å", "{content_type}");
            }
        }
        let content_type = format!("{media_type}; charset=utf-16");
        let answer = save(&client, &content_type, text.as_bytes()).expect(200);
        assert_eq!(client.get(&answer.key())["Provider"], "å", "{content_type}");
        let answer = save(&client, media_type, &latin(text));
        answer.expect_error(400, "ArgumentException", "not valid utf-8");
    }
    let ascii = xml.replace('å', "&#229;");
    for (label, document) in [
        ("ASCII", &ascii),
        ("utf-16", &xml.to_owned()),
        ("", &xml.to_owned()),
        ("utf8", &xml.to_owned()),
    ] {
        let document = format!("<?xml version='1.0' encoding='{label}'?>{document}");
        let answer = save(&client, "text/xml", document.as_bytes()).expect(200);
        assert_eq!(client.get(&answer.key())["Provider"], "å", "{label}");
    }
    let odd = format!("<?xml version='1.0' encoding='koi8-r'?>{xml}");
    let odd = save(&client, "text/xml", odd.as_bytes());
    let odd = odd.expect_error(415, "NotSupportedException", "XML declaration names an encoding");
    assert!(odd.header("Accept-Post").starts_with("application/json, "), "{odd:?}");
    let declared = latin(&format!("<?xml version='1.0' encoding='iso-8859-1'?>{xml}"));
    let answer = save(&client, "text/xml", &declared).expect(200);
    assert_eq!(client.get(&answer.key())["Provider"], "å");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("gzip")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("zlib")
}

/// A carrier with the access token `fugit`, compressed by the `brotli` command.
const BROTLI: &[u8] =
    b"\x0b\x1f\x80{\"TokenManagementInfo\":{\"Provider\":\"et\",\"AccessToken\":\"fugit\"}}\x03";

/// CONTRACT 13: compressed bodies; the limit applies to the decompressed size.
#[test]
fn compressed_bodies_are_read_up_to_the_limit() {
    let app = Setup::new().with("LIMITS__TOKEN_BYTES", "1000").with("LIMITS__BODY_BYTES", "2000");
    let app = app.start();
    let client = app.client();
    let save = |coding: &str, body: &[u8]| {
        let headers = [("Content-Type", "application/json"), ("Content-Encoding", coding)];
        client.request("POST", SAVE, &headers, body)
    };
    let token = "fugit".repeat(100);
    let body = json!({"TokenManagementInfo": {"Provider": "et", "AccessToken": token}}).to_string();
    let zstd = zstd::encode_all(body.as_bytes(), 3).expect("zstd");
    for (coding, bytes) in [
        ("identity", body.clone().into_bytes()),
        ("gzip", gzip(body.as_bytes())),
        ("X-GZip", gzip(body.as_bytes())),
        ("zstd", zstd),
        ("deflate", zlib(body.as_bytes())),
    ] {
        let key = save(coding, &bytes).expect(200).key();
        assert_eq!(client.access_token(&key).as_deref(), Some(token.as_str()), "{coding}");
    }
    let key = save("br", BROTLI).expect(200).key();
    assert_eq!(client.access_token(&key).as_deref(), Some("fugit"));
    let bomb = gzip(&vec![b' '; 100_000_000]);
    let error = save("gzip", &bomb[..1900]);
    error.expect_error(413, "SoLimitException", "longer than 2000 bytes");
    save("gzip", &bomb).expect_error(413, "SoLimitException", "longer than 2000 bytes");
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let message = format!("not valid {coding}");
        save(coding, b"CANARY").expect_error(400, "ArgumentException", &message);
    }
}
