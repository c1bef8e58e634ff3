//! Callers without manners: slow ones, too many, and such as send too much.

use std::time::Duration;

use api::Millis;
use api::runner::ErrorCode;
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{SECRET, Server, signature, within};

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.url.trim_start_matches("http://"))
        .await
        .unwrap()
}

/// Sends bytes as they are, and reads until the server closes.
async fn told(server: &Server, bytes: &[u8]) -> String {
    let mut connection = connect(server).await;
    // A server that has heard enough may close under what is still sent.
    let _closed = connection.write_all(bytes).await;
    rest(&mut connection).await
}

async fn rest(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    within(async {
        while let Ok(read @ 1..) = connection.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..read]);
        }
    })
    .await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn lives(server: &Server) {
    let live = server.call(server.request(Method::GET, "/live")).await;
    live.ok::<Value>();
}

#[tokio::test]
async fn a_header_that_never_ends_is_cut_off_and_others_do_not_wait() {
    let server = Server::start_with(&[], |config| config.limits.header_timeout = Millis(300)).await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut connection = connect(&server).await;
        connection
            .write_all(b"GET /live HTTP/1.1\r\nHost: a\r\nX-Slow: ")
            .await
            .unwrap();
        slow.push(connection);
    }

    lives(&server).await;

    for mut connection in slow {
        assert_eq!(rest(&mut connection).await, "");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_connection_serves_many_calls_and_is_closed_when_it_idles() {
    let server = Server::start_with(&[], |config| config.limits.header_timeout = Millis(500)).await;
    let mut connection = connect(&server).await;
    let call = b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n";

    for _ in 0..3 {
        connection.write_all(call).await.unwrap();
        let mut answer = [0; 1024];
        let read = within(connection.read(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }

    assert_eq!(rest(&mut connection).await, "");
    server.stop().await;
}

#[tokio::test]
async fn header_bombs_are_refused_with_their_code() {
    let server = Server::start(&[]).await;
    let many: String = (0..1000).map(|number| format!("X-{number}: 1\r\n")).collect();
    let large = format!("X-Large: {}\r\n", "x".repeat(1024 * 1024));

    let many = told(&server, format!("GET /live HTTP/1.1\r\n{many}\r\n").as_bytes()).await;
    let large = told(&server, format!("GET /live HTTP/1.1\r\n{large}\r\n").as_bytes()).await;
    let nonsense = told(&server, b"\x16\x03\x01 this is no HTTP\r\n\r\n").await;

    assert!(many.starts_with("HTTP/1.1 431 "), "{many}");
    // Where the server closes while the sender still writes, the answer may be lost on the way.
    assert!(large.is_empty() || large.starts_with("HTTP/1.1 431 "), "{large}");
    assert!(nonsense.starts_with("HTTP/1.1 400 "), "{nonsense}");
    lives(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn body_bombs_are_refused_with_their_code() {
    let server = Server::start(&[]).await;
    let admin = server.admin.expose();
    let head = format!("POST /api/v1/tokens HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {admin}\r\n");

    let announced = told(
        &server,
        format!("{head}Content-Length: 1099511627776\r\nConnection: close\r\n\r\n").as_bytes(),
    )
    .await;
    let nested = server
        .call(
            server
                .request(Method::POST, "/api/v1/tokens")
                .bearer_auth(admin)
                .body("[".repeat(1024 * 1024)),
        )
        .await;
    let chunked = reqwest::Body::from(vec![b'x'; 30 * 1024 * 1024]);
    let signed = signature(SECRET, b"");
    let webhook = server
        .call(
            server
                .delivery("/webhook/github", "push", "1", b"", &signed)
                .body(chunked),
        )
        .await;

    assert!(announced.starts_with("HTTP/1.1 413 "), "{announced}");
    nested.refused(400, ErrorCode::Invalid);
    webhook.refused(413, ErrorCode::TooLarge);
    lives(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_its_place_comes_back() {
    let server = Server::start_with(&[], |config| config.limits.connections = 2).await;
    let mut one = connect(&server).await;
    let two = connect(&server).await;
    // It is taken before the next: the server answers on it.
    one.write_all(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    within(one.read(&mut [0; 1024])).await.unwrap();

    let mut third = connect(&server).await;
    let refused = rest(&mut third).await;
    drop((one, two));

    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    within(async {
        loop {
            let answer = told(&server, b"GET /live HTTP/1.1\r\nConnection: close\r\n\r\n").await;
            if answer.starts_with("HTTP/1.1 200 ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_idle_callers() {
    let server = Server::start(&[]).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(connect(&server).await);
    }
    lives(&server).await;

    tokio::time::timeout(Duration::from_secs(5), server.stop())
        .await
        .expect("it stops without waiting for them");

    for mut connection in idle {
        assert_eq!(rest(&mut connection).await, "");
    }
}
