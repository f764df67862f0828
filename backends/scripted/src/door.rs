//! Connection-level faults: addresses of a host that fail before a request is read.
//!
//! A model name stands in the request's body, so it cannot choose what happens before that; an address can. Behind some
//! doors the host is as usual.

use std::{convert::Infallible, fmt, io, net::Ipv4Addr, str::FromStr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::{
    fault::UnknownFault,
    host::{State, speak},
    socket::{Line, Socket},
};

/// For this machine, signed by itself, valid on the first of January 2020 alone. Made for this and worth nothing.
const EXPIRED: &[u8] = include_bytes!("door/expired.pem");
const EXPIRED_KEY: &[u8] = include_bytes!("door/expired-key.pem");

/// A fatal TLS alert: handshake failure.
const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

/// What happens to connections at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Nobody listens: connections are refused.
    Refuse,
    /// An `https` address that takes connections and never shakes hands.
    SilentHandshake,
    /// An `https` address that ends each handshake with an alert.
    TlsFailure,
    /// An `https` address whose certificate expired in 2020.
    ExpiredCertificate,
    /// The host, reading requests in small sips.
    SlowReader,
}

impl Door {
    /// Every door: its name, and what happens there.
    pub const TABLE: [(Door, &str, &str); 5] = [
        (Self::Refuse, "refuse", "refuses connections"),
        (Self::SilentHandshake, "silent-handshake", "https: takes connections and never shakes hands"),
        (Self::TlsFailure, "tls-failure", "https: ends each handshake with an alert"),
        (Self::ExpiredCertificate, "expired-certificate", "https: shows a certificate that expired in 2020"),
        (Self::SlowReader, "slow-reader", "reads a request 32 bytes and a millisecond at a time, then answers"),
    ];

    fn scheme(self) -> &'static str {
        match self {
            Self::SilentHandshake | Self::TlsFailure | Self::ExpiredCertificate => "https",
            Self::Refuse | Self::SlowReader => "http",
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::TABLE.iter().find(|(door, ..)| door == self).map_or("", |(_, name, _)| name))
    }
}

impl FromStr for Door {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        Self::TABLE.iter().find(|(_, name, _)| *name == text).map(|(door, ..)| *door).ok_or(UnknownFault)
    }
}

/// Opens a door of a host on a free loopback port: its base address, and the task that keeps it.
pub(crate) async fn open(door: Door, state: Arc<State>) -> io::Result<(String, JoinHandle<()>)> {
    let at = (Ipv4Addr::LOCALHOST, 0).into();
    let (port, task) = if door == Door::Refuse {
        // Bound and never listening: the kernel refuses, and nobody else gets the port.
        let socket = TcpSocket::new_v4()?;
        socket.bind(at)?;
        let port = socket.local_addr()?.port();
        let held = async move {
            let never: Infallible = std::future::pending().await;
            drop(socket);
            match never {}
        };
        (port, tokio::spawn(held))
    } else {
        let listener = TcpListener::bind(at).await?;
        let tls = if door == Door::ExpiredCertificate { Some(expired()?) } else { None };
        (listener.local_addr()?.port(), tokio::spawn(accept(listener, door, tls, state)))
    };
    Ok((format!("{}://127.0.0.1:{port}/v1", door.scheme()), task))
}

async fn accept(listener: TcpListener, door: Door, tls: Option<TlsAcceptor>, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let (tls, state) = (tls.clone(), Arc::clone(&state));
                connections.spawn(async move {
                    // An error is a client that went away, which is what most doors make it do.
                    let _ = pass(stream, door, tls, state).await;
                });
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass(mut stream: TcpStream, door: Door, tls: Option<TlsAcceptor>, state: Arc<State>) -> io::Result<()> {
    let line = Line::default();
    match door {
        Door::Refuse => {}
        Door::SilentHandshake => {
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        }
        Door::TlsFailure => {
            // Closed with bytes unread, the connection would be reset and the alert perhaps lost.
            let mut hello = [0; 16 << 10];
            let _ = stream.read(&mut hello).await?;
            stream.write_all(&HANDSHAKE_FAILURE).await?;
            stream.shutdown().await?;
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        }
        Door::ExpiredCertificate => {
            if let Some(tls) = tls {
                speak(tls.accept(Socket::new(stream, line.clone())).await?, line, state).await;
            }
        }
        Door::SlowReader => speak(Socket::slow(stream, line.clone()), line, state).await,
    }
    Ok(())
}

fn expired() -> io::Result<TlsAcceptor> {
    let certificate = CertificateDer::from_pem_slice(EXPIRED).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(EXPIRED_KEY).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_door_of_the_table_reads_and_prints_as_the_same_name() {
        for (door, name, _) in Door::TABLE {
            assert_eq!((name.parse(), door.to_string().as_str()), (Ok(door), name));
        }
    }
}
