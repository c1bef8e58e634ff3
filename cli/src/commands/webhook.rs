//! `goatherd webhook`: what a Git provider does, for trying out a server.

use anyhow::Context as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::config::{WebhookSend, secret_in};
use crate::error::{Ending, Failure};
use crate::output;

/// Signs a body and delivers it; prints the server's answer.
pub(crate) async fn send(arguments: WebhookSend) -> Result<Ending, Failure> {
    let secret = secret_in(&arguments.secret_file)?;
    let path = arguments.body.display();
    let body = std::fs::read(&arguments.body).with_context(|| format!("cannot read {path}"))?;
    let signature = sign(secret.expose().as_bytes(), &body);
    let delivery = match arguments.delivery {
        Some(delivery) => delivery,
        None => random()?,
    };
    let headers = [
        ("X-GitHub-Event", arguments.event.as_str()),
        ("X-GitHub-Delivery", delivery.as_str()),
        ("X-Hub-Signature-256", signature.as_str()),
    ];
    let client = client::Client::builder(&arguments.server)
        .build()
        .context("cannot ask the server")?;
    let answer = client
        .deliver(&arguments.hook, &headers, body)
        .await
        .context("the webhook was not taken")?;
    output::line(answer.trim());
    Ok(Ending::Succeeded)
}

/// The signature header's value. Source: GitHub's "Validating webhook deliveries".
fn sign(secret: &[u8], body: &[u8]) -> String {
    let mut code = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    code.update(body);
    format!("sha256={}", hex::encode(code.finalize().into_bytes()))
}

/// Sixteen random bytes, in hexadecimal digits.
pub(crate) fn random() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_in_githubs_documentation() {
        assert_eq!(
            sign(b"It's a Secret to Everybody", b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }
}
