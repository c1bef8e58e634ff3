//! `goatherd server`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use api::Secret;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use runtime::stop::Stops;
use server::config::{Exposure, Hook, Repository};
use server::{App, Config};

use crate::config::{Server, secret_in, user_state};
use crate::error::{Ending, Failure};
use crate::output;
use crate::together::{Agents, Together};

/// Runs the server, with `--dev` an agent too, until it is stopped.
pub(crate) async fn run(arguments: Server, stops: Stops) -> Result<Ending, Failure> {
    let config = configuration(&arguments)?;
    if !arguments.dev {
        // Jobs of --dev would inherit it, and some programs take as long as they may have files.
        raise_open_files();
    }
    let mut classes = vec![config.default_resource_class.clone()];
    classes.extend(
        arguments
            .class
            .iter()
            .filter(|class| **class != config.default_resource_class)
            .cloned(),
    );
    let agents = if arguments.dev {
        Some(
            Agents::prepare(
                config.data.join("dev"),
                classes.clone(),
                &arguments.places,
                container_agent::StateLife::Lasting,
            )
            .await?,
        )
    } else {
        None
    };
    let app = App::build(config).await.context("cannot start the server")?;
    if let Some(token) = app.first_admin_token() {
        hand_over(token, arguments.admin_token_file.as_deref())?;
    }
    let address = app.address();
    output::line(&format!("server: {}", app.public_url()));

    let Some(agents) = agents else {
        tell_address(arguments.address_file.as_deref(), &address.to_string())?;
        app.run(stops.first).await.context("the server ended")?;
        return Ok(Ending::Succeeded);
    };
    let mut together = Together::start(app, agents).await?;
    output::line(&format!(
        "agent: in this process, for jobs of class {}; jobs end with it",
        classes.join(", ")
    ));
    tell_address(arguments.address_file.as_deref(), &address.to_string())?;
    tokio::select! {
        failure = together.broken() => return Err(failure),
        () = stops.first.cancelled() => {}
    }
    together.stop(&stops.second).await?;
    Ok(Ending::Succeeded)
}

/// Lets this process have as many files open as it may: each connection is one.
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
        } else {
            Ok(())
        }
    });
    if let Err(error) = raised {
        output::complain(&format!(
            "warning: the limit of open files stays as it is: {error}"
        ));
    }
}

/// The configuration file, with what the command line says over it.
fn configuration(arguments: &Server) -> Result<Config, Failure> {
    let mut config = match &arguments.config {
        Some(file) => {
            let name = file.display();
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
            let base = file.parent().unwrap_or(Path::new(""));
            Config::from_toml(&text, base).map_err(|error| Failure::usage(format!("{name}: {error}")))?
        }
        None => match &arguments.data {
            Some(data) => Config::new(data),
            None => Config::new(user_state()?.join("server")),
        },
    };
    if let Some(data) = &arguments.data {
        config.data.clone_from(data);
    }
    if let Some(listen) = arguments.listen {
        config.listen = listen;
    }
    if arguments.dev {
        config.exposure = Exposure::Loopback;
    }
    let wrong = |error: server::ConfigError| Failure::usage(error.to_string());
    for (name, source) in &arguments.repository {
        config.repositories.retain(|known| known.name() != name);
        config
            .repositories
            .push(Repository::new(name, source).map_err(wrong)?);
    }
    if let Some(file) = &arguments.hook_secret_file {
        config.hooks.retain(|known| known.name != "github");
        config
            .hooks
            .push(Hook::new("github", "github", secret_in(file)?).map_err(wrong)?);
    }
    Ok(config)
}

/// Gives the admin token to the operator, this once.
fn hand_over(token: &Secret, file: Option<&Path>) -> Result<(), Failure> {
    let Some(file) = file else {
        output::line(&format!("admin token: {}", token.expose()));
        output::line("  It is shown this once, and not stored. Commands take it from GOATHERD_TOKEN.");
        return Ok(());
    };
    write_whole(file, token.expose(), 0o600)?;
    output::line(&format!("admin token: in {}", file.display()));
    Ok(())
}

fn tell_address(file: Option<&Path>, address: &str) -> Result<(), Failure> {
    file.map_or(Ok(()), |file| write_whole(file, address, 0o644))
}

/// Writes a file that whoever waits for it finds whole.
fn write_whole(file: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = file.with_file_name(name);
    let written = (|| {
        // Not the mode of a file that is there already.
        std::fs::remove_file(&new).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        let mut opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&new)?;
        opened.write_all(format!("{text}\n").as_bytes())?;
        opened.sync_all()?;
        std::fs::rename(&new, file)
    })();
    Ok(written.with_context(|| format!("cannot write {}", file.display()))?)
}
