//! What a hostile task can do to its supervisor: by the health port, and by the place of the termination message.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use internal_testing::runner_api::{Answer, FAIL, RunnerApi, UNCLAIM};

use crate::place::{Place, Running, another_is_tested, eventually};

/// How much more memory a flood may cost the supervisor, in KiB: 64 connections with a buffer of 16 KiB and what
/// belongs to them, and what the allocator keeps. Without bounds it is tens of MiB.
const FLOOD: u64 = 8 * 1024;
/// `O_NONBLOCK` of x86-64 and arm64.
const NO_WAITING: i32 = 0o4000;
/// How soon a probe is answered, on a machine that runs other tests too.
const ANSWERED: Duration = Duration::from_secs(10);

fn address(place: &Place) -> SocketAddr {
    place.address().parse().expect("an address")
}

/// The most memory that a process had, in KiB.
fn memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("the kernel counts it")
}

/// Asks once, as an orchestrator of containers does.
fn probe(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWERED)?;
    stream.set_read_timeout(Some(ANSWERED))?;
    stream.write_all(b"GET /live HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// One way to be a nuisance, once. An error is what it wants.
type Nuisance = fn(TcpStream, &mut u64) -> std::io::Result<()>;

/// The next number of a row that is the same at every run.
fn next(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Until it is cut.
fn without_end(mut stream: TcpStream, start: &[u8], more: &[u8]) -> std::io::Result<()> {
    stream.write_all(start)?;
    loop {
        stream.write_all(more)?;
    }
}

const NUISANCES: [(&str, Nuisance); 7] = [
    ("any bytes", |mut stream, state| {
        let bytes: Vec<u8> = (0..next(state) % 2000)
            .map(|_| u8::try_from(next(state) & 0xff).expect("a byte"))
            .collect();
        stream.write_all(&bytes)
    }),
    ("a header that does not end", |stream, _| {
        without_end(stream, b"GET /live HTTP/1.1\r\nX-Long: ", &[b'x'; 4096])
    }),
    ("headers that do not end", |stream, _| {
        without_end(stream, b"GET /live HTTP/1.1\r\n", &b"X-More: x\r\n".repeat(400))
    }),
    ("a body that does not end", |stream, _| {
        let start = b"POST /live HTTP/1.1\r\nHost: goat\r\nContent-Length: 99999999999\r\n\r\n";
        without_end(stream, start, &[b'x'; 4096])
    }),
    ("requests one after the other, and no answer read", |stream, _| {
        without_end(
            stream,
            b"",
            &b"GET /metrics HTTP/1.1\r\nHost: goat\r\n\r\n".repeat(100),
        )
    }),
    ("a byte now and then", |mut stream, _| {
        stream.set_read_timeout(Some(Duration::from_millis(20)))?;
        for byte in b"GET /live HTTP/1.1\r\nHost: goat\r\nX-Slow: ".iter().cycle() {
            stream.write_all(std::slice::from_ref(byte))?;
            // The pause: nothing comes.
            if stream.read(&mut [0]).is_ok_and(|count| count == 0) {
                break;
            }
        }
        Ok(())
    }),
    ("nothing at all", |mut stream, _| {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.read(&mut [0]).map(drop)
    }),
];

/// Clients that flood a port until they are told to stop.
struct Flood {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<u64>>,
}

impl Flood {
    fn of(address: SocketAddr) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let clients = (0..28_usize).map(|number| {
            let is_over = Arc::clone(&is_over);
            let (_, nuisance) = NUISANCES[number % NUISANCES.len()];
            std::thread::spawn(move || {
                let mut state = u64::try_from(number).expect("it is small");
                let mut count = 0;
                while !is_over.load(Ordering::Relaxed) {
                    // Some that are held beside the one that is used.
                    let held: Vec<_> = (0..8).map_while(|_| connect(address)).collect();
                    if let Some(stream) = connect(address) {
                        let _ = nuisance(stream, &mut state);
                        count += 1;
                    }
                    held.into_iter()
                        .for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
                }
                count
            })
        });
        let clients = clients.collect();
        Self { is_over, clients }
    }

    /// Ends it; tells how many requests were made.
    fn end(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.clients
            .into_iter()
            .map(|client| client.join().expect("no client panics"))
            .sum()
    }
}

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_write_timeout(Some(Duration::from_secs(5))).ok()?;
    Some(stream)
}

