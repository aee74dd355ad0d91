//! Where a PostgreSQL is and how to greet it: the parameters by their meaning. Pure.
//!
//! Names and meanings are libpq's; the module `draft` reads them.
//! Invariants: at least one host; `Debug` and `Display` never show the password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::conninfo;
use super::draft::Draft;
use super::error::Error;

/// A secret string; prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself; for a wire, never for a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

/// One server to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// TCP. `name` is what certificates are checked against, `address` (libpq's `hostaddr`) where to dial instead of asking DNS.
    Tcp {
        /// Host name or literal address.
        name: String,
        /// Literal address that spares the look-up.
        address: Option<std::net::IpAddr>,
        /// TCP port.
        port: u16,
    },
    /// A Unix socket's folder.
    Unix {
        /// The folder that holds `.s.PGSQL.<port>`.
        folder: PathBuf,
        /// Part of the socket's file name.
        port: u16,
    },
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { name, port, .. } if name.contains(':') => write!(out, "[{name}]:{port}"),
            Self::Tcp { name, port, .. } => write!(out, "{name}:{port}"),
            Self::Unix { folder, port } => write!(out, "{}/.s.PGSQL.{port}", folder.display()),
        }
    }
}

/// `target_session_attrs`: which of several servers will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The first that answers.
    Any,
    /// Transactions may write by default.
    ReadWrite,
    /// Transactions may not write by default.
    ReadOnly,
    /// Not in recovery.
    Primary,
    /// In recovery.
    Standby,
    /// A standby if any answers, else whatever does.
    PreferStandby,
}

/// `sslmode`, with libpq's meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// Only if the server refuses to talk without.
    Allow,
    /// If the server can.
    Prefer,
    /// Always; the certificate is checked against `sslrootcert` if one is given.
    Require,
    /// Always; the certificate must come from a trusted authority.
    VerifyCa,
    /// Always; moreover the certificate must name the host.
    VerifyFull,
}

/// Whom to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The operating system's store.
    System,
    /// Certificates in PEM.
    File(PathBuf),
}

/// `channel_binding`: must the password's proof be tied to this TLS session?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// When the server offers it.
    Prefer,
    /// Or no connection.
    Require,
}

/// TLS: how, whom to trust, who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `sslmode`.
    pub mode: TlsMode,
    /// `sslrootcert`.
    pub roots: Option<Roots>,
    /// `sslcert` and `sslkey`, both PEM.
    pub client: Option<(PathBuf, PathBuf)>,
    /// `ssl_min_protocol_version=TLSv1.3`.
    pub only_1_3: bool,
    /// `sslsni=0` leaves the host's name out of the greeting.
    pub server_name: bool,
}

/// TCP's own watchers; `None` leaves the system's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// `keepalives=0` turns probes off.
    pub keepalive: bool,
    /// Quiet time before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Probes before the peer counts as gone.
    pub count: u32,
    /// How long sent bytes may stay unacknowledged.
    pub user_timeout: Duration,
}

/// Everything needed to open a session.
#[derive(Clone, PartialEq, Eq)]
pub struct Params {
    /// Tried in this order; at least one.
    pub hosts: Vec<Host>,
    /// Role to log in as.
    pub user: String,
    /// Its password, if the server asks for one.
    pub password: Option<Secret>,
    /// Database.
    pub database: String,
    /// Which server will do.
    pub target: Target,
    /// TLS.
    pub tls: Tls,
    /// Channel binding.
    pub channel_binding: ChannelBinding,
    /// For one host: dial, TLS, authentication. `None` waits for ever.
    pub connect_timeout: Option<Duration>,
    /// As `pg_stat_activity` shows it.
    pub application_name: String,
    /// Command-line options for the server process; ours for the session's formats win over it.
    pub options: Option<String>,
    /// TCP settings.
    pub tcp: Tcp,
}

impl Params {
    /// Reads a URL or a key/value text. The error names the parameter and the way out.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let pairs = conninfo::parse(text).map_err(Error::params)?;
        Draft::read(pairs).and_then(Draft::finish).map_err(Error::params)
    }
}

impl FromStr for Params {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Params {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        write!(out, "postgres://{}@{}/{}", self.user, hosts.join(","), self.database)
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Params({self}, {:?}, {:?})", self.tls.mode, self.target)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn several_hosts() {
        let params =
            Params::parse("host=a,/run/pg,::1 port=1,2,3 user=u target_session_attrs=primary").unwrap();
        let hosts: Vec<_> = params.hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["a:1", "/run/pg/.s.PGSQL.2", "[::1]:3"]);
        assert_eq!((params.database.as_str(), params.target), ("u", Target::Primary));
    }

    #[test]
    fn tls_is_never_weaker_than_asked() {
        let mode = |text: &str| {
            Params::parse(&format!("user=u {text}")).map(|params| (params.tls.mode, params.tls.roots))
        };
        assert_eq!(mode("").unwrap(), (TlsMode::Prefer, None));
        assert_eq!(mode("sslrootcert=system").unwrap(), (TlsMode::VerifyFull, Some(Roots::System)));
        assert_eq!(mode("sslmode=verify-full").unwrap(), (TlsMode::VerifyFull, Some(Roots::System)));
        for refused in [
            "sslmode=verify-ca",
            "sslrootcert=system sslmode=require",
            "sslmode=disable channel_binding=require",
            "sslmode=of",
            "sslcrl=x",
            "sslcert=x",
        ] {
            mode(refused).expect_err(refused);
        }
    }

    #[test]
    fn nothing_prints_the_password() {
        let params = Params::parse("postgres://u:canary@h/d").unwrap();
        assert_eq!(params.password.as_ref().map(Secret::expose), Some("canary"));
        assert!(!format!("{params} {params:?} {:?}", params.password).contains("canary"));
        assert_eq!(params.to_string(), "postgres://u@h:5432/d");
    }
}
