//! The programs of `examples/clients`: the how-tos show them as they are, and they handle each answer of a server.
//!
//! Invariant: a program runs as its page says. C# is only compared with its page, because Debian has no .NET. Go runs
//! where it is installed; CI does not install it, because the download is large.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use rstest::rstest;
use serde_json::json;

use crate::{
    documents::{
        how_to::{blocks, page, repository},
        openapi_tools::{assert_passes, node_tools, npx},
    },
    grants::scene::{Scene, carrier, end_access_in, end_pause},
    support::{
        parts::{has, leave_out},
        provider::{Reply, Rules, Turn},
    },
};

/// How a program says that the user has to connect again.
const CONNECT_AGAIN: i32 = 2;

#[rstest]
#[case::typescript("client-typescript.md", "typescript", "client.ts")]
#[case::python("client-python.md", "python", "client.py")]
#[case::php("client-php.md", "php", "client.php")]
#[case::csharp("client-csharp.md", "csharp", "Client.cs")]
#[case::go("client-go.md", "go", "client.go")]
#[case::shell("client-shell.md", "sh", "client.sh")]
fn a_page_shows_the_program(#[case] name: &str, #[case] language: &str, #[case] file: &str) {
    let program = fs::read_to_string(repository("examples/clients").join(file)).expect("a program");
    assert_eq!(blocks(&page(name), language)[0], program);
}

#[test]
fn the_typescript_program_handles_each_answer() {
    let Some(tools) = node_tools() else { return };
    let folder = tempfile::tempdir().expect("temporary folder");
    let out = folder.path().to_str().expect("text");
    let checks =
        ["tsc", "--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck"];
    let types = ["--types", "node", "--typeRoots", "node_modules/@types"];
    let files = ["--outDir", out, &program("client.ts")];
    assert_passes(&npx(&tools, &[&checks[..], &types[..], &files[..]].concat()));
    handle_each_answer(&["node", &format!("{out}/client.js")]);
}

#[test]
fn the_python_program_handles_each_answer() {
    if !has("python3") {
        return leave_out("the Python program", "Python 3");
    }
    handle_each_answer(&["python3", &program("client.py")]);
}

#[test]
fn the_php_program_handles_each_answer() {
    if !has("php") {
        return leave_out("the PHP program", "PHP (Debian's package `php-cli`)");
    }
    handle_each_answer(&["php", &program("client.php")]);
}

/// Not `leave_out`, because Go is not required.
#[test]
fn the_go_program_handles_each_answer() {
    if !has("go") {
        let _ = io::stderr().write_all(b"left out: the Go program needs Go, which is optional\n");
        return;
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let built = folder.path().join("client");
    let built = built.to_str().expect("text");
    let mut go = Command::new("go");
    go.args(["build", "-o", built, &program("client.go")]).env("CGO_ENABLED", "0");
    assert_passes(&go.output().expect("go"));
    handle_each_answer(&[built]);
}

#[test]
fn the_shell_program_handles_each_answer() {
    if !has("curl") || !has("jq") {
        return leave_out("the shell program", "curl and jq");
    }
    handle_each_answer(&["sh", &program("client.sh")]);
}

fn program(file: &str) -> String {
    let path = repository("examples/clients").join(file);
    path.to_str().expect("text").to_owned()
}

/// CONTRACT O1, O2, O13, 42, 46, 47: how a program handles each answer.
fn handle_each_answer(program: &[&str]) {
    let scene = Scene::new(Rules::default(), json!({}));
    let Scene { provider, app } = &scene;
    let run = |command: &str, input: &str| run(program, &app.url, "Tje0", command, input);
    let grant = provider.grant();

    // The answer to a save is lost, and it is sent again: that makes one record.
    let url = losing_the_first_answer(app.authority());
    let tokens = carrier(&grant.access, &grant.refresh).to_string();
    let key = line(&self::run(program, &url, "Tje0", "save", &tokens));
    assert_eq!(app.saved_rows(), 1);
    assert_eq!(line(&run("get", &key)), grant.access);

    // The provider's API refused the token.
    let another = line(&run("refresh", &format!("{key}\n{}", grant.access)));
    assert!(another != grant.access && provider.is_newest(&another), "{another}");

    // The provider asks for patience: a 503.
    let overdue = || {
        end_access_in(&app.setup, &key, -1);
        end_pause(&app.setup, &key);
    };
    overdue();
    let busy = Reply::new(503, "text/plain", "").header("Retry-After", "2");
    provider.next([Turn::Say(busy)]);
    let (refreshes, begun) = (scene.refreshes(), Instant::now());
    assert!(provider.is_newest(&line(&run("get", &key))));
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(scene.refreshes(), refreshes + 2);
    let held = scene.assert_lives(&key);

    // The user ended the grant: a 424.
    provider.revoke(&held.refresh.expect("a token"));
    overdue();
    let refused = run("get", &key);
    assert_says(&refused, CONNECT_AGAIN, "the user must connect again");

    // Wrong logins, which are not tried twice; wrong keys, and none.
    let refused = self::run(program, &app.url, "CANARY-wrong", "get", &key);
    assert_says(&refused, 1, "401: ");
    app.logged(&["http.status=401"]);
    assert_eq!(app.log().matches("http.status=401").count(), 1);
    assert_says(&run("get", &key[..20]), 1, "400: Key");
    assert_says(&run("get", "of another server"), 1, "the key retrieves nothing");
    assert_says(&run("delete", &key), 1, "save, get or refresh?");
}

/// Runs a program against the server at `url`.
fn run(program: &[&str], url: &str, password: &str, command: &str, input: &str) -> Output {
    let (name, arguments) = program.split_first().expect("a program");
    let mut process = Command::new(name);
    process.args(arguments).arg(command);
    process.envs([
        ("LATCHKEY_URL", url),
        ("LATCHKEY_LOGIN", "tje0"),
        ("LATCHKEY_PASSWORD", password),
    ]);
    process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = process.spawn().expect("it starts");
    // It may end without reading.
    let _ = process.stdin.take().expect("piped").write_all(format!("{input}\n").as_bytes());
    process.wait_with_output().expect("it ends")
}

/// The line that a program prints.
fn line(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    let printed = str::from_utf8(&output.stdout).expect("UTF-8");
    printed.strip_suffix('\n').expect("a line").to_owned()
}

/// Asserts how a program ends, and that it says this and nothing secret.
fn assert_says(output: &Output, status: i32, said: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    assert!(
        told.contains(said) && !told.contains("lk_0") && output.stdout.is_empty(),
        "{output:?}"
    );
}

/// Where a server is reached, but for the first connection, whose answer is lost.
fn losing_the_first_answer(authority: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let authority = authority.to_owned();
    thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let client = client.expect("a connection");
            let mut server = TcpStream::connect(&authority).expect("the server");
            pass_on(&client, &server);
            if number == 0 {
                // When it begins, the call was done.
                server.read_exact(&mut [0]).expect("an answer");
                client.shutdown(Shutdown::Both).expect("it ends");
            } else {
                pass_on(&server, &client);
            }
        }
    });
    url
}

/// Writes to one stream what is read from another.
fn pass_on(from: &TcpStream, to: &TcpStream) {
    let [mut from, mut to] = [from, to].map(|stream| stream.try_clone().expect("a stream"));
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
