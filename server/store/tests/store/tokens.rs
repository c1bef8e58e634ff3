//! Who is let in.

use std::fs;

use api::people::TokenRequest;
use api::{AttemptRef, Secret, TaskId};

use super::bench::Bench;

fn request(class: &str) -> TokenRequest {
    TokenRequest {
        resource_class: class.to_owned(),
        description: "a test's".to_owned(),
    }
}

#[tokio::test]
async fn the_admin_token_is_shown_once() {
    let bench = Bench::new().await;

    let token = bench.store.first_admin_token().await.unwrap().unwrap();

    assert!(token.expose().starts_with("gha_"));
    assert!(bench.store.admin_token_is(&token).await.unwrap());
    assert!(bench.store.first_admin_token().await.unwrap().is_none());
    let bench = bench.restart().await;
    assert!(bench.store.first_admin_token().await.unwrap().is_none());
    assert!(bench.store.admin_token_is(&token).await.unwrap());
}

#[tokio::test]
async fn a_class_token_opens_its_class_and_nothing_else() {
    let bench = Bench::new().await;
    let small = bench
        .store
        .create_class_token(&request("small"), "admin")
        .await
        .unwrap();
    let large = bench
        .store
        .create_class_token(&request("large"), "admin")
        .await
        .unwrap();

    assert!(small.expose().starts_with("ghc_"));
    assert_eq!(
        bench.store.class_of_token(&small).await.unwrap().as_deref(),
        Some("small")
    );
    assert_eq!(
        bench.store.class_of_token(&large).await.unwrap().as_deref(),
        Some("large")
    );
    assert!(!bench.store.admin_token_is(&small).await.unwrap());
    for wrong in ["", "ghc_", "ghc_0000"] {
        assert_eq!(
            bench.store.class_of_token(&Secret::new(wrong)).await.unwrap(),
            None
        );
    }
}

#[tokio::test]
async fn an_admin_token_claims_nothing() {
    let bench = Bench::new().await;
    let token = bench.store.first_admin_token().await.unwrap().unwrap();

    assert_eq!(bench.store.class_of_token(&token).await.unwrap(), None);
}

#[tokio::test]
async fn tokens_are_in_no_file_and_in_no_audit_entry() {
    let bench = Bench::new().await;
    let admin = bench.store.first_admin_token().await.unwrap().unwrap();
    let class = bench
        .store
        .create_class_token(&request("small"), "admin")
        .await
        .unwrap();

    let audit = format!("{:?}", bench.store.audit(0, 100).await.unwrap());
    bench.store.close().await;

    assert!(audit.contains("token.created"));
    for token in [&admin, &class] {
        assert!(!audit.contains(token.expose()));
        for file in fs::read_dir(bench.path()).unwrap() {
            let content = fs::read(file.unwrap().path()).unwrap();
            let found = content
                .windows(token.expose().len())
                .any(|window| window == token.expose().as_bytes());
            assert!(!found);
        }
    }
}

#[tokio::test]
async fn a_forged_task_token_is_refused() {
    let bench = Bench::new().await;
    let other = Bench::new().await;
    let attempt = AttemptRef::new(TaskId::new("t-1").unwrap(), 1);
    let token = bench.store.task_token(&attempt);

    assert_eq!(bench.store.attempt_of_token(&token), Some(attempt.clone()));
    assert_eq!(other.store.attempt_of_token(&token), None);
    let for_another = Secret::new(token.expose().replacen("t-1.1", "t-1.2", 1));
    assert_eq!(bench.store.attempt_of_token(&for_another), None);
    let cut = Secret::new(&token.expose()[..token.expose().len() - 2]);
    assert_eq!(bench.store.attempt_of_token(&cut), None);
}
