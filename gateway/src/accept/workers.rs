//! Threads that serve connections, each with a runtime of its own.
//!
//! All that serves a connection runs on the thread that it was given to, and so does the connection to the host that is asked
//! for it: no task goes from one core to another, and none is woken by another thread but where a disk or an engine has to
//! be waited for. Knows nothing of what is served.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// How long what still runs on a thread may take to end once it is told to.
const ENDING: Duration = Duration::from_secs(1);

/// Where connections are served.
#[derive(Debug)]
pub struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Connections that it serves.
    open: Arc<AtomicUsize>,
    /// None where the runtime is another's.
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

/// Counts a connection as long as it is served.
struct Open(Arc<AtomicUsize>);

impl Workers {
    /// The runtime that this is called on.
    pub fn here() -> Self {
        Self(vec![Worker { runtime: Handle::current(), open: Arc::default(), thread: None }])
    }

    /// A thread for each core that this process may use.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn start() -> io::Result<Self> {
        Self::of(thread::available_parallelism().map_or(1, usize::from))
    }

    fn of(threads: usize) -> io::Result<Self> {
        (0..threads).map(Worker::start).collect::<io::Result<_>>().map(Self)
    }

    /// Has a connection served by the one that serves the fewest.
    pub(super) fn serve<F>(&self, stream: TcpStream, serve: impl FnOnce(TcpStream) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let worker = self.0.iter().min_by_key(|worker| worker.open.load(Relaxed)).expect("there is always one");
        worker.open.fetch_add(1, Relaxed);
        let open = Open(Arc::clone(&worker.open));
        worker.runtime.spawn(async move {
            // It was accepted on another runtime, which is to be asked for it no more.
            match stream.into_std().and_then(TcpStream::from_std) {
                Ok(stream) => serve(stream).await,
                Err(error) => tracing::warn!(%error, "a connection could not be served"),
            }
            drop(open);
        });
    }

    /// Ends what still runs and waits for it, for no longer than a second or so.
    pub fn stop(self) {
        // All are told before the first is waited for.
        let (told, threads): (Vec<_>, Vec<_>) = self.0.into_iter().filter_map(|worker| worker.thread).unzip();
        drop(told);
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread that served connections has panicked");
            }
        }
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name(format!("requests-{number}")).spawn(move || {
            // A sender that is gone means the same as one that says stop.
            let _: Result<(), _> = runtime.block_on(stopped);
            runtime.shutdown_timeout(ENDING);
        })?;
        Ok(Self { runtime: handle, open: Arc::default(), thread: Some((stop, thread)) })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, future::pending};

    use tokio::{net::TcpListener, sync::mpsc};

    use super::*;

    /// Both ends of a connection, that of the server first.
    async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    #[tokio::test]
    async fn connections_are_shared_out_among_the_threads_and_so_are_those_that_come_when_others_have_ended() {
        let workers = Workers::of(2).unwrap();
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut clients = Vec::new();
        for _ in 0..6 {
            let (server, client) = connection().await;
            let tell = tell.clone();
            let serve = move |server: TcpStream| async move {
                let _ = tell.send(thread::current().name().map(str::to_owned));
                // Until the client is gone.
                let _ = server.readable().await;
            };
            workers.serve(server, serve);
            clients.push((told.recv().await.unwrap().unwrap(), client));
        }
        let of = |clients: &[(String, TcpStream)]| {
            clients.iter().fold(BTreeMap::new(), |mut of, (thread, _)| {
                *of.entry(thread.clone()).or_insert(0) += 1;
                of
            })
        };
        let even = BTreeMap::from([("requests-0".to_owned(), 3), ("requests-1".to_owned(), 3)]);
        assert_eq!(of(&clients), even);

        clients.retain(|(thread, _)| thread != "requests-0");
        while workers.0[0].open.load(Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..3 {
            let (server, client) = connection().await;
            let tell = tell.clone();
            let serve = move |_| async move {
                let _ = tell.send(thread::current().name().map(str::to_owned));
                pending().await
            };
            workers.serve(server, serve);
            clients.push((told.recv().await.unwrap().unwrap(), client));
        }
        assert_eq!(of(&clients), even);
        tokio::task::spawn_blocking(|| workers.stop()).await.unwrap();
    }

    #[tokio::test]
    async fn what_still_runs_when_the_threads_are_stopped_is_dropped_before_that_returns() {
        let workers = Workers::of(1).unwrap();
        let (server, _client) = connection().await;
        let held = Arc::new(());
        let weak = Arc::downgrade(&held);
        let (tell, told) = oneshot::channel();
        let serve = move |_| async move {
            let _ = tell.send(());
            pending::<()>().await;
            drop(held);
        };
        workers.serve(server, serve);
        told.await.unwrap();
        tokio::task::spawn_blocking(|| workers.stop()).await.unwrap();
        assert!(weak.upgrade().is_none());
    }
}
