//! Connection parameters by name, weighed against each other until they mean something. Pure.
//!
//! A parameter that we do not honour is refused, never ignored, when ignoring it could weaken the
//! connection or change who is meant. Errors name parameters and never repeat values.

use std::time::Duration;

use super::conninfo;
use super::params::{ChannelBinding, Host, Params, Roots, Secret, Target, Tcp, Tls, TlsMode};

const PORT: u16 = 5432;
const CONNECT_TIMEOUT_S: u64 = 10;
const HOSTS_MAX: usize = 64;

/// The pairs by name, before they are weighed against each other.
#[derive(Default)]
pub(super) struct Draft {
    host: Vec<String>,
    hostaddr: Vec<String>,
    port: Vec<String>,
    user: String,
    password: Option<Secret>,
    dbname: String,
    target: Option<Target>,
    mode: Option<TlsMode>,
    root: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    only_1_3: bool,
    no_sni: bool,
    channel_binding: Option<ChannelBinding>,
    connect_timeout_s: Option<u64>,
    application_name: Option<String>,
    fallback_name: Option<String>,
    options: Option<String>,
    no_keepalive: bool,
    idle_s: Option<u64>,
    interval_s: Option<u64>,
    count: Option<u64>,
    user_timeout_ms: Option<u64>,
}

impl Draft {
    pub(super) fn read(pairs: conninfo::Pairs) -> Result<Self, String> {
        let mut draft = Self::default();
        for (key, value) in pairs {
            if !value.is_empty() {
                draft.set(&key, value)?;
            }
        }
        Ok(draft)
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "host" => self.host = list(&value),
            "hostaddr" => self.hostaddr = list(&value),
            "port" => self.port = list(&value),
            "user" => self.user = value,
            "password" => self.password = Some(Secret::new(value)),
            "dbname" => self.dbname = value,
            "target_session_attrs" => self.target = Some(target(&value)?),
            "sslmode" => self.mode = Some(tls_mode(&value)?),
            "sslrootcert" => self.root = Some(value),
            "sslcert" => self.cert = Some(value),
            "sslkey" => self.key = Some(value),
            "sslsni" => self.no_sni = value == "0",
            "ssl_min_protocol_version" => self.only_1_3 = minimum_version(&value)?,
            "channel_binding" => self.channel_binding = Some(channel_binding(&value)?),
            "connect_timeout" => self.connect_timeout_s = Some(number(key, &value)?),
            "application_name" => self.application_name = Some(value),
            "fallback_application_name" => self.fallback_name = Some(value),
            "options" => self.options = Some(value),
            "keepalives" => self.no_keepalive = number(key, &value)? == 0,
            "keepalives_idle" => self.idle_s = Some(number(key, &value)?),
            "keepalives_interval" => self.interval_s = Some(number(key, &value)?),
            "keepalives_count" => self.count = Some(number(key, &value)?),
            "tcp_user_timeout" => self.user_timeout_ms = Some(number(key, &value)?),
            _ => return inert(key, &value),
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Params, String> {
        if self.user.is_empty() {
            return Err("no user; write postgres://USER@host/database".into());
        }
        let hosts = self.hosts()?;
        let tls = self.tls()?;
        let seconds = |value: Option<u64>, default| {
            Duration::from_secs(value.filter(|value| *value > 0).unwrap_or(default))
        };
        let timeout_s = self.connect_timeout_s.unwrap_or(CONNECT_TIMEOUT_S);
        let tcp = Tcp {
            keepalive: !self.no_keepalive,
            idle: seconds(self.idle_s, 30),
            interval: seconds(self.interval_s, 10),
            count: self
                .count
                .and_then(|count| u32::try_from(count).ok())
                .filter(|count| *count > 0)
                .unwrap_or(3),
            user_timeout: Duration::from_millis(
                self.user_timeout_ms.filter(|value| *value > 0).unwrap_or(60_000),
            ),
        };
        Ok(Params {
            hosts,
            database: if self.dbname.is_empty() { self.user.clone() } else { self.dbname },
            user: self.user,
            password: self.password,
            target: self.target.unwrap_or(Target::Any),
            tls,
            channel_binding: self.channel_binding.unwrap_or(ChannelBinding::Prefer),
            connect_timeout: (timeout_s > 0).then(|| Duration::from_secs(timeout_s)),
            application_name: self.application_name.or(self.fallback_name).unwrap_or_else(|| "pgcdc".into()),
            options: self.options,
            tcp,
        })
    }

    fn hosts(&self) -> Result<Vec<Host>, String> {
        let count = self.host.len().max(self.hostaddr.len()).max(1);
        let fits = |list: &[String]| list.is_empty() || list.len() == count;
        if !fits(&self.host) || !fits(&self.hostaddr) {
            return Err("`host` and `hostaddr` list different numbers of servers".into());
        }
        if self.port.len() > 1 && self.port.len() != count {
            return Err("`port` must list one port, or one for each host".into());
        }
        if count > HOSTS_MAX {
            return Err(format!("more than {HOSTS_MAX} hosts"));
        }
        (0..count).map(|at| self.host_at(at)).collect()
    }

    fn host_at(&self, at: usize) -> Result<Host, String> {
        let port = match self.port.get(at).or(self.port.first()).map(String::as_str) {
            None | Some("") => PORT,
            Some(text) => match text.parse() {
                Ok(0) | Err(_) => return Err("`port` is not a number from 1 to 65535".into()),
                Ok(port) => port,
            },
        };
        let address: Option<std::net::IpAddr> = match self.hostaddr.get(at).map(String::as_str) {
            None | Some("") => None,
            Some(text) => {
                Some(text.parse().map_err(|_| "`hostaddr` is not a literal IP address".to_owned())?)
            }
        };
        let name = self.host.get(at).map_or("", String::as_str);
        if name.starts_with('/') {
            return Ok(Host::Unix { folder: name.into(), port });
        }
        if name.starts_with('@') {
            return Err("abstract Unix sockets are not supported; give the socket's folder".into());
        }
        let name = match (name, address) {
            ("", Some(address)) => address.to_string(),
            ("", None) => "localhost".into(),
            (name, _) => name.to_owned(),
        };
        Ok(Host::Tcp { name, address, port })
    }

    fn tls(&self) -> Result<Tls, String> {
        let roots = match self.root.as_deref() {
            None => None,
            Some("system") => Some(Roots::System),
            Some(path) => Some(Roots::File(path.into())),
        };
        let mode = match (self.mode, &roots) {
            (None, Some(Roots::System)) => TlsMode::VerifyFull,
            (None, _) => TlsMode::Prefer,
            (Some(mode), _) => mode,
        };
        if roots == Some(Roots::System) && mode != TlsMode::VerifyFull {
            return Err("`sslrootcert=system` needs `sslmode=verify-full`: with public authorities anybody has a certificate".into());
        }
        if mode == TlsMode::VerifyCa && roots.is_none() {
            return Err("`sslmode=verify-ca` needs `sslrootcert`, the file of the authority to trust".into());
        }
        let client = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => Some((cert.into(), key.into())),
            (None, None) => None,
            _ => return Err("`sslcert` and `sslkey` go together".into()),
        };
        let binding = self.channel_binding == Some(ChannelBinding::Require);
        if binding && mode == TlsMode::Disable {
            return Err("`channel_binding=require` needs TLS, and `sslmode=disable` forbids it".into());
        }
        // verify-full without a file trusts the system's store: never weaker than what was asked.
        let roots = if mode == TlsMode::VerifyFull { roots.or(Some(Roots::System)) } else { roots };
        Ok(Tls { mode, roots, client, only_1_3: self.only_1_3, server_name: !self.no_sni })
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(|one| one.trim().to_owned()).collect()
}

fn number(key: &str, text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(number) if number <= 1_000_000_000 => Ok(number),
        _ => Err(format!("`{key}` is not a whole number")),
    }
}

