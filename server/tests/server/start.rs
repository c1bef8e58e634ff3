//! Starting, probing, stopping.

use std::error::Error;

use api::people::TokenRequest;
use api::runner::path;
use reqwest::Method;
use serde_json::{Value, json};
use server::config::Exposure;
use server::{App, Config, ServerError};

use crate::harness::Server;

pub(crate) fn chain(error: &ServerError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

#[tokio::test]
async fn a_second_server_on_the_same_data_says_who_holds_it() {
    let server = Server::start(&[]).await;
    let mut config = Config::new(server.data.path());
    // Also where both would listen at the same place.
    config.listen = server.url.trim_start_matches("http://").parse().unwrap();

    let second = App::build(config).await.unwrap_err();

    let text = chain(&second);
    assert!(
        text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );
    assert!(text.contains(server.data.path().to_str().unwrap()), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn the_data_is_free_once_the_server_has_stopped() {
    let server = Server::start(&[]).await.restart().await;

    server.get(&server.admin, "/api/v1/audit").await.ok::<Value>();

    server.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_costs_no_admin_token() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut config = Config::new(data.path());
    config.listen = taken.local_addr().unwrap();

    let refused = App::build(config.clone()).await.unwrap_err();
    config.listen = "127.0.0.1:0".parse().unwrap();
    let second = App::build(config).await.unwrap();

    assert!(matches!(refused, ServerError::Listen { .. }), "{refused:?}");
    assert!(second.first_admin_token().is_some());
}

#[tokio::test]
async fn a_server_for_this_machine_only_listens_nowhere_else() {
    let data = tempfile::tempdir().unwrap();
    let mut config = Config::new(data.path());
    config.listen = "0.0.0.0:0".parse().unwrap();
    config.exposure = Exposure::Loopback;

    let error = App::build(config).await.unwrap_err();

    assert!(matches!(error, ServerError::NotLoopback { .. }), "{error:?}");
}

#[tokio::test]
async fn probes_need_no_token() {
    let server = Server::start(&[]).await;

    for probe in ["/live", "/ready"] {
        let reply = server.call(server.request(Method::GET, probe)).await;

        assert_eq!(reply.ok::<Value>(), json!({"status": "OK"}));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_class_token_that_was_made_while_no_server_ran_is_good() {
    let data = tempfile::tempdir().unwrap();
    let mut config = Config::new(data.path());
    config.listen = "127.0.0.1:0".parse().unwrap();
    let request = TokenRequest {
        resource_class: "default".to_owned(),
        description: "laptop".to_owned(),
    };
    let token = server::create_class_token(&config, &request, "operator")
        .await
        .unwrap();

    let server = Server::start_with(&[], |own| own.data = config.data.clone()).await;

    let status = server
        .post(&token, path::ATTEMPTS_STATUS, &json!({"attempts": []}))
        .await;
    assert_eq!(status.ok::<Value>(), json!({"attempts": []}));
    server.stop().await;
}
