//! Starts a real gateway as a process, on free ports and in a folder of its own, and talks HTTP to it.
//!
//! Nothing here waits for a time to pass: a start is over when the start-up block says the addresses, a reload when
//! the admin listener answers it, an outcome when the ledger holds it.

#![forbid(unsafe_code)]

pub mod seeded;
pub mod servers;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Once,
    time::Duration,
};

use futures_util::StreamExt as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A test that waits longer than this has met a hang.
pub const HANG: Duration = Duration::from_secs(60);

/// What a gateway is started with.
#[derive(Debug)]
pub struct Builder {
    binary: PathBuf,
    folder: TempDir,
    config: bool,
    environment: BTreeMap<String, String>,
}

impl Builder {
    /// A gateway of this binary, in an empty folder, with an empty environment and no configuration file.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            folder: tempfile::tempdir().expect("a temporary folder"),
            config: false,
            environment: BTreeMap::new(),
        }
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Writes a file into the folder.
    #[must_use]
    pub fn file(self, name: &str, text: &str) -> Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
        self
    }

    /// Starts with this configuration file.
    #[must_use]
    pub fn config(mut self, yaml: &str) -> Self {
        self.config = true;
        self.file("pointsman.yaml", yaml)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new key of `pointsman.yaml`, as `pointsman keys new` prints it.
    pub fn key(&self, team: &str, context: &str) -> String {
        let (code, out, error) =
            self.command(&["keys", "new", "--team", team, "--context", context, "--config", "pointsman.yaml"]);
        assert_eq!(code, 0, "{error}");
        out.split_whitespace().find(|word| word.starts_with("pm_")).expect("a key").to_owned()
    }

    /// Runs another command of the binary to its end: exit code, standard output, standard error.
    pub fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.process(arguments).output().expect("the binary runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    fn process(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    fn serve(&self) -> Command {
        let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", "data"];
        if self.config {
            arguments.extend(["--config", "pointsman.yaml"]);
        }
        self.process(&arguments)
    }

    /// Starts it and expects it to refuse: what it says.
    pub fn refused(&self) -> String {
        let output = self.serve().output().expect("the binary runs");
        assert!(!output.status.success(), "it started");
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    /// Starts it and waits until it says its addresses.
    pub fn start(self) -> Pointsman {
        let (process, banner) = spawn(&self);
        Pointsman {
            client: address(&banner, "clients"),
            admin: address(&banner, "admin"),
            banner,
            process,
            builder: self,
            key: None,
        }
    }
}

fn spawn(builder: &Builder) -> (Child, String) {
    let log =
        std::fs::OpenOptions::new().create(true).append(true).open(builder.folder().join("log.txt")).expect("a log");
    let mut process = builder.serve().stdout(Stdio::piped()).stderr(log).spawn().expect("the binary starts");
    let mut banner = String::new();
    let mut lines = BufReader::new(process.stdout.take().expect("a pipe"));
    // The block ends with the line to paste.
    while !banner.contains("-d '{") {
        if lines.read_line(&mut banner).expect("UTF-8") == 0 {
            let log = std::fs::read_to_string(builder.folder().join("log.txt")).unwrap_or_default();
            let _ = process.wait();
            panic!("it did not start:\n{banner}{log}");
        }
    }
    (process, banner)
}

fn address(banner: &str, what: &str) -> String {
    let line = banner.lines().find(|line| line.trim_start().starts_with(what)).expect("an address");
    let url = line.split_whitespace().nth(1).expect("an address");
    url.trim_end_matches("/v1").to_owned()
}

/// A running gateway. Dropped, it is killed.
#[derive(Debug)]
pub struct Pointsman {
    /// `http://ADDRESS` of the clients' listener.
    pub client: String,
    /// `http://ADDRESS` of the admin listener.
    pub admin: String,
    /// The start-up block.
    pub banner: String,
    process: Child,
    builder: Builder,
    key: Option<String>,
}

impl Drop for Pointsman {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the gateway\n{}", self.log());
        }
    }
}

