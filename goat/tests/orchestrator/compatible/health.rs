//! The health check API, and the lines of the log that others look for.

use crate::place::{Place, Running, eventually, get};
use crate::starters::with_own_network;

#[test]
fn live_and_ready_answer_in_json() {
    let place = Place::told("await=@/go");
    let running = place.start();
    let address = place.address();

    for path in ["/live", "/ready"] {
        let answer = eventually("200", || {
            Some(get(&address, path)).filter(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let body: serde_json::Value = serde_json::from_str(body.trim()).expect("JSON");
        assert_eq!(body["status"], "OK", "{path}");
        assert!(body.get("failures").is_none_or(|failures| failures.is_null()));
        // As in RFC 3339.
        let time = body["timestamp"].as_str().expect("a time");
        assert!(time.starts_with("20") && time.contains('T'), "{time}");
    }
    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn it_is_ready_before_the_readiness_file_is_there() {
    let place = Place::told("").with_readiness_file();
    let running = place.start();
    let address = place.address();

    eventually("200", || {
        get(&address, "/ready").starts_with("HTTP/1.1 200").then_some(())
    });

    place.make("ready");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn the_first_line_of_the_log_names_date_and_version() {
    let place = Place::told("");

    assert_eq!(place.run(), 0);

    let log = place.log();
    let first = log.lines().next().expect("it has lines");
    let (_, rest) = first
        .split_once("starting orchestrator app.date=")
        .unwrap_or_else(|| panic!("{first}"));
    assert!(rest.contains(" app.version="), "{first}");
}

#[test]
fn a_line_of_the_log_names_the_real_address() {
    let place = Place::told("");

    assert_eq!(place.run(), 0);

    let log = place.log();
    let line = log
        .lines()
        .find(|line| line.contains("app.address=127.0.0.1:"))
        .unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("server: new-server admin"), "{line}");
    assert!(!line.contains("app.address=127.0.0.1:0"), "{line}");
}

#[test]
fn without_a_flag_it_is_port_7623_on_every_address_of_both_kinds() {
    let Some(starter) = with_own_network() else { return };
    // The task agent asks, because it is in that network.
    let place = Place::new(
        "for host in 127.0.0.1 ::1; do python3 -c \"import urllib.request, sys
host = sys.argv[1]
host = '[%s]' % host if ':' in host else host
print(urllib.request.urlopen('http://%s:7623/live' % host).status)\" $host; done > $PLACE/asked 2>&1",
    );
    let mut command = place.bare_command(starter);
    command.env("CIRCLECI_GOAT_CONFIG", place.config.to_string());

    assert_eq!(Running::start(command).end(), 0, "{}", place.log());

    assert_eq!(place.text("asked"), "200\n200\n", "{}", place.log());
    assert!(place.log().contains("app.address=[::]:7623"), "{}", place.log());
}

/// What gives the next program a kernel that knows no IPv6, as `ipv6.disable=1` does: a filter that refuses its
/// sockets (seccomp(2)).
const WITHOUT_IPV6: &str = "
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
load, equal, give = 0x20, 0x15, 0x06
code = [
    (load, 0, 0, 0),            # the number of the system call
    (equal, 0, 3, 41),          # socket
    (load, 0, 0, 16),           # its first argument
    (equal, 0, 1, 10),          # AF_INET6
    (give, 0, 0, 0x00050061),   # EAFNOSUPPORT
    (give, 0, 0, 0x7fff0000),   # anything else is allowed
]
text = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *line) for line in code))
program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(code), ctypes.addressof(text)))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn without_ipv6_it_is_every_ipv4_address() {
    let place = Place::told("await=@/go");
    let mut command = place.bare_command(&["/usr/bin/env", "python3", "-c", WITHOUT_IPV6]);
    command
        .env("CIRCLECI_GOAT_HEALTH_CHECK_ADDR", ":0")
        .env("CIRCLECI_GOAT_CONFIG", place.config.to_string());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let running = Running::start(command);

    let address = place.address();

    let port = address
        .strip_prefix("0.0.0.0:")
        .unwrap_or_else(|| panic!("{address}"));
    let answer = get(&format!("127.0.0.1:{port}"), "/live");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}
