//! Bytes to and from a server: TCP or a Unix socket, bare or under TLS.
//!
//! Invariants: an address is checked against what the operator typed at every dial; a peer that is
//! gone without a word is noticed by TCP's own watchers.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, UnixStream};
use tokio_rustls::client::TlsStream;

use super::connect::Kind;
use super::error::Error;
use super::params::{Host, Tcp};
use super::socket::{LOOPBACK_BUFFER_BYTES, Socket};

/// The reading half of a [`Transport`].
pub type ReadHalf = tokio::io::ReadHalf<Transport>;
/// The writing half of a [`Transport`].
pub type WriteHalf = tokio::io::WriteHalf<Transport>;

/// A connection to a server.
#[derive(Debug)]
pub enum Transport {
    /// TCP without TLS.
    Tcp(Socket),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over one of the others.
    Tls(Box<TlsStream<Transport>>),
}

impl Transport {
    /// Does nobody between us and the server see the bytes?
    pub fn is_private(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Tls(_) => true,
            Self::Tcp(socket) => socket.is_loopback(),
        }
    }

    /// From now on, while much streams in, bytes gather for a moment before they are read.
    pub(crate) fn let_gather(&mut self) {
        match self {
            Self::Tcp(socket) => socket.let_gather(),
            Self::Tls(stream) => stream.get_mut().0.let_gather(),
            Self::Unix(_) => {}
        }
    }

    /// The certificate that the server showed, in DER.
    pub fn server_certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Tls(stream) => Some(stream.get_ref().1.peer_certificates()?.first()?.as_ref()),
            _ => None,
        }
    }
}

/// Opens a bare connection to `host`.
pub(super) async fn dial(host: &Host, tcp: &Tcp, kind: Kind) -> Result<Transport, Error> {
    let io = |doing, source| Error::Io { place: host.to_string(), doing, source };
    match host {
        Host::Unix { .. } => match UnixStream::connect(host.to_string()).await {
            Ok(stream) => Ok(Transport::Unix(stream)),
            Err(source) => Err(io("connecting", source)),
        },
        Host::Tcp { name, address: Some(address), port } => {
            let stream = dial_one(name, SocketAddr::new(*address, *port), tcp, kind).await;
            stream.map_err(|source| io("connecting", source))
        }
        Host::Tcp { name, address: None, port } => {
            let found = tokio::net::lookup_host((name.as_str(), *port)).await;
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in found.map_err(|source| io("looking up the host's address", source))? {
                match dial_one(name, address, tcp, kind).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = error,
                }
            }
            Err(io("connecting", last))
        }
    }
}

async fn dial_one(name: &str, address: SocketAddr, tcp: &Tcp, kind: Kind) -> io::Result<Transport> {
    if !may_dial(name, address.ip()) {
        let message = format!(
            "{name} resolves to {}, which is only dialled when it is typed as that address",
            address.ip()
        );
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if kind == Kind::Replication && address.ip().to_canonical().is_loopback() {
        socket.set_recv_buffer_size(LOOPBACK_BUFFER_BYTES)?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    if tcp.keepalive {
        let probes = TcpKeepalive::new().with_time(tcp.idle).with_interval(tcp.interval);
        socket.set_tcp_keepalive(&probes.with_retries(tcp.count))?;
    }
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(tcp.user_timeout))?;
    Ok(Transport::Tcp(Socket::new(stream)))
}

/// A typed name may lead to public and private networks; to this machine only as `localhost` or a
/// literal, to link-local addresses (where clouds keep their metadata) only as a literal.
fn may_dial(name: &str, address: IpAddr) -> bool {
    let address = address.to_canonical();
    let typed = name.parse::<IpAddr>().is_ok_and(|literal| literal.to_canonical() == address);
    let near = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => link_local(v6) || v6.is_unspecified(),
    };
    typed || !near && (!address.is_loopback() || name.eq_ignore_ascii_case("localhost"))
}

fn link_local(address: Ipv6Addr) -> bool {
    const AWS_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    address.is_unicast_link_local() || address == AWS_METADATA
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_typed_addresses_lead_inside() {
        let may = |name: &str, address: &str| may_dial(name, address.parse().expect("an address"));
        assert!(may("db", "10.0.0.1") && may("db", "93.184.216.34"));
        assert!(
            may("localhost", "127.0.0.1") && may("localhost", "::1") && may("127.0.0.1", "::ffff:127.0.0.1")
        );
        assert!(
            !may("db", "127.0.0.1") && !may("db", "::ffff:127.0.0.1") && !may("localhost", "169.254.169.254")
        );
        assert!(!may("db", "169.254.169.254") && !may("db", "fe80::1") && !may("db", "0.0.0.0"));
        assert!(may("169.254.1.1", "169.254.1.1"));
    }
}
