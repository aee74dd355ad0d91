//! What was granted is reached, and nothing else: other hosts, what a name resolves to, redirects, paths.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use pgcdc_tests::support::database::Database;
use pgcdc_tests::support::desk::Desk;
use pgcdc_tests::support::guests::guest;
use pgcdc_tests::support::manifest::Manifest;
use pgcdc_tests::support::peers;
use pgcdc_tests::support::pgcdc::Pgcdc;
use pgcdc_tests::support::receiver::{Fault, Receiver};

struct Scene {
    db: Database,
    pgcdc: Pgcdc,
    _desk: Desk,
}

impl Scene {
    /// A table, standard output, and beside it the sink `guest` with this config and whatever `more` says.
    fn start(name: &str, config: &str, more: &str) -> Option<Self> {
        let component = guest("sink", name)?;
        let (db, desk) = (Database::create(name), Desk::new());
        db.execute("create table t (id int primary key)");
        desk.write("guest.wasm", std::fs::read(component).unwrap());
        let policy = "policy: { backoff: { base: 10ms, cap: 50ms } }";
        let flow = format!("{{ use: ./guest.wasm, config: {{ {config} }}, {policy}{more} }}");
        let pgcdc = desk.run(&Manifest::wal(&db).stdout().sink("guest", &flow));
        db.wait_streaming();
        Some(Self { db, pgcdc, _desk: desk })
    }

    /// One row, seen by the other sink.
    fn insert(&self, id: u32) {
        self.db.execute(&format!("insert into t values ({id})"));
        self.pgcdc.event("the row at the other sink", |event| {
            event.column("id").is_some_and(|found| found.to_string() == id.to_string())
        });
    }

    /// The sink's own failure, in the log.
    fn refusal(&self, words: &[&str]) -> String {
        self.pgcdc.stderr().wait(0, &format!("a line with {words:?}"), |lines| {
            lines.iter().find(|line| words.iter().all(|word| line.contains(word))).cloned()
        })
    }
}

#[test]
fn a_grant_for_one_host_reaches_no_other() {
    let (granted, other) = (Receiver::start(), Receiver::start());
    let config = format!("url: \"{}\", also: [ \"{}\" ]", granted.url(), other.url());
    let Some(scene) = Scene::start("other_host", &config, "") else { return };
    scene.insert(1);
    let [delivery] = granted.wait_accepted(1).try_into().unwrap();
    assert!(delivery.header("x-also-0").unwrap().starts_with("denied"), "{delivery:?}");
    scene.pgcdc.stop_clean();
    assert!(other.attempts().is_empty());
}

#[test]
fn a_refusal_prints_the_line_to_paste_and_pasting_it_helps() {
    let (granted, other) = (Receiver::start(), Receiver::start());
    let config = format!("url: \"{}\", also: [ \"{}\" ]", granted.url(), other.url());
    let Some(scene) = Scene::start("pasted", &config, "") else { return };
    scene.insert(1);
    let line = scene.refusal(&["guest", "egress denied", "grants: {", &other.url()]);
    let paste = line.get(line.find("grants: {").unwrap()..=line.rfind('}').unwrap()).unwrap();
    let paste = paste.replace("\\\"", "\"");
    scene.pgcdc.stop_clean();

    let more = format!(", {paste}");
    let Some(scene) = Scene::start("pasted", &config, &more) else { return };
    scene.insert(1);
    let both = granted.wait_accepted(2);
    assert_eq!(both[1].header("x-also-0"), Some("status 200"));
    assert_eq!(other.accepted().len(), 1);
    scene.pgcdc.stop_clean();
}

#[test]
fn link_local_and_metadata_are_not_to_be_had_by_asking() {
    let addresses = ["http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://127.0.0.1/"];
    let receiver = Receiver::start();
    let config = format!("url: \"{}\", also: {addresses:?}", receiver.url());
    let Some(scene) = Scene::start("link_local", &config, "") else { return };
    scene.insert(1);
    let [delivery] = receiver.wait_accepted(1).try_into().unwrap();
    for n in 0..addresses.len() {
        assert!(delivery.header(&format!("x-also-{n}")).unwrap().starts_with("denied"), "{delivery:?}");
    }
    scene.pgcdc.stop_clean();
}

/// A name of this machine, other than `localhost`, with loopback addresses only.
fn loopback_name() -> Option<String> {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let typed = hosts.lines().filter_map(|line| line.split('#').next());
    let names = typed.flat_map(|line| line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>());
    let known = ["localhost.localdomain", "ip6-localhost", "ip6-loopback"].map(str::to_owned);
    let loopback = |name: &String| {
        let found: Vec<SocketAddr> = (name.as_str(), 1).to_socket_addrs().into_iter().flatten().collect();
        !found.is_empty() && found.iter().all(|address| address.ip().is_loopback())
    };
    names.chain(known).filter(|name| name != "localhost").find(loopback)
}

