//! Every way to log in, and every way not to: authentication, TLS, rights.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod wal_support;

use std::path::Path;
use std::sync::LazyLock;

use pgcdc::postgres::{Error, Params, Session};
use pgcdc::wal;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use wal_support::{Server, options};

static SERVER: LazyLock<Server> =
    LazyLock::new(|| Server::start(TLS, |folder| certificates(folder, &["127.0.0.1"], "")));

const TLS: &str = "ssl = on\nssl_cert_file = '../server.pem'\nssl_key_file = '../server.key'";

/// An authority, a certificate of it for the server, and an authority that has nothing to do with it.
fn certificates(folder: &Path, names: &[&str], common_name: &str) {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        (params, key)
    };
    let (params, key) = authority("ca");
    authority("other");
    let mut server =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    server.distinguished_name = rcgen::DistinguishedName::new();
    server.distinguished_name.push(DnType::CommonName, common_name);
    let server_key = KeyPair::generate().unwrap();
    let certificate = server.signed_by(&server_key, &Issuer::new(params, key)).unwrap();
    std::fs::write(folder.join("server.pem"), certificate.pem()).unwrap();
    write_key(folder, &server_key);
}

fn write_key(folder: &Path, key: &KeyPair) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("server.key");
    std::fs::write(&path, key.serialize_pem()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

async fn one(params: &Params) -> Result<String, Error> {
    let session = Session::open(params).await?;
    let rows = session.rows("SELECT current_user || ' ' || coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)", "asking").await?;
    Ok(rows[0][0].clone().unwrap())
}

async fn refused(params: &Params) -> Error {
    let error = one(params).await.expect_err("a refusal");
    assert!(!error.to_string().contains("secret") && !format!("{error:?}").contains("secret"));
    error
}

#[tokio::test]
async fn passwords_in_every_form() {
    for user in ["scram_user", "md5_user", "clear_user"] {
        let bare = SERVER.params(user, "postgres", "sslmode=disable");
        assert_eq!(one(&bare).await.unwrap(), format!("{user} false"));
        let secure = SERVER.params(user, "postgres", "sslmode=require");
        assert_eq!(one(&secure).await.unwrap(), format!("{user} true"));
    }
}

#[tokio::test]
async fn a_wrong_or_missing_password_stops() {
    for (password, sqlstate) in [(":wrong", Some("28P01")), ("", None)] {
        for user in ["scram_user", "md5_user", "clear_user"] {
            let text =
                format!("postgres://{user}{password}@127.0.0.1:{}/postgres?sslmode=disable", SERVER.port);
            let error = refused(&Params::parse(&text).unwrap()).await;
            assert_eq!(
                (error.sqlstate(), error.is_transient(), error.code()),
                (sqlstate, false, "unauthenticated"),
                "{error}"
            );
            assert!(error.next_step().is_some());
        }
    }
}

#[tokio::test]
async fn channel_binding_is_had_or_missed() {
    let bound = SERVER.params("scram_user", "postgres", "sslmode=require&channel_binding=require");
    assert_eq!(one(&bound).await.unwrap(), "scram_user true");
    let unbound = SERVER.params("clear_user", "postgres", "sslmode=require&channel_binding=require");
    assert!(matches!(refused(&unbound).await, Error::Auth { .. }));
    let disabled = SERVER.params("scram_user", "postgres", "sslmode=require&channel_binding=disable");
    assert_eq!(one(&disabled).await.unwrap(), "scram_user true");
}

#[tokio::test]
async fn modes_fall_back_as_libpq_does_and_no_further() {
    let mode = |user: &str, mode: &str| SERVER.params(user, "postgres", &format!("sslmode={mode}"));
    for (user, wanted) in [("tls_user", "tls_user true"), ("bare_user", "bare_user false")] {
        for fallback in ["allow", "prefer"] {
            assert_eq!(one(&mode(user, fallback)).await.unwrap(), wanted);
        }
    }
    assert_eq!(refused(&mode("tls_user", "disable")).await.sqlstate(), Some("28000"));
    assert_eq!(refused(&mode("bare_user", "require")).await.sqlstate(), Some("28000"));
}

#[tokio::test]
async fn certificates_are_checked_as_far_as_the_mode_says() {
    let ca = format!("sslrootcert={}/ca.pem", SERVER.folder.display());
    let other = format!("sslrootcert={}/other.pem", SERVER.folder.display());
    for good in [
        format!("sslmode=verify-full&{ca}"),
        format!("sslmode=verify-ca&{ca}"),
        format!("sslmode=require&{ca}"),
    ] {
        assert_eq!(
            one(&SERVER.params("tls_user", "postgres", &good)).await.unwrap(),
            "tls_user true",
            "{good}"
        );
    }
    for bad in [
        format!("sslmode=verify-ca&{other}"),
        format!("sslmode=require&{other}"),
        "sslmode=verify-full".into(),
    ] {
        let error = refused(&SERVER.params("tls_user", "postgres", &bad)).await;
        assert!(matches!(error, Error::Tls { .. }) && !error.is_transient(), "{error}");
    }
    let named = |mode: &str| {
        let text = format!(
            "host=localhost hostaddr=127.0.0.1 port={} user=tls_user password=secret dbname=postgres sslmode={mode} {ca}",
            SERVER.port
        );
        Params::parse(&text).unwrap()
    };
    assert!(one(&named("verify-ca")).await.is_ok());
    let error = refused(&named("verify-full")).await;
    assert!(matches!(error, Error::Tls { .. }), "{error}");
}

#[tokio::test]
async fn self_made_certificates_work_where_libpq_takes_them() {
    let server = Server::start(TLS, |folder| certificates(folder, &[], "localhost"));
    let named = |root: &str| {
        let text = format!(
            "host=localhost hostaddr=127.0.0.1 port={} user=tls_user password=secret dbname=postgres sslmode=verify-full sslrootcert={}/{root}",
            server.port,
            server.folder.display()
        );
        Params::parse(&text).unwrap()
    };
    // Its name is only in the common name.
    assert!(one(&named("ca.pem")).await.is_ok());
    // It is its own authority, as PostgreSQL's manual makes one.
    let mut own = CertificateParams::default();
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    own.distinguished_name = rcgen::DistinguishedName::new();
    own.distinguished_name.push(DnType::CommonName, "localhost");
    let key = KeyPair::generate().unwrap();
    std::fs::write(server.folder.join("server.pem"), own.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(server.folder.join("server.key"), key.serialize_pem()).unwrap();
    server.down("fast");
    server.up();
    assert!(one(&named("server.pem")).await.is_ok());
    let error = refused(&named("ca.pem")).await;
    assert!(matches!(error, Error::Tls { .. }), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_if_tls_was_asked_for() {
    let server = Server::start("", |_| {});
    for mode in ["require", "verify-full"] {
        let error = refused(&server.params("scram_user", "postgres", &format!("sslmode={mode}"))).await;
        assert!(matches!(error, Error::Tls { .. }), "{error}");
    }
    assert_eq!(
        one(&server.params("scram_user", "postgres", "sslmode=prefer")).await.unwrap(),
        "scram_user false"
    );
}

#[tokio::test]
async fn unix_sockets_and_several_hosts() {
    let folder = SERVER.folder.display();
    let port = SERVER.port;
    let unix = format!("host={folder} port={port} user=scram_user dbname=postgres sslmode=require");
    assert_eq!(one(&Params::parse(&unix).unwrap()).await.unwrap(), "scram_user false");
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let both = format!(
        "postgres://scram_user:secret@127.0.0.1:{dead},127.0.0.1:{port}/postgres?target_session_attrs=primary"
    );
    assert!(one(&Params::parse(&both).unwrap()).await.is_ok());
    let standby =
        format!("postgres://scram_user:secret@127.0.0.1:{port}/postgres?target_session_attrs=standby");
    assert!(refused(&Params::parse(&standby).unwrap()).await.is_transient());
    let prefer =
        format!("postgres://scram_user:secret@127.0.0.1:{port}/postgres?target_session_attrs=prefer-standby");
    assert!(one(&Params::parse(&prefer).unwrap()).await.is_ok());
}

#[tokio::test]
async fn what_is_no_server_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            use tokio::io::AsyncWriteExt;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    for mode in ["disable", "require"] {
        let text = format!("postgres://u:secret@127.0.0.1:{port}/d?sslmode={mode}");
        let error = refused(&Params::parse(&text).unwrap()).await;
        assert!(error.to_string().contains("not a PostgreSQL server"), "{error}");
    }
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let text = format!("postgres://u@127.0.0.1:{}/d?connect_timeout=1", silent.local_addr().unwrap().port());
    let error = refused(&Params::parse(&text).unwrap()).await;
    assert!(matches!(error, Error::Timeout { .. }) && error.is_transient(), "{error}");
    let gone = format!("postgres://u@127.0.0.1:{}/d", {
        drop(silent);
        port_of_nobody()
    });
    assert!(refused(&Params::parse(&gone).unwrap()).await.is_transient());
}

fn port_of_nobody() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_role_that_may_not_replicate_is_told_how_to() {
    let params = SERVER.params("plain_open", "postgres", "sslmode=disable");
    let error = wal::open(&params, options(r#"{"publication":"p"}"#), None).await.unwrap_err();
    assert!(error.next_step().unwrap().contains("ALTER ROLE \"plain_open\" REPLICATION"), "{error}");
    assert!(!error.is_transient());
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_stream_over_tls() {
    let database = SERVER.database();
    SERVER.sql(&database, "CREATE TABLE t (id int PRIMARY KEY, note text); CREATE PUBLICATION p FOR TABLE t");
    let params = SERVER.params("tls_user", &database, "sslmode=require");
    let session = wal_support::open(&params, r#"{"publication":"p"}"#).await;
    SERVER.sql(&database, "INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 50000) n");
    wal_support::gather(&session, 50_000).await;
}
