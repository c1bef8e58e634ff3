//! Who is measured.

use std::path::{Path, PathBuf};

use internal_testing::binaries;
use serde_json::json;

/// An init.
#[derive(Debug)]
pub(super) struct Contestant {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) kind: Kind,
}

/// How it is told what to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// By its arguments.
    Init,
    /// As an orchestrator is.
    Orchestrator,
}

/// Ours first, then those of Debian that are installed, the bare one, and what `ORCHESTRATOR_BIN` names.
pub(super) fn all(bare: PathBuf) -> anyhow::Result<Vec<Contestant>> {
    let mut all = vec![Contestant {
        name: "Goatherd",
        program: binaries::folder().join("orchestrator"),
        kind: Kind::Orchestrator,
    }];
    for name in ["tini", "dumb-init", "catatonit"] {
        let program = Path::new("/usr/bin").join(name);
        anyhow::ensure!(
            program.exists(),
            "{name} is missing; Debian's package of that name has it"
        );
        all.push(Contestant {
            name,
            program,
            kind: Kind::Init,
        });
    }
    all.push(Contestant {
        name: "bare C",
        program: bare,
        kind: Kind::Init,
    });
    if let Some(program) = std::env::var_os("ORCHESTRATOR_BIN") {
        all.push(Contestant {
            name: "ORCHESTRATOR_BIN",
            program: program.into(),
            kind: Kind::Orchestrator,
        });
    }
    Ok(all)
}

impl Contestant {
    /// The words and the variables that make it start `child`, whose words hold no space.
    pub(super) fn command(&self, child: &[&str]) -> (Vec<String>, Vec<(&'static str, String)>) {
        let program = self.program.display().to_string();
        match self.kind {
            Kind::Init => {
                let mut words = vec![program];
                words.extend(child.iter().map(|word| (*word).to_owned()));
                (words, Vec::new())
            }
            Kind::Orchestrator => {
                let config = json!({
                    "task_id": "task",
                    "token": "token",
                    "task_agent_path": child.join(" "),
                    "runner_api_base_url": "http://127.0.0.1:1",
                    "allocation": "task.1",
                    "max_run_time": 60_000_000_000_i64,
                    "notify_task_agent": true,
                });
                let words = [&program, "run-task", "--health-check-addr=127.0.0.1:0"].map(str::to_owned);
                (words.to_vec(), vec![("CIRCLECI_GOAT_CONFIG", config.to_string())])
            }
        }
    }
}
