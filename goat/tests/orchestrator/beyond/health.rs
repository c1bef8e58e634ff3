//! A health port that cannot be held, and probes that mean something (G13, G16, G19, G21).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use sys::process::Signal;

use crate::place::{Place, another_is_tested, command, eventually, get, output};

#[test]
fn a_probe_is_answered_under_a_flood() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("await=@/go");
    let running = place.start();
    let address = place.address();
    // Some say nothing, some speak slowly, some never end their first line.
    let mut held = Vec::new();
    for number in 0..200 {
        let mut stream = TcpStream::connect(&address).expect("it listens");
        let _ = match number % 3 {
            0 => Ok(()),
            1 => stream.write_all(b"GET /live HTTP/1.1\r\nX: "),
            _ => stream.write_all(&[b'x'; 40_000]),
        };
        held.push(stream);
    }

    let start = Instant::now();
    let answer = get(&address, "/live");

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    // They were all taken before it, and the oldest cut. Others than root may not look.
    if let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", running.pid())) {
        let count = open.count();
        assert!(count < 100, "{count} descriptors for 64 connections");
    }
    drop(held);
    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn a_connection_is_cut_after_its_time() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("await=@/go");
    let running = place.start();
    let mut stream = TcpStream::connect(place.address()).expect("it listens");
    stream.write_all(b"GET /live HTTP/1.1\r\n").expect("it takes it");
    // Its time is two seconds; the rest is for a machine that is slow.
    stream
        .set_read_timeout(Some(Duration::from_secs(8)))
        .expect("it can be set");

    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);

    // An end or a reset, and not this test's own patience.
    assert!(
        !ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
        "it is held"
    );
    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn a_connection_is_cut_after_eight_thousand_bytes() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("await=@/go");
    let running = place.start();
    let mut stream = TcpStream::connect(place.address()).expect("it listens");
    let mut reader = BufReader::new(stream.try_clone().expect("there are descriptors"));
    let start = "HEAD /live HTTP/1.1\r\nHost: goat\r\nX-Padding: ";
    let request = format!("{start}{:x<1$}\r\n\r\n", "", 1024 - start.len() - 4);
    assert_eq!(request.len(), 1024);

    let mut heads = 0;
    while heads < 100 && stream.write_all(request.as_bytes()).is_ok() {
        let head = reader.by_ref().lines().map_while(Result::ok);
        if head.take_while(|line| !line.is_empty()).count() == 0 {
            break;
        }
        heads += 1;
    }

    assert!(
        (1..=8).contains(&heads),
        "{heads} requests of a KiB were answered"
    );
    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn it_serves_three_paths_and_nothing_else() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("await=@/go");
    let running = place.start();
    let address = place.address();

    for (path, status) in [
        ("/live", 200),
        ("/ready", 200),
        ("/metrics", 200),
        ("/", 404),
        ("/debug/pprof/heap", 404),
    ] {
        let answer = eventually("an answer", || {
            Some(get(&address, path)).filter(|answer| !answer.contains(" 503 "))
        });
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
    }
    let mut stream = TcpStream::connect(&address).expect("it listens");
    stream
        .write_all(b"POST /live HTTP/1.1\r\nHost: goat\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .expect("it takes it");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn probes_are_not_logged() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("write=@/up await=@/go");
    let running = place.start();
    let address = place.address();
    place.wait_for("up");
    place.wait_for_log("the task agent has started");
    let before = place.log();

    for _ in 0..20 {
        get(&address, "/live");
        get(&address, "/ready");
        get(&address, "/nowhere");
    }

    assert_eq!(place.log(), before);
    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn a_probe_tells_whether_a_task_is_supervised() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("await=@/go");
    let running = place.start();
    let address = place.address();

    let by_word = eventually("an answer", || {
        (output(&mut command(&["probe", &address])).0 == 0).then_some(0)
    });
    let mut by_variable = command(&["probe"]);
    by_variable.env("CIRCLECI_GOAT_HEALTH_CHECK_ADDR", &address);
    let during = output(&mut by_variable).0;
    place.make("go");
    assert_eq!(running.end(), 0);
    let (after, _, error) = output(&mut by_variable);

    assert_eq!((by_word, during, after), (0, 0, 1));
    assert!(error.contains("is not live"), "{error}");
}

#[test]
fn a_probe_takes_nothing_but_200_for_a_yes() {
    if another_is_tested() {
        return;
    }
    for answer in [
        "HTTP/1.1 503 Service Unavailable",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 404 Not Found",
        "220 200 speaks SMTP",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("someone asks");
            let request = BufReader::new(&stream).lines().map_while(Result::ok);
            let count = request.take_while(|line| !line.is_empty()).count();
            write!(&stream, "{answer}\r\nContent-Length: 0\r\n\r\n").expect("it is taken");
            count
        });

        let (code, _, error) = output(&mut command(&["probe", &address]));

        assert_eq!(code, 1, "{answer}");
        assert!(error.contains(&format!("it answered `{answer}`")), "{error}");
        assert!(server.join().is_ok_and(|lines| lines > 0));
    }
}

#[test]
fn a_probe_without_a_port_is_refused() {
    if another_is_tested() {
        return;
    }
    let mut command = command(&["probe"]);
    command.env("CIRCLECI_GOAT_HEALTH_CHECK_ADDR", "127.0.0.1:0");

    assert_eq!(output(&mut command).0, 2);
}

#[test]
fn a_supervisor_that_is_stuck_is_not_live() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("await=@/go");
    let running = place.start();
    let address = place.address();
    eventually("an answer", || {
        (output(&mut command(&["probe", &address])).0 == 0).then_some(())
    });

    running.signal(Signal::SIGSTOP);
    let (stuck, _, error) = output(&mut command(&["probe", &address]));
    running.signal(Signal::SIGCONT);

    assert_eq!(stuck, 1);
    assert!(
        error.contains("is not live: it did not answer within 5 s"),
        "{error}"
    );
    place.make("go");
    assert_eq!(running.end(), 0, "{}", place.log());
}

#[test]
fn the_address_is_in_the_log_before_any_child_runs() {
    if another_is_tested() {
        return;
    }
    let place = Place::told("sleep").with_entrypoint("signal=KILL:parent sleep");

    place.start().status();

    assert!(place.log().contains("app.address=127.0.0.1:"), "{}", place.log());
}
