//! `goatherd token`.

use anyhow::Context as _;
use api::people::TokenRequest;

use crate::config::TokenCreate;
use crate::error::{Ending, Failure};
use crate::output;

/// Makes a resource-class token and prints it, alone: it is shown this once.
pub(crate) async fn create(arguments: TokenCreate) -> Result<Ending, Failure> {
    let request = TokenRequest {
        resource_class: arguments.class,
        description: arguments.description,
    };
    let token = match arguments.data {
        Some(data) => {
            let config = server::Config::new(data);
            server::create_class_token(&config, &request, "admin")
                .await
                .context("cannot make a token")?
        }
        None => {
            let client = arguments.remote.client()?;
            client
                .create_token(&request)
                .await
                .context("cannot make a token")?
                .token
        }
    };
    output::line(token.expose());
    Ok(Ending::Succeeded)
}
