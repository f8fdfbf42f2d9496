//! The client against servers that misbehave.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{self, Receiver},
    thread,
    time::Instant,
};

use model::SecretText;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn rules() -> OutgoingRules<'static> {
    OutgoingRules {
        client_certificate: None,
        ca: None,
        allow_private_addresses: false,
        allow_plain_loopback: true,
        egress_proxy: None,
    }
}

fn outgoing() -> Outgoing {
    Outgoing::new(&rules()).expect("rules that can be followed")
}

/// Starts a server on this machine that handles each connection with `deal`, and reports each complete request.
fn server(deal: impl Fn(TcpStream) + Send + 'static) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}/token", listener.local_addr().expect("address"));
    let (told, requests) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("connection");
            let _ = told.send(read_request(&mut stream));
            deal(stream);
        }
    });
    (url, requests)
}

/// Reads a request to the end of its body, or to the end of the connection.
fn read_request(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut byte = [0];
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
                return String::from_utf8(read).expect("text");
            }
        }
        match stream.read(&mut byte) {
            Ok(1) => read.push(byte[0]),
            _ => return String::from_utf8(read).expect("text"),
        }
    }
}

fn answer(stream: &mut TcpStream, head: &str, body: &[u8]) {
    let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(body);
}

fn request(url: &str) -> ProviderRequest {
    ProviderRequest {
        url: url.to_owned(),
        authorization: Some(SecretText::from("Basic CANARY")),
        content_type: "application/x-www-form-urlencoded",
        body: SecretText::from("refresh_token=CANARY"),
    }
}

/// Returns why a request to this URL fails; the log never has a secret.
fn failure(url: &str, deadline: Duration) -> SendError {
    let error = outgoing().post(&request(url), deadline).err().expect("no answer");
    assert!(!format!("{error} {error:?}").contains("CANARY"), "{error:?}");
    error
}

#[test]
fn a_request_is_what_the_provider_crate_made() {
    let (url, requests) = server(|mut stream| {
        let head = "503 x\r\nContent-Type: text/x\r\nRetry-After: 7";
        answer(&mut stream, head, b"busy");
    });
    let received = outgoing().post(&request(&url), MINUTE).expect("an answer");
    assert_eq!((received.status, &**received.body), (503, b"busy".as_slice()));
    assert_eq!(received.content_type.as_deref(), Some("text/x"));
    assert_eq!(received.retry_after.as_deref(), Some("7"));
    let seen = requests.recv().expect("a request");
    let (head, body) = seen.split_once("\r\n\r\n").expect("a head");
    assert_eq!(body, "refresh_token=CANARY");
    let head = head.to_lowercase();
    for line in [
        "post /token http/1.1",
        "authorization: basic canary",
        "content-type: application/x-www-form-urlencoded",
        "accept: application/json",
        "accept-encoding: identity",
        "connection: close",
        "user-agent: latchkey",
    ] {
        assert!(head.lines().any(|seen| seen == line), "{line}: {head}");
    }
    outgoing().get(&url, MINUTE).expect("an answer");
    assert!(requests.recv().expect("a request").starts_with("GET /token "));
}

#[test]
fn a_redirect_is_an_answer_and_is_not_followed() {
    let trap = TcpListener::bind("127.0.0.1:0").expect("bind");
    trap.set_nonblocking(true).expect("it does not wait");
    let location = trap.local_addr().expect("address");
    for status in [301, 302, 303, 307, 308] {
        let (url, _requests) = server(move |mut stream| {
            answer(&mut stream, &format!("{status} x\r\nLocation: http://{location}/"), b"");
        });
        let received = outgoing().post(&request(&url), MINUTE).expect("an answer");
        assert_eq!(received.status, status);
    }
    assert!(trap.accept().is_err(), "nothing came");
}