#[test]
fn a_flooded_health_port_answers_stays_small_and_delays_no_end() {
    if another_is_tested() {
        return;
    }
    let place = Place::new("until test -e $PLACE/go; do sleep 0.01; done; echo done > $PLACE/done; exit 0");
    let running: Running = place.start();
    let address = address(&place);
    let answer = eventually("an answer", || probe(address).ok());
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let before = memory(running.pid());

    let flood = Flood::of(address);
    for number in 0..20 {
        let start = Instant::now();
        let answer = eventually("an answer in the flood", || {
            probe(address).ok().filter(|answer| !answer.is_empty())
        });
        assert!(answer.starts_with("HTTP/1.1 200"), "{number}: {answer}");
        assert!(start.elapsed() < ANSWERED, "{number}: {:?}", start.elapsed());
    }
    let grown = memory(running.pid()) - before;
    fs::write(place.path("go"), "").expect("it is written");
    place.wait_for("done");
    let start = Instant::now();
    let code = running.end();
    let took = start.elapsed();
    let requests = flood.end();

    assert_eq!(code, 0, "{}", place.log());
    assert!(took < Duration::from_secs(5), "the end took {took:?}");
    assert!(grown < FLOOD, "{grown} KiB more after {requests} requests");
    assert!(!place.log().contains("panicked"), "{}", place.log());
}

#[test]
fn wherever_the_termination_message_cannot_go_the_end_is_the_same() {
    if another_is_tested() {
        return;
    }
    for (name, script, api, expected) in [
        ("completed", "exit 0", None, 0),
        ("failed and reported", "exit 3", Some(204), 0),
        ("failed and not reported", "exit 3", Some(404), 1),
    ] {
        for hostile in [
            "pipe",
            "full pipe",
            "folder",
            "full disk",
            "no parent",
            "loop",
            "a file as parent",
        ] {
            let mut place = Place::new(script);
            if let Some(status) = api {
                let answer = || [Answer::Status(status)];
                let api = RunnerApi::http()
                    .answering(UNCLAIM, answer())
                    .answering(FAIL, answer());
                place = place.reporting_to(&api);
            }
            let path = place.path("message");
            let mut reader = None;
            let path = match hostile {
                "pipe" | "full pipe" => {
                    let made = Command::new("mkfifo").arg(&path).status().expect("it runs");
                    assert!(made.success());
                    if hostile == "full pipe" {
                        // Linux lets one open both ends at once.
                        let mut options = fs::OpenOptions::new();
                        let both = options
                            .read(true)
                            .write(true)
                            .custom_flags(NO_WAITING)
                            .open(&path);
                        let mut both = both.expect("it is ours");
                        while both.write_all(&[0; 4096]).is_ok() {}
                        reader = Some(both);
                    }
                    path
                }
                "folder" => {
                    fs::create_dir(&path).expect("it is made");
                    path
                }
                "full disk" => "/dev/full".into(),
                "no parent" => path.join("no/such/parent"),
                "loop" => {
                    symlink(&path, &path).expect("it is made");
                    path
                }
                _ => {
                    fs::write(&path, "").expect("it is written");
                    path.join("message")
                }
            };
            let place = place.with("termination_message_path", path.to_str().expect("a plain path"));

            let code = place.run();

            let log = place.log();
            assert_eq!(code, expected, "{name}, {hostile}: {log}");
            let warning = "the termination message could not be written";
            assert!(log.contains(warning), "{name}, {hostile}: {log}");
            assert!(!log.contains("panicked"), "{name}, {hostile}: {log}");
            drop(reader);
        }
    }
}

#[test]
fn a_key_without_a_value_is_as_if_it_were_not_there() {
    if another_is_tested() {
        return;
    }
    let mut place = Place::new("echo ran > $PLACE/ran");
    for key in [
        "cmd",
        "user",
        "readiness_file_path",
        "ssh_advertise_addr",
        "max_run_time",
    ] {
        place = place.with(key, serde_json::Value::Null);
    }

    assert_eq!(place.run(), 0, "{}", place.log());

    assert_eq!(place.text("ran"), "ran\n");
}