#[test]
fn a_name_that_turns_out_to_be_this_machine_is_not_dialled() {
    let Some(name) = loopback_name() else {
        return peers::skipped(
            "a_name_that_turns_out_to_be_this_machine",
            "no name resolves to loopback here",
        );
    };
    let receiver = Receiver::start();
    let config = format!("url: \"http://{name}:{}/in\"", receiver.address().port());
    let Some(scene) = Scene::start("loopback_name", &config, "") else { return };
    scene.insert(1);
    scene.refusal(&["guest", "denied", &name, "loopback"]);
    scene.insert(2);
    assert!(receiver.attempts().is_empty());
}

#[test]
fn this_machine_is_reached_by_its_own_name_and_addresses() {
    let receiver = Receiver::start();
    for (n, host) in ["localhost", "127.0.0.1", "127.1"].into_iter().enumerate() {
        let config = format!("url: \"http://{host}:{}/in\"", receiver.address().port());
        let Some(scene) = Scene::start(&format!("typed_{n}"), &config, "") else { return };
        scene.insert(1);
        receiver.wait_accepted(n + 1);
        scene.pgcdc.stop_clean();
    }
}

#[test]
fn an_address_of_no_host_is_not_dialled() {
    let receiver = Receiver::start();
    let nobody = IpAddr::from([0, 0, 0, 0]);
    let config = format!("url: \"http://{}/in\"", SocketAddr::new(nobody, receiver.address().port()));
    let Some(scene) = Scene::start("no_host", &config, "") else { return };
    scene.insert(1);
    scene.refusal(&["guest", "denied", "0.0.0.0"]);
    assert!(receiver.attempts().is_empty());
}

#[test]
fn a_redirect_is_an_answer_and_is_not_followed() {
    let (granted, other) = (Receiver::start(), Receiver::start());
    granted.script([Fault::Redirect(other.url())]);
    let Some(scene) = Scene::start("redirect", &format!("url: \"{}\"", granted.url()), "") else { return };
    scene.insert(1);
    let letter = scene.refusal(&["\"adapter\":\"guest\""]);
    assert!(letter.contains("status 302"), "{letter}");
    scene.pgcdc.stop_clean();
    assert_eq!(granted.attempts().len(), 1);
    assert!(other.attempts().is_empty());
}

#[test]
fn a_redirect_to_another_path_of_the_same_host_is_not_followed_either() {
    let granted = Receiver::start();
    granted.script([Fault::Redirect("/elsewhere".to_owned())]);
    let Some(scene) = Scene::start("redirect_path", &format!("url: \"{}\"", granted.url()), "") else {
        return;
    };
    scene.insert(1);
    scene.refusal(&["\"adapter\":\"guest\"", "status 302"]);
    scene.pgcdc.stop_clean();
    assert_eq!(granted.attempts().len(), 1);
}

#[test]
fn a_path_stays_below_the_typed_one() {
    let cases = [
        ("a/b", Some("/in/tenant/a/b")),
        ("//evil.example/x", Some("/in/tenant/evil.example/x")),
        ("../x", None),
        ("a/../../../x", None),
        ("%2e%2E/x", None),
        (".%2e/x", None),
        ("..%2fx", None),
        ("..%5Cx", None),
        ("..\\x", None),
        (".\t./x", None),
        ("a/.\n./.\r./x", None),
        ("x?admin=1", None),
        ("x#y", None),
    ];
    let receiver = Receiver::start();
    let paths = format!("{:?}", cases.map(|(path, _)| path));
    let config = format!("url: \"{}/tenant\", paths: {paths}", receiver.url());
    let Some(scene) = Scene::start("path", &config, "") else { return };
    scene.insert(1);
    let deliveries = receiver.wait("the post itself", |all| all.iter().any(|one| !one.body.is_empty()));
    let (last, before) = deliveries.split_last().unwrap();
    let arrived: Vec<_> = before.iter().map(|delivery| delivery.path.as_str()).collect();
    assert_eq!(arrived, cases.iter().filter_map(|(_, path)| *path).collect::<Vec<_>>());
    for (n, (path, _)) in cases.iter().enumerate().filter(|(_, (_, path))| path.is_none()) {
        let answer = last.header(&format!("x-path-{n}")).unwrap();
        assert!(answer.starts_with("denied"), "{path:?}: {answer}");
    }
    scene.pgcdc.stop_clean();
}

#[test]
fn the_host_and_the_framing_are_not_the_guests() {
    let cases = ["host: evil.example", "Content-Length: 1", "transfer-encoding: chunked", "Upgrade: h2c"];
    let smuggled = ["x: y\r\nz: w", "x y: z", "x\n: y"];
    let receiver = Receiver::start();
    let headers = format!("{:?}", [cases.as_slice(), smuggled.as_slice()].concat());
    let config = format!("url: \"{}\", headers: {headers}", receiver.url());
    let Some(scene) = Scene::start("header", &config, "") else { return };
    scene.insert(1);
    let [delivery] = receiver.wait_accepted(1).try_into().unwrap();
    for (n, header) in cases.iter().chain(&smuggled).enumerate() {
        let answer = delivery.header(&format!("x-header-{n}")).unwrap();
        let expected = if n < cases.len() { "denied" } else { "invalid" };
        assert!(answer.starts_with(expected), "{header:?}: {answer}");
    }
    assert_eq!(delivery.header("host"), Some(receiver.address().to_string().as_str()));
    scene.pgcdc.stop_clean();
}