#[test]
fn an_answer_has_a_bound() {
    for (length, fits) in [(MOST_BYTES, true), (MOST_BYTES + 1, false), (50_000_000, false)] {
        let (url, _requests) = server(move |mut stream| {
            answer(&mut stream, "200 OK", &vec![b' '; length]);
        });
        let answer = outgoing().post(&request(&url), MINUTE);
        match answer {
            Ok(received) => assert!(fits && received.body.len() == length, "{length}"),
            Err(error) => {
                assert!(!fits, "{length}: {error}");
                assert_eq!((error.cause, error.was_sent), (CauseKind::TooLarge, true));
            }
        }
    }
    let (url, _requests) = server(|mut stream| {
        let head = format!("200 OK\r\nX: {}", "x".repeat(MOST_HEAD_BYTES));
        answer(&mut stream, &head, b"{}");
    });
    let error = failure(&url, MINUTE);
    assert_eq!((error.cause, error.was_sent), (CauseKind::TooLarge, true), "{error}");
}

/// A request that breaks off after it was sent may have been handled.
#[test]
fn a_connection_that_breaks_leaves_the_request_in_doubt() {
    let reset = |stream: TcpStream| {
        // Closing with unread data resets the connection.
        drop(stream);
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}/", listener.local_addr().expect("address"));
    let resetting = thread::spawn(move || {
        let (mut stream, _from) = listener.accept().expect("connection");
        stream.read_exact(&mut [0]).expect("a byte of the request");
        reset(stream);
    });
    let error = failure(&url, MINUTE);
    assert_eq!((error.cause, error.was_sent), (CauseKind::Network, true), "{error}");
    resetting.join().expect("no panic");

    let (url, requests) = server(drop);
    let error = failure(&url, MINUTE);
    assert_eq!((error.cause, error.was_sent), (CauseKind::Network, true), "{error}");
    assert!(requests.try_recv().is_ok());
    assert!(requests.try_recv().is_err(), "it is not sent again");

    let (url, _requests) = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"access");
    });
    let error = failure(&url, MINUTE);
    assert_eq!((error.cause, error.was_sent), (CauseKind::Unreadable, true), "{error}");

    let (url, _requests) = server(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-x\r\n\r\n");
    });
    let error = failure(&url, MINUTE);
    assert_eq!((error.cause, error.was_sent), (CauseKind::Unreadable, true), "{error}");
}

