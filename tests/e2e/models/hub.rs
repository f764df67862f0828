//! A hub with one repository: says what it has, gives the bytes, and fails as it is told. It speaks HTTP over a real socket, on
//! threads of its own, since a command that a test waits for blocks the test.

use std::{
    io::{BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The commit that every revision is.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What becomes of a request for a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Play {
    /// The bytes, from where they are asked for.
    Whole,
    /// Half of what is asked for, and then the connection breaks.
    Cut,
    /// A status and nothing.
    Status(u16),
    /// Other bytes than were said.
    Wrong,
    /// All bytes, whatever is asked for.
    WithoutRanges,
}

/// What somebody asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

#[derive(Default)]
struct Script {
    /// Files, by their paths.
    files: Vec<(String, Vec<u8>)>,
    /// What the card says.
    card: Value,
    /// What becomes of the next requests for files; then the bytes are given.
    plays: Vec<Play>,
    /// Only who shows this token is told anything.
    token: Option<String>,
    /// Where files lie, if elsewhere.
    elsewhere: Option<String>,
    /// The size that is said of every file, if not its own.
    claimed: Option<u64>,
    asked: Vec<Asked>,
}

/// A hub that runs until the test ends.
#[derive(Clone)]
pub struct Hub {
    pub address: String,
    script: Arc<Mutex<Script>>,
}

impl Hub {
    pub fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.clone())).collect();
        let script = Arc::new(Mutex::new(Script { files, card: json!({}), ..Script::default() }));
        let hub = Self { address, script };
        let served = hub.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (hub, Ok(connection)) = (served.clone(), connection) else { break };
                // Whoever asks may go away at any time.
                thread::spawn(move || hub.serve(connection));
            }
        });
        hub
    }

    fn change(&self, change: impl FnOnce(&mut Script)) -> &Self {
        change(&mut self.script.lock().expect("no test has panicked in it"));
        self
    }

    pub fn card(&self, card: Value) -> &Self {
        self.change(|script| script.card = card)
    }

    pub fn plays(&self, plays: &[Play]) -> &Self {
        self.change(|script| script.plays = plays.to_vec())
    }

    pub fn token(&self, token: &str) -> &Self {
        self.change(|script| script.token = Some(token.to_owned()))
    }

    pub fn elsewhere(&self, other: &Hub) -> &Self {
        self.change(|script| script.elsewhere = Some(other.address.clone()))
    }

    pub fn claims(&self, bytes: u64) -> &Self {
        self.change(|script| script.claimed = Some(bytes))
    }

    /// What was asked so far, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.script.lock().expect("no test has panicked in it").asked.clone()
    }

    /// The requests for files so far.
    pub fn files(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.path.contains("/resolve/")).collect()
    }

    /// Answers the requests of a connection, one after the other.
    fn serve(&self, connection: TcpStream) {
        let Ok(mut reader) = connection.try_clone().map(BufReader::new) else { return };
        while let Some(asked) = request(&mut reader) {
            if self.answer(&connection, &asked).is_err() {
                let _ = connection.shutdown(std::net::Shutdown::Both);
                return;
            }
        }
    }

    /// Answers one; an error ends the connection.
    fn answer(&self, mut connection: &TcpStream, asked: &Asked) -> std::io::Result<()> {
        let mut script = self.script.lock().expect("no test has panicked in it");
        script.asked.push(asked.clone());
        let mut say = |status: u16, headers: &str, body: &[u8]| {
            let head = format!("HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n", body.len());
            connection.write_all(&[head.as_bytes(), body].concat())
        };
        if let Some(token) = &script.token
            && asked.authorization.as_deref() != Some(&format!("Bearer {token}"))
        {
            return say(401, "", b"{}");
        }
        let Some((_, path)) = asked.path.split_once(&format!("/resolve/{COMMIT}/")) else {
            let sibling = |(path, bytes): &(String, Vec<u8>)| {
                let size = script.claimed.unwrap_or(bytes.len() as u64);
                json!({"rfilename": path, "lfs": {"sha256": sha256(bytes), "size": size, "pointerSize": 1}})
            };
            let siblings: Vec<_> = script.files.iter().map(sibling).collect();
            let known =
                asked.path.starts_with("/api/models/acme/chat-GGUF/revision/") || asked.path.contains("mistralai");
            return match known {
                true => say(
                    200,
                    "",
                    json!({"sha": COMMIT, "siblings": siblings, "cardData": script.card}).to_string().as_bytes(),
                ),
                false => say(404, "", b"{}"),
            };
        };
        if let Some(elsewhere) = &script.elsewhere {
            let location = format!("location: {elsewhere}{}\r\n", asked.path);
            return say(302, &location, b"");
        }
        let play = if script.plays.is_empty() { Play::Whole } else { script.plays.remove(0) };
        let Some((_, bytes)) = script.files.iter().find(|(known, _)| known == path) else { return say(404, "", b"") };
        let from =
            asked.range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let from: usize = if play == Play::WithoutRanges { 0 } else { from.unwrap_or(0) };
        let rest = &bytes[from..];
        let range = format!("content-range: bytes {from}-{}/{}\r\n", bytes.len().saturating_sub(1), bytes.len());
        let (status, headers) = if from > 0 { (206, range.as_str()) } else { (200, "") };
        match play {
            Play::Whole | Play::WithoutRanges => say(status, headers, rest),
            Play::Status(status) => say(status, "", b""),
            Play::Wrong => say(status, headers, &vec![b'x'; rest.len()]),
            Play::Cut => {
                let head = format!("HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n", rest.len());
                connection.write_all(&[head.as_bytes(), &rest[..rest.len() / 2]].concat())?;
                Err(std::io::ErrorKind::ConnectionReset.into())
            }
        }
    }
}

fn request(reader: &mut impl std::io::BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut asked = Asked { path, range: None, authorization: None };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { return Some(asked) };
        match name.to_ascii_lowercase().as_str() {
            "range" => asked.range = Some(value.to_owned()),
            "authorization" => asked.authorization = Some(value.to_owned()),
            _ => {}
        }
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
