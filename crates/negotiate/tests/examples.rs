//! The example servers, called over HTTP.
//!
//! Invariant: both examples give the same answers.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use rstest::rstest;

/// A running example. It ends with the test.
struct Server {
    process: Child,
    /// Such as `127.0.0.1:4711`.
    address: String,
}

struct Answer {
    status: u16,
    /// Status line and headers, in lower case.
    head: String,
    body: String,
}

impl Server {
    fn start(example: &str) -> Self {
        // Cargo builds examples next to the folder of the tests.
        let test = std::env::current_exe().expect("the path of this test");
        let folder = test.ancestors().nth(2).expect("the folder of the build");
        let file =
            folder.join("examples").join(format!("{example}{}", std::env::consts::EXE_SUFFIX));
        let command = Command::new(&file).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn();
        let mut process = command.unwrap_or_else(|error| {
            panic!("{}: {error}; `cargo build --examples` builds it", file.display())
        });
        let mut line = String::new();
        let output = process.stdout.take().expect("the output of the example");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let address = line.trim().strip_prefix("listening on http://").expect("an address");
        let address = address.strip_suffix("/orders").expect("a path").to_owned();
        Self { process, address }
    }

    /// Calls the server. Each header is a line such as `Accept: text/xml`.
    fn call(&self, method: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let mut head = format!("{method} /orders HTTP/1.1\r\nHost: {}\r\n", self.address);
        head.push_str(&format!("Connection: close\r\nContent-Length: {}\r\n", body.len()));
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).expect("a request");
        // A server may answer and close before it has read a body that is too long.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer {
            status: status.expect("a status"),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn post(&self, headers: &[&str], body: &str) -> Answer {
        self.call("POST", headers, body.as_bytes())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const JSON: &str = "Content-Type: application/json";
const XML: &str = "Content-Type: application/xml";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const DECLARATION: &str = r#"<?xml version="1.0" encoding="utf-8"?>"#;
const ORDER: &str = r#"{"customer": "Åse", "gift": true,
    "lines": [{"product": "tea", "count": 2}, {"product": "milk", "count": 1}]}"#;

#[rstest]
#[case::axum("axum")]
#[case::actix("actix")]
fn an_order_is_taken_in_every_type(#[case] example: &str) {
    let server = Server::start(example);
    let lines = "<Line><Product>tea</Product><Count>2</Count></Line>";
    let lines = format!("{}{}", lines, lines.replace("tea", "milk").replace('2', "1"));
    let xml = format!(
        "<Order><Customer>Åse</Customer><Gift>true</Gift>{}</Order>",
        lines.replace("Line>", "Lines>")
    );
    let items = format!(
        "<Order><Customer>Åse</Customer><Gift>1</Gift><Lines>{}</Lines></Order>",
        lines.replace("Line>", "Item>")
    );
    let form = "customer=%C3%85se&gift=true&lines[0].product=tea&lines[0].count=2\
                &lines[1][product]=milk&lines[1][count]=1";
    for (content_type, body) in
        [(JSON, ORDER), (XML, xml.as_str()), (XML, items.as_str()), (FORM, form)]
    {
        let answer = server.post(&[content_type], body);
        assert_eq!(answer.status, 200, "{content_type}: {}", answer.body);
        assert!(answer.head.contains("\r\ncontent-type: application/json; charset=utf-8\r\n"));
        let expected = r#"{"customer":"Åse","gift":true,"products":["tea","milk"],"count":3}"#;
        assert_eq!(answer.body, expected, "{content_type}");

        let answer = server.post(&[content_type, "Accept: text/xml"], body);
        assert_eq!(answer.status, 200, "{content_type}: {}", answer.body);
        assert!(answer.head.contains("\r\ncontent-type: text/xml; charset=utf-8\r\n"));
        let expected = "<Receipt><customer>Åse</customer><gift>true</gift><products><Item>tea</Item>\
                        <Item>milk</Item></products><count>3</count></Receipt>";
        assert_eq!(answer.body, format!("{DECLARATION}{expected}"), "{content_type}");
    }
}

#[rstest]
#[case::axum("axum")]
#[case::actix("actix")]
fn headers_may_have_several_lines_and_bodies_may_be_compressed(#[case] example: &str) {
    let server = Server::start(example);
    let lines = [JSON, "Accept: text/html", "Accept: application/xml;q=0.5, text/json"];
    let answer = server.post(&lines, ORDER);
    assert!(answer.head.contains("\r\ncontent-type: text/json; charset=utf-8\r\n"));

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(ORDER.as_bytes()).expect("gzip");
    let compressed = encoder.finish().expect("gzip");
    let answer = server.call("POST", &[JSON, "Content-Encoding: gzip"], &compressed);
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[rstest]
#[case::axum("axum")]
#[case::actix("actix")]
fn errors_are_in_the_negotiated_type(#[case] example: &str) {
    let server = Server::start(example);
    let wrong = ORDER.replace("\"count\": 1", "\"count\": \"one\"");
    let message = "lines[1].count must be a whole number, not a string";
    let answer = server.post(&[JSON], &wrong);
    let expected = format!(r#"{{"message":"{message}","property":"lines[1].count"}}"#);
    assert_eq!((answer.status, answer.body), (422, expected));
    let answer = server.post(&[JSON, "Accept: application/xml"], &wrong);
    let expected = format!(
        "{DECLARATION}<Failure><message>{message}</message><property>lines[1].count</property></Failure>"
    );
    assert_eq!((answer.status, answer.body), (422, expected));

    let long = format!("{}{}", ORDER, " ".repeat(64 * 1024));
    for (headers, body, status, message) in [
        (&[JSON][..], "{", 400, "the body is not valid JSON (line 1, column 1)"),
        (&[FORM], "customer=Eva", 422, "lines is missing"),
        (&[], ORDER, 415, "the request has a body but no Content-Type"),
        (&["Content-Type: image/png"], ORDER, 415, "the Content-Type is not one that is read here"),
        (
            &[JSON, "Content-Encoding: lzma"],
            ORDER,
            415,
            "the Content-Encoding is not one that is read here",
        ),
        (&[JSON, "Content-Encoding: gzip"], ORDER, 400, "the body is not valid gzip"),
        (
            &[JSON, "Accept: image/png"],
            ORDER,
            406,
            "none of the types that Accept names is answered here",
        ),
        (&[JSON], &long, 413, ""),
    ] {
        let answer = server.post(headers, body);
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.body);
        assert!(answer.body.contains(message), "{headers:?}: {}", answer.body);
        assert!(answer.head.contains("\r\ncontent-type: application/json; charset=utf-8"));
    }
    let nul = server.post(&[JSON, "Accept: text/xml"], r#"{"customer": "\u0000", "lines": []}"#);
    assert_eq!(nul.status, 406, "{}", nul.body);
    assert_eq!(server.call("GET", &[], b"").status / 100, 4);
}