#[test]
fn an_answer_that_does_not_come_is_given_up() {
    let moment = Duration::from_millis(300);
    let (url, _requests) = server(|stream| {
        thread::sleep(MINUTE);
        drop(stream);
    });
    let (drip, _dripping) = server(|mut stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while stream.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    for url in [url, drip] {
        let began = Instant::now();
        let error = failure(&url, moment);
        assert_eq!((error.cause, error.was_sent), (CauseKind::Timeout, true), "{error}");
        assert!(began.elapsed() < 10 * moment, "{:?}", began.elapsed());
    }
}

/// A request that fails before its first byte was certainly not handled.
#[test]
fn a_request_that_could_not_be_sent_is_known() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = closed.local_addr().expect("address");
    drop(closed);
    let unsent = |outgoing: &Outgoing, url: &str, cause| {
        let error = outgoing.post(&request(url), MINUTE).err().expect("no answer");
        assert_eq!((error.cause, error.was_sent), (cause, false), "{url}: {error}");
        error.to_string()
    };
    let strict = outgoing();
    unsent(&strict, &format!("http://{address}/"), CauseKind::Network);
    unsent(&strict, "https://name.invalid/", CauseKind::Network);
    unsent(&strict, "http://id.example.com/", CauseKind::Network);
    unsent(&strict, "https://u:CANARY@id.example.com/", CauseKind::Network);

    // One server without TLS that sends noise, and one that closes during the handshake.
    let lenient = OutgoingRules { allow_private_addresses: true, ..rules() };
    let lenient = Outgoing::new(&lenient).expect("rules");
    let noise = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = noise.local_addr().expect("address").port();
    thread::spawn(move || {
        for (number, stream) in noise.incoming().enumerate() {
            let mut stream = stream.expect("connection");
            let _ = stream.read(&mut [0; 1024]);
            if number == 0 {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        }
    });
    let url = format!("https://127.0.0.1:{port}/");
    unsent(&lenient, &url, CauseKind::Tls);
    unsent(&lenient, &url, CauseKind::Network);

    let bad = ProviderRequest {
        authorization: Some(SecretText::from("Basic \r\nCANARY")),
        ..request(&format!("http://{address}/"))
    };
    let error = strict.post(&bad, MINUTE).err().expect("no answer");
    assert_eq!((error.cause, error.was_sent), (CauseKind::InvalidClient, false));
}

/// Hosts whose addresses are not public are rejected before a connection, in every notation.
#[test]
fn addresses_that_are_not_public_are_refused() {
    let trap = TcpListener::bind("127.0.0.1:0").expect("bind");
    trap.set_nonblocking(true).expect("it does not wait");
    let port = trap.local_addr().expect("address").port();
    let outgoing = outgoing();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00::1]",
        "[64:ff9b::7f00:1]",
        "192.168.0.1",
        "224.0.0.1",
    ] {
        let url = format!("https://{host}:{port}/");
        let began = Instant::now();
        let error = outgoing.get(&url, MINUTE).err().expect("no answer");
        assert_eq!((error.cause, error.was_sent), (CauseKind::Network, false), "{host}: {error}");
        let text = error.to_string();
        assert!(text.contains("not public"), "{host}: {text}");
        assert!(began.elapsed() < Duration::from_secs(5), "{host}");
    }
    assert!(trap.accept().is_err(), "nothing came");
    // Without TLS only this machine is reached, even if all else is allowed.
    let lenient = OutgoingRules { allow_private_addresses: true, ..rules() };
    let error = Outgoing::new(&lenient).expect("rules").get("http://10.0.0.1/", MINUTE);
    assert!(!error.err().expect("refused").was_sent);
}

/// A proxy gets names unchanged, and an address in a URL is still checked.
#[test]
fn an_egress_proxy_is_asked_to_connect() {
    let (url, requests) = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    });
    let proxy = url.trim_end_matches("/token");
    let through = OutgoingRules { egress_proxy: Some(proxy), ..rules() };
    let through = Outgoing::new(&through).expect("rules");
    let error = through.post(&request("https://id.example.com/token"), MINUTE);
    let error = error.err().expect("the proxy refuses");
    assert_eq!((error.cause, error.was_sent), (CauseKind::Network, false), "{error}");
    let asked = requests.recv().expect("a request");
    assert!(asked.starts_with("CONNECT id.example.com:443 HTTP/1.1\r\n"), "{asked}");
    assert!(!asked.contains("CANARY"), "{asked}");
    let error = through.get("https://10.0.0.1/", MINUTE).err().expect("refused");
    assert!(error.to_string().contains("not public"), "{error}");
    assert!(requests.try_recv().is_err(), "the proxy was not asked");

    let (url, requests) = server(|mut stream| answer(&mut stream, "200 OK", b"{}"));
    assert_eq!(through.get(&url, MINUTE).expect("an answer").status, 200);
    assert!(requests.recv().expect("a request").starts_with("GET "), "this machine needs no proxy");
}

#[test]
fn a_file_of_certificates_must_hold_some() {
    let folder = std::env::temp_dir();
    let file = folder.join(format!("latchkey-outgoing-{}.pem", std::process::id()));
    for (content, told) in [
        (None, "is no use: No such file"),
        (Some("nothing"), "it holds no certificate"),
        (
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "a faulty certificate",
        ),
    ] {
        match content {
            Some(content) => fs::write(&file, content).expect("written"),
            None => drop(fs::remove_file(&file)),
        }
        let rules = OutgoingRules { ca: Some(&file), ..rules() };
        let error = format!("{:#}", Outgoing::new(&rules).err().expect("refused"));
        assert!(error.contains(told), "{error}");
    }
    fs::remove_file(&file).expect("removed");
}
