//! The health check API: `/live`, `/ready` and `/metrics`, and nothing else.
//!
//! It is open to whatever runs in the container, so a connection has a time limit and a size, and there are only so
//! many at a time. It decides nothing: the supervisor writes the [`Figures`] that it shows.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use crate::build;
use crate::figures::Figures;

mod bounded;

use bounded::Bounded;

/// Connections that wait to be accepted. Where more come the kernel drops what asks for one, and a probe asks again
/// only after a second; a network namespace's own limit is 4096 (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;
/// What Linux says where it has no IPv6: the family is not supported, or has no address.
const NO_IPV6: [i32; 2] = [97, 99];

/// Listens at `address`: `HOST:PORT`, or `:PORT` for every IPv6 and IPv4 address, or every IPv4 address where
/// there is no IPv6.
pub(crate) async fn bind(address: &str) -> io::Result<TcpListener> {
    let Some(port) = address.strip_prefix(':') else {
        return TcpListener::bind(address).await;
    };
    let port: u16 = port
        .parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    match bind_everywhere(port) {
        Err(error) if error.raw_os_error().is_some_and(|code| NO_IPV6.contains(&code)) => {
            TcpListener::bind(("0.0.0.0", port)).await
        }
        other => other,
    }
}

fn bind_everywhere(port: u16) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v6()?;
    sys::network::accept_ipv4_too(&socket)?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port)))?;
    socket.listen(BACKLOG)
}

/// Answers until the returned task is aborted.
pub(crate) fn serve(listener: TcpListener, figures: Arc<Figures>) -> JoinHandle<()> {
    let router = Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(figures);
    tokio::spawn(async move {
        // It returns only when it is told to shut down, which it is not.
        let _ = axum::serve(Bounded::new(listener), router).await;
    })
}

async fn live(State(figures): State<Arc<Figures>>) -> Response {
    if figures.is_turning() {
        healthy()
    } else {
        unavailable("not turning")
    }
}

async fn ready(State(figures): State<Arc<Figures>>) -> Response {
    if figures.is_ready() {
        healthy()
    } else {
        unavailable("not ready")
    }
}

async fn metrics(State(figures): State<Arc<Figures>>) -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        figures.render(),
    )
        .into_response()
}

fn healthy() -> Response {
    let text = format!(
        r#"{{"status":"OK","timestamp":"{}",{}}}"#,
        timestamp(),
        component()
    );
    answer(StatusCode::OK, &text)
}

fn unavailable(why: &str) -> Response {
    let text = format!(
        r#"{{"status":"Unavailable","timestamp":"{}","failures":{{"orchestrator":"{why}"}},{}}}"#,
        timestamp(),
        component()
    );
    answer(StatusCode::SERVICE_UNAVAILABLE, &text)
}

/// Now, as RFC 3339 writes it.
fn timestamp() -> String {
    let mut text = String::new();
    // Memory takes everything.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// The version comes from the build, so it needs no escapes.
fn component() -> String {
    format!(
        r#""component":{{"name":"orchestrator","version":"{}"}}"#,
        build::VERSION
    )
}

fn answer(status: StatusCode, text: &str) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        text.to_owned(),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn serving(figures: &Arc<Figures>) -> SocketAddr {
        let listener = bind("127.0.0.1:0").await.expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        serve(listener, Arc::clone(figures));
        address
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!("{request} HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it takes it");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        answer
    }

    #[tokio::test]
    async fn it_is_live_at_once_and_ready_when_told() {
        let figures = Arc::new(Figures::default());
        figures.turned();
        let address = serving(&figures).await;

        let live = ask(address, "GET /live").await;
        let before = ask(address, "GET /ready").await;
        figures.set_ready();
        let after = ask(address, "GET /ready").await;

        assert!(
            live.starts_with("HTTP/1.1 200") && live.contains(r#"{"status":"OK","#),
            "{live}"
        );
        assert!(before.starts_with("HTTP/1.1 503"), "{before}");
        let failures = r#","failures":{"orchestrator":"not ready"},"#;
        assert!(
            before.contains(r#"{"status":"Unavailable","timestamp":"20"#) && before.contains(failures),
            "{before}"
        );
        assert!(after.starts_with("HTTP/1.1 200"), "{after}");
    }

    #[tokio::test]
    async fn it_is_not_live_when_the_supervisor_does_not_turn() {
        let address = serving(&Arc::new(Figures::default())).await;

        let live = ask(address, "GET /live").await;

        assert!(live.starts_with("HTTP/1.1 503"), "{live}");
    }

    #[tokio::test]
    async fn everything_else_is_refused() {
        let address = serving(&Arc::new(Figures::default())).await;

        for (request, status) in [
            ("GET /", "404"),
            ("GET /debug/pprof/heap", "404"),
            ("POST /live", "405"),
            ("GET /metrics", "200"),
        ] {
            let answer = ask(address, request).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{request}: {answer}"
            );
        }
    }

    #[tokio::test]
    async fn a_probe_is_answered_although_a_client_holds_all_connections() {
        let figures = Arc::new(Figures::default());
        figures.turned();
        let address = serving(&figures).await;
        let mut held = Vec::new();
        for _ in 0..100 {
            held.push(TcpStream::connect(address).await.expect("it listens"));
        }

        // Sooner than any of them is cut for its age.
        let live = tokio::time::timeout(bounded::LIFETIME / 2, ask(address, "GET /live")).await;

        assert!(live.expect("in time").starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_connection_that_sends_without_end_is_cut_and_one_that_asks_often_is_answered() {
        let figures = Arc::new(Figures::default());
        figures.turned();
        let address = serving(&figures).await;
        let mut endless = TcpStream::connect(address).await.expect("it listens");
        let mut often = TcpStream::connect(address).await.expect("it listens");

        let sent = tokio::time::timeout(bounded::LIFETIME / 2, async {
            let mut sent = 0;
            let _ = endless.write_all(b"GET /live HTTP/1.1\r\n").await;
            while endless
                .write_all(b"X-More: and more and more and more\r\n")
                .await
                .is_ok()
            {
                sent += 1;
            }
            sent
        });
        let asked = "GET /live HTTP/1.1\r\nHost: goat\r\n\r\n".repeat(19)
            + "GET /live HTTP/1.1\r\nHost: goat\r\nConnection: close\r\n\r\n";
        often.write_all(asked.as_bytes()).await.expect("it takes it");
        let mut answers = String::new();
        let _ = often.read_to_string(&mut answers).await;

        assert!(sent.await.is_ok(), "it is not cut before its time");
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 20);
    }

    #[tokio::test]
    async fn a_port_alone_means_every_address() {
        let listener = bind(":0").await.expect("there are ports");
        let port = listener.local_addr().expect("it is bound").port();

        TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("IPv4 reaches it");
    }
}
