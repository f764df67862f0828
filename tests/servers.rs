//! The servers that gateways share things in, as processes of their own: on Unix sockets in a folder of their own, so that no
//! port is fixed, and one that is started again is where it was.

use std::{
    os::unix::{fs::chown, net::UnixStream, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::until;

/// A Valkey, or a Redis where there is none.
#[derive(Debug)]
pub struct Valkey {
    folder: TempDir,
    process: Option<Child>,
}

impl Valkey {
    /// An empty one.
    ///
    /// # Panics
    /// Where neither program is installed: `tests/run` installs one.
    pub async fn start() -> Self {
        let mut valkey = Self { folder: tempfile::tempdir().expect("a folder"), process: None };
        valkey.restart().await;
        valkey
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("valkey.sock")
    }

    /// Kills it, with all that it had.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    /// Starts it again, with nothing.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        let start = |program: &str| {
            Command::new(program)
                .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
                .arg(self.socket())
                .current_dir(self.folder.path())
                .stdout(Stdio::null())
                .spawn()
        };
        let process =
            start("valkey-server").or_else(|_| start("redis-server")).expect("a Valkey or Redis is installed");
        self.process = Some(process);
        until(|| UnixStream::connect(self.socket()).ok()).await;
    }

    /// All that it has, for whoever could read it.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub async fn everything(&self) -> Vec<(String, Vec<u8>)> {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("it answers");
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.expect("its entries");
        let mut all = Vec::new();
        for key in keys {
            let value: redis::RedisResult<Vec<u8>> = redis::cmd("GET").arg(&key).query_async(&mut connection).await;
            all.push((key, value.unwrap_or_default()));
        }
        all
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    process: Option<Child>,
}

impl Postgres {
    /// An empty one.
    ///
    /// # Panics
    /// Where it is not installed: `tests/run` installs it.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        if let Some((user, group)) = other_user() {
            chown(folder.path(), Some(user), Some(group)).expect("its own folder");
        }
        let mut postgres = Self { folder, process: None };
        let made = postgres
            .program("initdb")
            .args(["--auth", "trust", "--username", "postgres", "--encoding", "UTF8", "--no-sync", "--pgdata"])
            .arg(postgres.data())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        postgres.restart().await;
        postgres
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.folder.path().display())
    }

    /// What it answers to a statement: rows of texts, a null as an empty one.
    ///
    /// # Panics
    /// When it refuses it.
    pub fn ask(&self, statement: &str) -> Vec<Vec<String>> {
        let asked = self.try_ask(statement);
        asked.unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// The same, of one that may not be there yet.
    ///
    /// # Errors
    /// What it said.
    ///
    /// # Panics
    /// Where `psql` is not installed.
    pub fn try_ask(&self, statement: &str) -> Result<Vec<Vec<String>>, String> {
        let output = self
            .program("psql")
            .args(["-X", "-q", "-A", "-t", "-F", "\u{1f}", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"])
            .arg(self.folder.path())
            .args(["-c", statement, "postgres"])
            .output()
            .expect("psql runs");
        match output.status.success() {
            true => {
                let text = String::from_utf8(output.stdout).expect("UTF-8");
                Ok(text.lines().map(|line| line.split('\u{1f}').map(str::to_owned).collect()).collect())
            }
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Stops it at once; what was committed is kept.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = Command::new("kill").args(["-QUIT", &process.id().to_string()]).status();
            let _ = process.wait();
        }
    }

    /// Starts it again.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.stop();
        let process = self
            .program("postgres")
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60", "-k"])
            .arg(self.folder.path())
            .arg("-D")
            .arg(self.data())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(process.expect("postgres runs"));
        let ready = || self.program("pg_isready").args(["-q", "-h"]).arg(self.folder.path()).status().ok();
        until(|| ready().filter(|status| status.success())).await;
    }

    /// One of its programs, as a user that may run it: it refuses to be root's.
    fn program(&self, name: &str) -> Command {
        let newest = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|it| it.path()).max();
        let path = newest.map(|folder| folder.join("bin").join(name)).filter(|path| path.exists());
        let mut command = Command::new(path.unwrap_or_else(|| Path::new(name).to_owned()));
        command.current_dir(self.folder.path());
        if let Some((user, group)) = other_user() {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The user that Debian's package makes, where this process is root's.
fn other_user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse::<u32>().ok()
    };
    (id(&["-u"])? == 0).then(|| Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?))).flatten()
}