impl Pointsman {
    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.builder.folder()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("log.txt")).unwrap_or_default()
    }

    /// Runs another command of the binary beside it.
    pub fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        self.builder.command(arguments)
    }

    /// Sends requests with this key from now on.
    pub fn with_key(&mut self, key: &str) {
        self.key = Some(key.to_owned());
    }

    /// The key that requests are sent with.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills it as a power cut would, and starts it again in the same folder.
    pub fn kill_and_restart(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
        self.start_again();
    }

    /// Asks it to stop, waits for its end, and starts it again in the same folder.
    pub fn stop_and_restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Asks it to stop, and waits for its end.
    pub fn stop(&mut self) {
        let asked = Command::new("kill").arg(self.pid().to_string()).status().expect("a `kill`");
        assert!(asked.success() && self.process.wait().expect("it ends").success(), "it stops in good order");
    }

    /// Starts it again in the same folder, once it has ended.
    pub fn start_again(&mut self) {
        let (process, banner) = spawn(&self.builder);
        self.client = address(&banner, "clients");
        self.admin = address(&banner, "admin");
        (self.process, self.banner) = (process, banner);
    }

    /// Replaces a file of its folder at once, as an editor would, and loads the configuration again.
    pub async fn reload_with(&self, name: &str, text: &str) -> (u16, Value) {
        let mut new = tempfile::NamedTempFile::new_in(self.folder()).expect("a file");
        new.write_all(text.as_bytes()).expect("written");
        new.persist(self.folder().join(name)).expect("renamed");
        self.send(client().post(format!("{}/reload", self.admin))).await
    }

    /// Its open sockets.
    pub fn sockets(&self) -> usize {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("it runs, on Linux");
        let is_socket = |path: std::path::PathBuf| {
            std::fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
        };
        descriptors.filter(|entry| entry.as_ref().is_ok_and(|entry| is_socket(entry.path()))).count()
    }

    /// Its resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs, on Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of its memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// A request with the key.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let request = client().request(method.parse().expect("a method"), format!("{}{path}", self.client));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends a request: status and JSON body.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let bytes = response.bytes().await.expect("a body");
        (
            status,
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned())),
        )
    }

    /// `GET path`
    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send(self.request("GET", path)).await
    }

    /// `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(self.request("POST", path).json(body)).await
    }

    /// A chat of one user turn, whole: status and body.
    pub async fn chat(&self, model: &str, text: &str) -> (u16, Value) {
        self.post("/v1/chat/completions", &chat(model, text)).await
    }

    /// A streamed answer to the body: the data of its events, `[DONE]` included.
    pub async fn stream(&self, path: &str, body: &Value) -> Vec<String> {
        let response = self.request("POST", path).json(body).send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200, "{}", response.text().await.unwrap_or_default());
        let mut text = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            text.extend_from_slice(&chunk.expect("the body ends cleanly"));
        }
        events(&text)
    }

    /// The records of requests in its ledger, oldest first.
    pub fn ledger(&self) -> Vec<Value> {
        let is_of_request = |record: &Value| record.get("request").is_some();
        self.records().into_iter().filter(is_of_request).collect()
    }

    /// All records of its ledger, oldest first: those of the gateway itself too. The place of each is its number.
    pub fn records(&self) -> Vec<Value> {
        let records = ledger::read(&self.folder().join("data/ledger")).expect("a ledger");
        records.map(|record| serde_json::from_slice(&record.expect("a whole record").1).expect("JSON")).collect()
    }

    /// The outcome of a request, once it is there.
    pub async fn outcome(&self, request: &str) -> Value {
        until(|| self.ledger().into_iter().find(|record| record["kind"] == "outcome" && record["request"] == request))
            .await
    }
}

/// A message that somebody posted, and who waits for the answer.
#[derive(Debug)]
pub struct Posted {
    /// Request line and headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
    connection: tokio::net::TcpStream,
}

/// The next message that is posted to an address.
///
/// # Panics
/// When the connection breaks, or what comes is no request with a length.
pub async fn posted(listener: &tokio::net::TcpListener) -> Posted {
    let (mut connection, _) = listener.accept().await.expect("a connection");
    let mut read = Vec::new();
    loop {
        let more = connection.read_buf(&mut read).await.expect("a request");
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
            assert!(more > 0, "the request broke off");
            continue;
        };
        let head = String::from_utf8(read[..end].to_vec()).expect("a head of text");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        if read.len() == end + 4 + length.parse::<usize>().expect("a number") {
            return Posted { body: read.split_off(end + 4), head, connection };
        }
    }
}

impl Posted {
    /// The value of a header.
    ///
    /// # Panics
    /// Where there is none of the name.
    pub fn header(&self, name: &str) -> &str {
        let line = self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }

    /// Answers it: `headers` are lines, each with its end.
    ///
    /// # Panics
    /// When the connection breaks.
    pub async fn answer(mut self, status: &str, headers: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n", body.len());
        let answer = [head.as_bytes(), body].concat();
        self.connection.write_all(&answer).await.expect("somebody waits for it");
    }
}

/// Asks again and again, giving way to others, until there is an answer.
///
/// # Panics
/// After [`HANG`].
pub async fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < HANG, "waited too long");
        tokio::task::yield_now().await;
    }
}

/// The body of a chat of one user turn.
pub fn chat(model: &str, text: &str) -> Value {
    serde_json::json!({"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 60})
}

/// The `data` of each server-sent event.
pub fn events(bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).map(str::to_owned).collect()
}

/// An HTTP client without a pool, so that each request is a connection of its own.
pub fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(HANG).build().expect("a client")
}