fn target(text: &str) -> Result<Target, String> {
    Ok(match text {
        "any" => Target::Any,
        "read-write" => Target::ReadWrite,
        "read-only" => Target::ReadOnly,
        "primary" => Target::Primary,
        "standby" => Target::Standby,
        "prefer-standby" => Target::PreferStandby,
        _ => return Err(
            "`target_session_attrs` is one of any, read-write, read-only, primary, standby, prefer-standby"
                .into(),
        ),
    })
}

fn tls_mode(text: &str) -> Result<TlsMode, String> {
    Ok(match text {
        "disable" => TlsMode::Disable,
        "allow" => TlsMode::Allow,
        "prefer" => TlsMode::Prefer,
        "require" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        _ => return Err("`sslmode` is one of disable, allow, prefer, require, verify-ca, verify-full".into()),
    })
}

fn channel_binding(text: &str) -> Result<ChannelBinding, String> {
    Ok(match text {
        "disable" => ChannelBinding::Disable,
        "prefer" => ChannelBinding::Prefer,
        "require" => ChannelBinding::Require,
        _ => return Err("`channel_binding` is one of disable, prefer, require".into()),
    })
}

/// True if only TLS 1.3 will do. Less than 1.2 is never spoken, so lower minima hold by themselves.
fn minimum_version(text: &str) -> Result<bool, String> {
    match text {
        "TLSv1" | "TLSv1.1" | "TLSv1.2" => Ok(false),
        "TLSv1.3" => Ok(true),
        _ => Err("`ssl_min_protocol_version` is one of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3".into()),
    }
}

/// Parameters that change nothing with these values; everything else is refused by name.
fn inert(key: &str, value: &str) -> Result<(), String> {
    let inert = match key {
        "replication" | "sslcompression" => true,
        "client_encoding" => matches!(value.to_ascii_lowercase().as_str(), "utf8" | "utf-8" | "auto"),
        "gssencmode" => matches!(value, "disable" | "prefer"),
        "sslnegotiation" => value == "postgres",
        "load_balance_hosts" => value == "disable",
        _ => false,
    };
    if inert {
        Ok(())
    } else {
        Err(format!("the parameter `{key}` is not supported with this value, or at all"))
    }
}
